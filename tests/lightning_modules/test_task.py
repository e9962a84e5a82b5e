"""The classification task under Lightning's trainer."""

from __future__ import annotations

import importlib.util
import re
from functools import partial

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.data import DataLoader

if importlib.util.find_spec("pytorch_lightning") is None:
    pytest.skip("pytorch_lightning is not installed", allow_module_level=True)

# isort: off
from lightning_modules.classification import (
    SpikeClassification,
)  # first: it makes torchvision importable

# isort: on
import pytorch_lightning as pl

from lightning_modules.any_network import layer_titles
from lightning_modules.losses import CrossEntropy, FiringRate
from lightning_modules.networks import FeedForward, SpikeSum
from lightning_modules.tally import Tally, error_rate
from snn_neuromod import ALIF, MSRC, LeakyReadout, PopulationReadout, Uniform

quiet = pytest.mark.filterwarnings(
    "ignore:.*does not have many workers",
    "ignore:.*number of training batches",
    "ignore:.*treespec, LeafSpec",
    "ignore:Checkpoint directory",
)
pytestmark = quiet


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    """Short batches are fastest so, and results depend on the number of threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


Neuron = partial(MSRC, modulation=Uniform(0.4, 1.2), learn_modulation=True, learn=["b"])


def batches(classes=4, number=6):
    """Class k lights its own quarter of 20 inputs."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(32) % classes
    rate = torch.full((32, 20), 0.02)
    for b, label in enumerate(labels.tolist()):
        rate[b, 5 * label : 5 * label + 5] = 0.5
    return [
        ((torch.rand(30, 32, 20, generator=generator) < rate).float(), labels)
        for _ in range(number)
    ]


def task(neuron=Neuron, readout=SpikeSum, **options):
    torch.manual_seed(0)
    network = FeedForward([20, 12, 4], neuron=neuron, num_classes=4, gain=4.0, readout=readout)
    options = {"optimizer": partial(torch.optim.Adam, lr=0.02)} | options
    return SpikeClassification(network, **options)


def fit(module, max_epochs=3, ckpt_path=None, **options):
    trainer = pl.Trainer(
        max_epochs=max_epochs, accelerator="cpu", logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, **options,
    )  # fmt: skip
    loader = DataLoader(batches(), batch_size=None)
    trainer.fit(module, loader, DataLoader(batches(number=2), batch_size=None), ckpt_path=ckpt_path)
    return trainer


def test_learns_and_logs():
    module = task(ALIF, optimizer=partial(torch.optim.Adam, lr=0.03))
    trainer = fit(module, max_epochs=6)
    logged = {name: float(value) for name, value in trainer.callback_metrics.items()}
    assert set(logged) == {
        f"{stage}/{what}"
        for stage in ("train", "val")
        for what in ("loss", "accuracy", "spikes/1", "spikes/2")
    }
    assert logged["val/accuracy"] > 0.9
    assert 0.05 < logged["val/spikes/1"] < 20


def test_firing_statistics_count_pulses_not_their_area():
    module = task()
    trainer = fit(module, max_epochs=1)
    x = torch.cat([x for x, _ in batches(number=2)], dim=1)
    with torch.no_grad():
        spikes = module(x).spikes[0]
    high = spikes > 0.5
    pulses = (high[1:] & ~high[:-1]).sum() + high[0].sum()
    assert torch.allclose(
        trainer.callback_metrics["val/spikes/1"], pulses / spikes[0].numel(), rtol=1e-5
    )
    assert high.sum() > 1.3 * pulses > 0


def test_prediction():
    module = task()
    x, labels = batches(number=1)[0]
    found = module.predict_step((x, labels), 0)
    assert found.scores.shape == (32, 4)
    assert torch.equal(found.classes, found.scores.argmax(dim=1))
    assert torch.equal(found.labels, labels)


def test_the_class_is_read_by_the_loss_decision():
    x, labels = batches(number=1)[0]
    scores = {
        decision: task(loss=CrossEntropy(decision)).predict_step((x, labels), 0).scores
        for decision in ("last", "mean", "max")
    }
    assert torch.allclose(scores["last"], scores["max"])  # a sum only grows
    assert not torch.allclose(scores["last"], scores["mean"])


def test_rate_penalty_lowers_the_rate():
    rates = []
    for weight in (0.0, 100.0):
        trainer = fit(task(firing_rate=FiringRate(weight, 0.0)), max_epochs=3)
        rates.append(trainer.callback_metrics["val/spikes/1"])
    assert rates[1] < 0.7 * rates[0]


