"""Framewise classification: padding counts nowhere, errors, logged values, training under Lightning."""

from __future__ import annotations

import importlib.util
from functools import partial
from typing import NamedTuple

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader

if importlib.util.find_spec("pytorch_lightning") is None:
    pytest.skip("pytorch_lightning is not installed", allow_module_level=True)

# isort: off
from lightning_modules.framewise.task import FramewiseClassification, _groups, by_sequence

# isort: on
import pytorch_lightning as pl

from lightning_modules.framewise.lstm import LstmNetwork
from lightning_modules.framewise.networks import FramewiseNetwork
from lightning_modules.losses import FiringRate, mean_rates
from lightning_modules.tally import Tally, error_rate
from snn_neuromod import ALIF, LeakyReadout, Smoothing
from snn_neuromod.data.phones.labels import TIMIT_LABELS
from snn_neuromod.errors import ConfigError

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*does not have many workers",
    "ignore:.*number of training batches",
    "ignore:.*treespec, LeafSpec",
    "ignore:Checkpoint directory",
)
CLASSES = 4


class Frames(NamedTuple):
    features: Tensor
    labels: Tensor
    lengths: Tensor
    names: list[str]


def batch(seed=0, frames=24, lengths=(24, 17, 5)):
    """Class k lights its own three features; a class lasts three frames; behind the end nothing."""
    generator = torch.Generator().manual_seed(seed)
    runs = torch.randint(CLASSES, (frames // 3, len(lengths)), generator=generator)
    labels = runs.repeat_interleave(3, dim=0)
    features = torch.randn(frames, len(lengths), 3 * CLASSES, generator=generator)
    features += 4 * torch.nn.functional.one_hot(labels, CLASSES).repeat_interleave(3, dim=-1)
    outside = torch.arange(frames)[:, None] >= torch.tensor(lengths)
    return Frames(
        features.masked_fill(outside[..., None], 0.0),
        labels.masked_fill(outside, -100),
        torch.tensor(lengths),
        [f"u{k}" for k in range(len(lengths))],
    )


def network(**options):
    torch.manual_seed(0)
    options = {"neuron": ALIF, "readout": partial(LeakyReadout, tau_out=1.0)} | options
    return FramewiseNetwork([3 * CLASSES, 20], num_classes=CLASSES, **options)


def task(net=None, **options):
    options = {"optimizer": partial(torch.optim.Adam, lr=0.01)} | options
    return FramewiseClassification(net or network(), **options)


def fit(module, max_epochs=2, **options):
    trainer = pl.Trainer(
        max_epochs=max_epochs, accelerator="cpu", logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, **options,
    )  # fmt: skip
    train = DataLoader([batch(seed) for seed in range(4)], batch_size=None)
    val = DataLoader([batch(10), batch(11, lengths=(9, 24))], batch_size=None)
    trainer.fit(module, train, val)
    return trainer


class Own(torch.nn.Module):
    """A network of one's own, which knows nothing of this package; `answer` says what it returns."""

    def __init__(self, answer):
        super().__init__()
        self.linear, self.answer = torch.nn.Linear(3 * CLASSES, CLASSES), answer

    def forward(self, x):
        return self.answer(self.linear(x), x)


class OwnWithLengths(Own):
    def forward(self, x, lengths):
        assert lengths.shape == x.shape[1:2]
        return super().forward(x)


@pytest.mark.parametrize(
    ("make", "answer", "layers"),
    [
        (Own, lambda y, x: y, 0),
        (Own, lambda y, x: (y, (x > 1).float()), 1),
        (Own, lambda y, x: [y, [(x > 1).float(), (x[..., :5] > 0).float().repeat(3, 1, 1)]], 2),
        (OwnWithLengths, lambda y, x: y, 0),
    ],
)
def test_any_module_trains_as_network(make, answer, layers):
    torch.manual_seed(0)
    found = fit(task(make(answer)), max_epochs=8).callback_metrics
    assert found["train/error"] < 0.35
    assert found["val/error"] < 0.35
    rates = {name for name in found if "/rate/" in name}
    assert rates == {f"{s}/rate/{k}" for s in ("train", "val") for k in range(1, 1 + layers)}
    assert all(0 < found[name] < 1000 for name in rates)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda y, x: y[-1], "network must return scores for each of 24 frames, got 1 steps"),
        (lambda y, x: y[::2], "network must return scores for each of 24 frames, got 12 steps"),
        (lambda y, x: y.sum(), "Own: forward must return outputs"),
    ],
)
def test_a_module_that_does_not_score_every_frame(answer, message):
    with pytest.raises(ConfigError, match=message):
        task(Own(answer)).training_step(batch(), 0)


