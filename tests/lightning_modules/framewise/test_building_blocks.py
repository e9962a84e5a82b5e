"""Wiring, delays, smoothing and penalties in the framewise network and task."""

from __future__ import annotations

import importlib.util
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

if importlib.util.find_spec("pytorch_lightning") is None:
    pytest.skip("pytorch_lightning is not installed", allow_module_level=True)

from functools import partial

from lightning_modules.framewise import FramewiseClassification, FramewiseNetwork
from lightning_modules.regularisation import L2, FiringRate
from snn_neuromod import ALIF, Smoothing
from snn_neuromod.connectivity import Blocks, DistanceDelays, Random, RandomDelays

FRAMES, LENGTHS = 12, torch.tensor([12, 7, 3])


class Batch(NamedTuple):
    features: Tensor
    labels: Tensor
    lengths: Tensor
    names: list[str]


def make(sizes: Any = (4, 12), **options: Any) -> FramewiseNetwork:
    torch.manual_seed(0)
    return FramewiseNetwork(
        list(sizes), neuron=partial(ALIF, v_th=0.5), num_classes=3, **options
    ).double()


def batch() -> Batch:
    generator = torch.Generator().manual_seed(1)
    x = 1 + torch.randn(FRAMES, 3, 4, generator=generator, dtype=torch.float64)
    inside = torch.arange(FRAMES)[:, None] < LENGTHS
    labels = torch.randint(3, (FRAMES, 3), generator=generator).masked_fill(~inside, -100)
    return Batch(x * inside[..., None], labels, LENGTHS, ["a", "b", "c"])


def test_wiring_of_each_layer() -> None:
    net = make((4, 12, 6), mask_in=[Random(density=0.5), Blocks()], mask_rec=Random(sparsity=0.8))
    lower, upper = net.layers
    assert int(lower.mask_in.sum()) == 24
    assert upper.mask_in.sum(1).tolist() == [2] * 6
    assert (int(lower.mask_rec.sum()), int(upper.mask_rec.sum())) == (26, 6)
    with pytest.raises(ValueError, match="mask_in must be one for all layers or one for each of 2"):
        make((4, 12, 6), mask_in=[None])


def test_both_directions_are_wired_on_their_own() -> None:
    forward, backward = make(bidirectional=True, mask_rec=Random(sparsity=0.5)).layers
    assert not torch.equal(forward.mask_rec, backward.mask_rec)


def test_delays() -> None:
    assert set(make(delay=RandomDelays(3)).layers[0].delay.tolist()) == {1, 2, 3}
    by_synapse = make((4, 12, 6), delay=DistanceDelays(1.0, 3)).layers[1].delay
    assert by_synapse[0].tolist() == [1, 1, 2, 3, 2, 1]
    x = batch().features
    assert not torch.equal(make(delay=3)(x).outputs, make()(x).outputs)


@pytest.mark.parametrize("options", [{"output_delay": 2}, {"bidirectional": True}, {"n_repeat": 2}])
def test_smoothed_scores(options: dict[str, Any]) -> None:
    """Each sequence's scores are averaged within its own length."""
    plain, smoothed = make(**options), make(smoothing=Smoothing(window=3, centred=True), **options)
    x, _, lengths, _ = batch()
    scores, found = plain(x, lengths).outputs, smoothed(x, lengths).outputs
    assert plain(x, lengths).spikes[0].any()
    for k, length in enumerate(lengths.tolist()):
        for t in range(length):
            expected = scores[max(0, t - 1) : min(length, t + 2), k].mean(0)
            assert_close(found[t, k], expected)


@pytest.mark.parametrize("eligibility", [True, False])
def test_penalties_add_up(eligibility: bool) -> None:
    """The task's loss is that of the frames, plus the penalties, with padding in none of them."""
    net, data = make(mask_rec=Random(sparsity=0.5), bidirectional=True, n_repeat=2), batch()
    penalty = FiringRate(5.0, 0.1, over="sum", eligibility=eligibility)
    plain = FramewiseClassification(net)
    task = FramewiseClassification(net, firing_rate=penalty, l2=L2(0.1))
    inside = data.labels >= 0
    expected = (
        plain.training_step(data, 0)  # type: ignore[arg-type]
        + penalty(net(data.features, data.lengths).spikes, inside, layers=net.layers)
        + 0.05 * sum(w.square().sum() for layer in net.layers for w in layer.weights())
        + 0.05 * net.readout.w_out.square().sum()  # type: ignore[union-attr,operator]
    )
    found = task.training_step(data, 0)  # type: ignore[arg-type]
    assert_close(found, expected)
    grads = [
        torch.autograd.grad(loss, net.layers[1].w_rec, retain_graph=True)[0]
        for loss in (found, expected, plain.training_step(data, 0))  # type: ignore[arg-type]
    ]
    assert_close(grads[0], grads[1])
    assert not torch.allclose(grads[0], grads[2])


def test_no_penalty_unless_wanted() -> None:
    net, data = make(), batch()
    task = FramewiseClassification(net)
    assert_close(
        task.training_step(data, 0),  # type: ignore[arg-type]
        task.loss(net(data.features, data.lengths).outputs, data.labels),
    )