def test_cosine_ends_at_zero_and_advances_every_step():
    module = task(scheduler="cosine")
    fit(module, max_epochs=2)
    (optimizer,) = [module.optimizers().optimizer]
    assert optimizer.param_groups[0]["lr"] < 1e-9
    assert module.lr_schedulers().last_epoch == 12


@pytest.mark.parametrize(("interval", "expected"), [("epoch", 2), ("step", 12)])
def test_schedule_interval(interval, expected):
    step = partial(torch.optim.lr_scheduler.StepLR, step_size=5)
    module = task(scheduler=step, scheduler_interval=interval)
    fit(module, max_epochs=2)
    assert module.lr_schedulers().last_epoch == expected


def test_learning_rate_factors():
    module = task(lr_factors={"modulation": 10.0, "b": 0.0})
    before = {name: p.detach().clone() for name, p in module.named_parameters()}
    fit(module, max_epochs=1)
    groups = module.optimizers().optimizer.param_groups
    assert [group["lr"] for group in groups] == [0.02, 0.2, 0.0]
    moved = {n: (p - before[n]).abs().max().item() for n, p in module.named_parameters()}
    assert all(moved[name] == 0 for name in moved if name.endswith(".b"))
    assert moved["network.layers.0.neuron.modulation"] > 2 * moved["network.layers.0.weight"] > 0


def test_unknown_name_of_a_factor():
    with pytest.raises(ValueError, match="lr_factors must name learned parameters, got beta"):
        fit(task(lr_factors={"beta": 2.0}))


@pytest.mark.parametrize(
    "options",
    [
        {"gradient_clip_val": 0.5},
        {"precision": "bf16-mixed"},
        {"accumulate_grad_batches": 2},
        {"precision": "64-true"},
        {"precision": "bf16-true"},
    ],
)
@pytest.mark.parametrize(
    "readout",
    [
        SpikeSum,
        partial(LeakyReadout, feedback="random"),
        partial(LeakyReadout, feedback="adaptive"),
        PopulationReadout,
    ],
    ids=["sum", "random", "adaptive", "population"],
)
def test_trainer_options(options, readout):
    module = task(readout=readout)
    before = module.network.layers[0].weight.detach().clone()
    fit(module, max_epochs=1, **options)
    after = module.network.layers[0].weight.detach()
    assert after.isfinite().all()
    assert not torch.equal(before.to(after.dtype), after)


def test_clipping_bites():
    module = task(optimizer=partial(torch.optim.SGD, lr=1.0))
    before = torch.nn.utils.parameters_to_vector(module.network.parameters()).detach().clone()
    fit(module, max_epochs=1, gradient_clip_val=1e-3)
    after = torch.nn.utils.parameters_to_vector(module.network.parameters()).detach()
    assert 0 < (after - before).norm() <= 6 * 1e-3 * 1.01


