"""RecurrentStack against layers run by the scan: what each layer learns from, and the readout of the lower layers."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

import snn_neuromod as nm
from snn_neuromod.dynamics import scan

SIZES, INPUTS, OUTPUTS, BATCH, STEPS = (6, 5, 4), 3, 2, 2, 30
credits_ = pytest.mark.parametrize("credit", ["broadcast", "spatial"])
feedbacks = pytest.mark.parametrize("feedback", ["symmetric", "random", "adaptive"])


def make(
    credit: Any = "broadcast", rule: Any = "eprop", feedback: Any = "symmetric"
) -> tuple[nm.RecurrentStack, nm.LeakyReadout]:
    """Three kinds of live layers and a readout of them all."""
    torch.manual_seed(0)
    neurons = [
        nm.ALIF(SIZES[0], v_th=0.6, refractory=2),
        nm.STDPALIF(SIZES[1], v_th=0.5, tau_mem=10.0),
        nm.SRC(SIZES[2], alpha=0.5),
    ]
    layers = [
        nm.Recurrent(neuron, inputs, learning_rule=rule)
        for neuron, inputs in zip(neurons, (INPUTS, *SIZES), strict=False)
    ]
    stack = nm.RecurrentStack(layers, credit=credit).double()
    with torch.no_grad():
        for layer, gain in zip(layers, (0.1, 1.0, 3.0), strict=True):
            layer.w_in.add_(gain)
            layer.w_rec.mul_(0.5)
    return stack, nm.LeakyReadout(sum(SIZES), OUTPUTS, tau_out=5.0, feedback=feedback).double()


def sequence() -> Tensor:
    return torch.rand(STEPS, BATCH, INPUTS, generator=torch.Generator().manual_seed(1)).double()


def loss_of(y: Tensor) -> Tensor:
    target = torch.sin(torch.arange(STEPS)[:, None, None] * 0.3 + torch.arange(OUTPUTS))
    return (y - target).square().sum()


def by_scan(layer: nm.Recurrent, x: Tensor, hops: int | None = 0) -> Tensor:
    current = x @ layer.w_in.T
    neuron = layer.neuron
    spikes, _ = scan(
        neuron.dynamics.step, neuron.params(x.dtype), neuron.initial_state(current[0]), current,
        w_rec=layer.w_rec, hops=hops, **neuron.step_options(),
    )  # fmt: skip
    return spikes


def weights(stack: nm.RecurrentStack) -> list[Tensor]:
    return [w for layer in stack.layers for w in (layer.w_in, layer.w_rec)]


def gradients(stack: nm.RecurrentStack, readout: nm.LeakyReadout) -> list[Tensor]:
    spikes, _ = stack(sequence())
    loss = loss_of(readout(spikes)[0])
    return list(torch.autograd.grad(loss, [*weights(stack), *readout.parameters()][: 6 + 2]))


def assert_equal(found: list[Tensor], expected: list[Tensor]) -> None:
    for a, b in zip(found, expected, strict=True):
        b = b.clone().fill_diagonal_(0.0) if b.shape[0] == b.shape[-1] else b
        assert b.abs().max() > 0, "no gradient: nothing tested"
        assert (a - b).norm() < 1e-10 * b.norm()


@feedbacks
def test_broadcast_is_each_layer_with_its_own_columns(feedback: Any) -> None:
    stack, readout = make("broadcast", feedback=feedback)
    x, expected, spikes = sequence(), [], []
    for layer in stack.layers:
        spikes.append(by_scan(layer, x))
        assert (spikes[-1] > 0.5).any(), "silent layer"
        assert not (spikes[-1] > 0.5).all(), "layer that always fires"
        x = spikes[-1].detach()
    together = torch.cat(spikes, -1).detach().requires_grad_()
    (error,) = torch.autograd.grad(loss_of(readout(together)[0]), together)
    for layer, own, signal in zip(stack.layers, spikes, error.split(SIZES, -1), strict=True):
        expected += torch.autograd.grad((signal * own).sum(), (layer.w_in, layer.w_rec))
    assert_equal(gradients(stack, readout)[:6], expected)


@feedbacks
def test_spatial_is_autograd_with_only_the_recurrent_spikes_detached(feedback: Any) -> None:
    stack, readout = make("spatial", feedback=feedback)
    x, spikes = sequence(), []
    for layer in stack.layers:
        x = by_scan(layer, x)
        spikes.append(x)
    loss = loss_of(readout(torch.cat(spikes, -1))[0])
    assert_equal(gradients(stack, readout)[:6], list(torch.autograd.grad(loss, weights(stack))))


def test_the_credits_differ_from_each_other_and_from_backpropagation_through_time() -> None:
    """Negative control; the topmost layer hears the same under both credits."""
    broadcast, spatial, bptt = (
        gradients(*make(credit, rule))
        for credit, rule in (("broadcast", "eprop"), ("spatial", "eprop"), ("spatial", "bptt"))
    )
    for i in range(6):
        assert (spatial[i] - bptt[i]).norm() > 1e-3 * bptt[i].norm()
        if i < 4:
            assert (broadcast[i] - spatial[i]).norm() > 1e-2 * spatial[i].norm()
        else:
            assert_close(broadcast[i], spatial[i], rtol=1e-12, atol=0.0)


@credits_
def test_each_column_of_the_readout_learns_from_its_own_neuron(credit: Any) -> None:
    """An earlier code gave the columns of lower layers the spikes of the last one."""
    stack, readout = make(credit)
    spikes, _ = stack(sequence())
    kappa = readout.filter.params().kappa
    filtered = [torch.zeros_like(spikes[0])]
    for z in spikes:
        filtered.append(
            kappa[..., None] * filtered[-1] + z if kappa.ndim else kappa * filtered[-1] + z
        )
    y, _ = readout(spikes)
    y = y.detach().requires_grad_()
    (error,) = torch.autograd.grad(loss_of(y), y)
    expected = torch.einsum("tbk,tbj->kj", error, torch.stack(filtered[1:]))
    (found,) = torch.autograd.grad(loss_of(readout(spikes)[0]), readout.w_out)
    assert (found - expected).norm() < 1e-10 * expected.norm()
    lower = found[:, : SIZES[1]] - found[:, -SIZES[1] :]
    assert lower.abs().max() > 0


@credits_
def test_spikes_are_those_of_the_layers_one_after_the_other(credit: Any) -> None:
    stack, _ = make(credit)
    spikes, state = stack(sequence())
    x, states = sequence(), []
    for layer, own in zip(stack.layers, spikes.split(SIZES, -1), strict=True):
        x, last = layer(x)
        assert torch.equal(own, x)
        states.append(last)
    assert_close(state, tuple(states))
    assert stack.num_neurons == sum(SIZES)


def test_segments_are_the_full_run() -> None:
    stack, _ = make()
    full, last = stack(sequence())
    head, state = stack(sequence()[:11])
    tail, state = stack(sequence()[11:], state)
    assert_close(torch.cat([head, tail]), full, rtol=1e-9, atol=1e-9)
    assert_close(state, last, rtol=1e-9, atol=1e-9)


def test_wrong_arguments() -> None:
    layer, other = nm.Recurrent(nm.ALIF(4), 3), nm.Recurrent(nm.ALIF(5), 6)
    with pytest.raises(ValueError, match="layers must hold at least one layer, got none"):
        nm.RecurrentStack([])
    with pytest.raises(TypeError, match="layers must be Recurrent layers, got ALIF"):
        nm.RecurrentStack([layer, nm.ALIF(4)])  # type: ignore[list-item]
    with pytest.raises(ValueError, match=r"layer 1 must have in_features=4, .* got 6"):
        nm.RecurrentStack([layer, other])
    with pytest.raises(ValueError, match="credit must be one of broadcast, spatial, got 'global'"):
        nm.RecurrentStack([layer], credit="global")  # type: ignore[arg-type]
    stack = nm.RecurrentStack([layer])
    with pytest.raises(ValueError, match="one state for each of 1 layers, got 2"):
        stack(torch.rand(5, 2, 3), [None, None])  # type: ignore[list-item]
    assert "credit='broadcast'" in repr(stack)