@pytest.mark.parametrize(
    "options", [{}, {"n_repeat": 3}, {"bidirectional": True}, {"output_delay": 2}]
)
def test_loss_and_rates_equal_those_of_single_utterances(options):
    net, data = network(**options), batch()
    module = task(net, firing_rate=FiringRate(5.0, 0.1))
    total = module._step(data, "train")
    loss, counts, frames = 0.0, 0, 0
    for b, length in enumerate(data.lengths.tolist()):
        outputs, spikes = net(data.features[:length, b : b + 1])
        labels = data.labels[:length, b]
        loss += torch.nn.functional.cross_entropy(outputs[:, 0], labels, reduction="sum")
        counts += torch.stack([s.sum(dim=(0, 1)) for s in spikes])
        frames += length
    rates = counts / (frames * net.n_repeat)
    assert counts.sum() > 0
    penalty = 5.0 * (rates - 0.1).square().mean()
    assert penalty > 0.01
    assert torch.allclose(total, loss / frames + penalty, rtol=1e-5)
    tally = module._tallies["train"]
    assert torch.allclose(tally.loss, loss / frames, rtol=1e-5)
    assert torch.allclose(tally.rates, rates.mean(dim=1), rtol=1e-5)
    assert tally.confusion.sum() == frames == 46