def test_checkpoint_of_a_task_made_in_python(tmp_path):
    module = task(partial(ALIF, learn=["beta"]))
    trainer = fit(module, max_epochs=1)
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    torch.load(tmp_path / "a.ckpt", weights_only=True)
    other = task(partial(ALIF, learn=["beta"])).network
    torch.nn.init.zeros_(other.layers[0].weight)
    loaded = SpikeClassification.load_from_checkpoint(tmp_path / "a.ckpt", network=other)
    for a, b in zip(loaded.network.parameters(), module.network.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_task_whose_run_was_resumed_can_be_trained_anew(tmp_path):
    fit(task(), max_epochs=1).save_checkpoint(tmp_path / "a.ckpt")
    module = task()
    fit(module, max_epochs=2, ckpt_path=tmp_path / "a.ckpt")
    assert fit(module, max_epochs=1).current_epoch == 1


def test_a_label_for_every_step():
    torch.manual_seed(0)
    outputs = torch.randn(6, 4, 3)
    labels = torch.randint(3, (6, 4))
    labels[:2] = -100
    loss = CrossEntropy(scale=2.0)
    expected = torch.nn.functional.cross_entropy(
        2 * outputs[2:].flatten(0, 1), labels[2:].flatten()
    )
    assert torch.allclose(loss(outputs, labels), expected)
    model = SpikeClassification(FeedForward([20, 15, 4], num_classes=4, neuron=Neuron, gain=3.0))
    x, last = batches()[0]
    labels = torch.full((30, 32), -100)
    labels[-1] = last
    found = model.predict_step((x, labels), 0)
    assert torch.equal(found.labels, last)


def test_spikes_as_bytes_train_the_same_network():
    found = {}
    for dtype in (torch.float32, torch.uint8, torch.bool):
        module = task()
        x, labels = batches()[0]
        loss = module.training_step((x.to(dtype), labels), 0)
        weight = module.network.layers[0].weight
        found[dtype] = [loss, torch.autograd.grad(loss, weight)[0]]
    assert found[torch.float32][1].abs().max() > 0
    for dtype in (torch.uint8, torch.bool):
        torch.testing.assert_close(found[dtype], found[torch.float32], rtol=1e-4, atol=1e-6)


def test_a_dead_network_scores_chance_and_says_so():
    module = task(neuron=ALIF)
    with torch.no_grad():
        for layer in module.network.layers:
            layer.weight.zero_()
    x, labels = batches()[0]
    module._step((x, torch.zeros_like(labels)), "test")  # all of the first class: once 100 %
    tally = module._tallies["test"]
    assert 1 - error_rate(tally.confusion).item() == pytest.approx(0.25)
    assert tally.findings(layer_titles(module.network, 2), "samples") == [
        "layer 1 (12 ALIF) did not spike at all",
        "layer 2 (4 ALIF) did not spike at all",
        "the scores of all classes are equal in all 32 samples, so that accuracy and loss are those of chance, "
        "1/4 and ln 4 = 1.3863",
    ]
    alive = task()
    alive._step((x, labels), "test")
    assert alive._tallies["test"].findings(layer_titles(alive.network, 2)) == []


def test_a_saturated_layer_is_named():
    module = task(neuron=partial(ALIF, v_th=1e-3))
    with torch.no_grad():
        for layer in module.network.layers:
            layer.weight.fill_(5.0)
    x, labels = batches()[0]
    module._step((torch.ones_like(x), labels), "train")
    (first, *_) = module._tallies["train"].findings(layer_titles(module.network, 2))
    assert re.match(r"layer 1 \(12 ALIF\) is saturated, it spikes in (9[5-9]|100)", first)


def test_states_and_losses_that_are_not_finite_are_named():
    module = task(neuron=ALIF)
    x, labels = batches()[0]
    module._step((x, labels), "train")
    with torch.no_grad():
        module.network.layers[0].weight[0, 0] = float("nan")
    module._step((x, labels), "train")
    found = module._tallies["train"].findings(layer_titles(module.network, 2))
    assert "the state of layer 1 (12 ALIF) is NaN or infinite" in found
    tally = Tally(2)
    scores = torch.tensor([[0.0, float("nan")], [1.0, 0.0]])
    tally.update(scores, torch.tensor([0, 0]), torch.tensor(float("inf")))
    assert tally.findings([]) == [
        "class scores are NaN in 1 frames",
        "the loss is inf",
    ]
    assert error_rate(tally.confusion).isnan()


class Waiting(TorchDispatchMode):
    """Refuses what waits for the device when tensors are on one."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = str(func)
        assert not any(
            part in name for part in ("_local_scalar_dense", "nonzero", "masked_select")
        ), name
        return func(*args, **(kwargs or {}))


def test_counting_never_waits_for_the_device():
    module = task(neuron=ALIF)
    (x, labels), tally = batches()[0], module._tallies["train"]
    outputs, spikes = module(x)
    rates = [s.mean() for s in spikes]
    with Waiting():
        for _ in range(2):
            module._states._keep(0, module.network.layers[0], (), (spikes[0], (spikes[0][-1],)))
            finite = module._states.finite
            tally.update(outputs[-1], labels, rates[0], rates=rates, activity=rates, finite=finite)
    with pytest.raises(AssertionError, match="_local_scalar_dense"), Waiting():
        bool(spikes[0].isfinite().all())  # as it is not done


def test_logged_values_are_means_over_all_samples():
    module = task()
    seen, sizes = [], (32, 9)

    def loader():
        return [(x[:, :n], y[:n]) for (x, y), n in zip(batches(number=2), sizes, strict=True)]

    trainer = pl.Trainer(
        accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False
    )
    trainer.validate(module, DataLoader(loader(), batch_size=None), verbose=False)
    with torch.no_grad():
        for x, labels in loader():
            outputs = module(x).outputs
            best = outputs[-1] == outputs[-1].amax(dim=1, keepdim=True)
            right = (best[range(len(labels)), labels] / best.sum(dim=1)).sum()
            seen.append(torch.stack([module.loss(outputs, labels) * len(labels), right]))
    expected = torch.stack(seen).sum(dim=0) / sum(sizes)
    logged = trainer.callback_metrics
    assert torch.allclose(logged["val/loss"], expected[0])
    assert torch.allclose(logged["val/accuracy"], expected[1])