@pytest.mark.parametrize(
    "make",
    [
        network,
        partial(network, bidirectional=True, n_repeat=2),
        partial(network, learning_rule="bptt"),
        partial(network, smoothing=Smoothing(window=5, centred=True)),
        lambda: LstmNetwork(3 * CLASSES, CLASSES, hidden=5, bidirectional=True),
    ],
)
def test_padding_gives_no_gradient(make):
    data = batch()
    features = data.features.clone().requires_grad_()
    module = task(make(), firing_rate=FiringRate(5.0, 0.1))
    recorded = []

    def keep(_module, _inputs, out):
        for tensor in (out.outputs, *out.spikes):
            tensor.retain_grad()
            recorded.append(tensor)

    module.network.register_forward_hook(keep)
    module._step(data._replace(features=features), "train").backward()
    outside = data.labels < 0
    assert outside.sum() == 26
    assert (features.grad[outside] == 0).all()
    assert features.grad[~outside].abs().sum() > 0
    for tensor in recorded:
        steps = outside.repeat_interleave(len(tensor) // len(outside), dim=0)
        assert (tensor.grad[steps] == 0).all()
        assert tensor.grad[~steps].abs().sum() > 0


def test_what_lies_in_the_padding_changes_no_gradient():
    gradients = []
    for filled in (0.0, 7.0):
        data, module = batch(), task(firing_rate=FiringRate(5.0, 0.1))
        outside = (data.labels < 0)[..., None]
        module._step(
            data._replace(features=data.features.masked_fill(outside, filled)), "train"
        ).backward()
        gradients.append([p.grad for p in module.parameters()])
    for a, b in zip(*gradients, strict=True):
        assert torch.equal(a, b)
        assert a.abs().sum() > 0


def test_the_loss_by_sequences_is_the_mean_of_their_means():
    outputs = torch.randn(6, 3, 4, requires_grad=True)
    labels = torch.randint(4, (6, 3))
    labels[2:, 1], labels[:, 2] = -100, -100
    loss = by_sequence(outputs, labels)
    alone = [
        torch.nn.functional.cross_entropy(outputs[:n, k], labels[:n, k])
        for k, n in ((0, 6), (1, 2))
    ]
    torch.testing.assert_close(loss, torch.stack(alone).mean())
    loss.backward()
    assert torch.equal(outputs.grad.any(-1), labels != -100)
    with pytest.raises(ValueError, match="FramewiseClassification: average must be"):
        FramewiseClassification(torch.nn.Identity(), average="batch")


def test_error_rates_by_hand():
    tally = Tally(3)
    labels = torch.tensor([[0, 1], [0, 2], [1, -100], [2, -100]])
    found = torch.tensor([[0, 1], [1, 0], [1, 0], [2, 2]])
    tally.update(torch.eye(3)[found], labels, torch.tensor(2.0), rates=[torch.tensor(0.25)])
    tally.update(torch.eye(3)[found[:1]], labels[:1], torch.tensor(5.0), rates=[torch.tensor(1.0)])
    # right: 0 1 | 1 2 | 0 1; wrong: 0 as 1, 2 as 0
    assert tally.confusion.tolist() == [[2, 1, 0], [0, 3, 0], [1, 0, 1]]
    assert error_rate(tally.confusion).item() == pytest.approx(2 / 8)
    assert error_rate(tally.confusion, [0, 0, 1]).item() == pytest.approx(1 / 8)
    assert error_rate(tally.confusion, [-1, 0, 1]).item() == pytest.approx(1 / 5)
    assert tally.loss.item() == pytest.approx((6 * 2 + 2 * 5) / 8)
    assert tally.rates.tolist() == pytest.approx([(6 * 0.25 + 2 * 1.0) / 8])


def test_groups_of_timit_labels():
    groups = _groups(TIMIT_LABELS, 39)
    where = TIMIT_LABELS.index
    folded, speech = groups["folded"], groups["speech"]
    assert folded[where("zh")] == folded[where("sh")] != folded[where("s")]
    assert folded[where("tcl")] == folded[where("h#")]
    assert folded[where("q")] == -1
    assert len(set(folded)) == 39 + 1
    assert [label for label, k in zip(TIMIT_LABELS, speech, strict=True) if k < 0] == [
        "pau",
        "epi",
        "h#",
    ]
    assert set(_groups(("a", "pau"), 39)) == {"speech"}
    assert _groups((), 39) == {}


def test_mean_rates():
    spikes = torch.tensor([[1.0, 0.0], [1.0, 1.0], [0.0, 1.0], [0.0, 1.0]])[..., None]
    inside = torch.tensor([[True, True], [True, False]])
    assert mean_rates(spikes, inside).item() == pytest.approx(3 / 6)
    assert mean_rates(spikes).item() == pytest.approx(5 / 8)


def test_learns_and_logs():
    module = task(optimizer=partial(torch.optim.Adam, lr=0.03))
    trainer = fit(module, max_epochs=20)
    logged = {name: float(value) for name, value in trainer.callback_metrics.items()}
    names = ("loss", "error", "accuracy", "rate/1")
    assert set(logged) == {f"{stage}/{name}" for stage in ("train", "val") for name in names}
    assert logged["val/error"] < 0.35  # chance is 0.75
    assert logged["val/accuracy"] == pytest.approx(1 - logged["val/error"])
    assert 1 < logged["val/rate/1"] < 400


def test_logged_values_are_those_of_all_frames():
    module = task(optimizer=partial(torch.optim.SGD, lr=0.0))
    trainer = fit(module, max_epochs=2)
    loss = right = spikes = frames = 0
    with torch.no_grad():
        for data in (batch(10), batch(11, lengths=(9, 24))):
            outputs, (layer,) = module(data.features, data.lengths)
            inside = data.labels >= 0
            loss += torch.nn.functional.cross_entropy(
                outputs[inside], data.labels[inside], reduction="sum"
            )
            right += (outputs.argmax(dim=-1) == data.labels)[inside].sum()
            spikes += layer[inside].mean(dim=-1).sum()
            frames += inside.sum()
    logged = trainer.callback_metrics
    assert logged["val/loss"] == pytest.approx((loss / frames).item(), rel=1e-5)
    assert logged["val/error"] == pytest.approx(1 - (right / frames).item(), rel=1e-5)
    assert logged["val/rate/1"] == pytest.approx((1000 * spikes / frames).item(), rel=1e-5)
    assert module.confusion["val"].sum() == frames  # of one epoch, not of two
    assert module.confusion["train"].sum() == 4 * 46


def test_rates_are_in_the_time_of_the_neurons():
    rates = [
        fit(task(network(neuron=partial(ALIF, dt=dt, tau_mem=20 * dt, tau_adapt=200 * dt),
                         readout=partial(LeakyReadout, dt=dt, tau_out=20 * dt)),
                 optimizer=partial(torch.optim.SGD, lr=0.0)), max_epochs=1).callback_metrics["val/rate/1"]
        for dt in (1.0, 0.5)
    ]  # fmt: skip
    assert rates[0] > 1
    assert rates[1].item() == pytest.approx(2 * rates[0].item(), rel=1e-5)


def test_prediction():
    module, data = task(), batch()
    found = module.predict_step(data, 0)
    assert torch.equal(found.classes, module(data.features, data.lengths).outputs.argmax(dim=-1))
    assert found.names == ["u0", "u1", "u2"]
    assert torch.equal(found.labels, data.labels)
    assert torch.equal(found.lengths, data.lengths)


def test_penalty_moves_the_rates():
    rates = []
    for weight in (0.0, 50.0):
        trainer = fit(task(firing_rate=FiringRate(weight, 0.0)), max_epochs=4)
        rates.append(trainer.callback_metrics["val/rate/1"])
    assert rates[1] < 0.7 * rates[0]


@pytest.mark.parametrize(
    "options",
    [
        {"precision": "bf16-mixed"},
        {"precision": "bf16-true"},
        {"precision": "64-true"},
        {"gradient_clip_val": 0.1},
    ],
)
@pytest.mark.parametrize("feedback", ["symmetric", "random", "adaptive"])
def test_trainer_options(options, feedback):
    readout = partial(LeakyReadout, feedback=feedback)
    module = task(network(bidirectional=True, readout=readout))
    fit(module, max_epochs=1, **options)
    assert all(p.isfinite().all() for p in module.parameters())


def test_an_lstm_learns():
    module = task(
        LstmNetwork(3 * CLASSES, CLASSES, hidden=12), optimizer=partial(torch.optim.Adam, lr=0.03)
    )
    trainer = fit(module, max_epochs=12)
    assert trainer.callback_metrics["val/error"] < 0.3
    assert not [name for name in trainer.callback_metrics if "rate" in name]


def test_schedule_and_factors():
    module = task(scheduler="one_cycle", lr_factors={"w_in": 10.0})
    fit(module, max_epochs=1)
    groups = module.optimizers().optimizer.param_groups
    assert groups[1]["lr"] == pytest.approx(10 * groups[0]["lr"])
    assert module.lr_schedulers().last_epoch == 4


def test_what_is_doubtful_is_counted_in_frames():
    module = task()
    with torch.no_grad():
        for weight in module.network.parameters():
            weight.zero_()
    trainer = pl.Trainer(
        accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False,
    )  # fmt: skip
    trainer.validate(module, DataLoader([batch()], batch_size=None), verbose=False)
    assert "scores of all classes are equal in all 46 frames" in module.findings["val"][-1]
