"""Bidirectional: the second network reads each sequence from its own end."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

import snn_neuromod as nm

INPUTS, LENGTHS = 3, (17, 9, 1, 30)


def recurrent() -> nn.Module:
    net = nm.Recurrent(nm.ALIF(5, v_th=0.5), INPUTS, learning_rule="eprop").double()
    with torch.no_grad():
        net.w_in.abs_().mul_(0.5)
    return net


def stack() -> nn.Module:
    upper = nm.Recurrent(nm.ALIF(4, v_th=0.5), 5).double()
    with torch.no_grad():
        upper.w_in.add_(0.5)
    return nm.RecurrentStack([recurrent(), upper])  # type: ignore[list-item]


def padded(lengths: tuple[int, ...] = LENGTHS) -> tuple[Tensor, Tensor]:
    """Sequences of several lengths, with noise behind their ends."""
    generator = torch.Generator().manual_seed(2)
    x = torch.rand(max(lengths), len(lengths), INPUTS, generator=generator, dtype=torch.float64)
    return x, torch.tensor(lengths)


@pytest.mark.parametrize("make", [recurrent, stack])
def test_each_sequence_of_a_padded_batch_is_as_alone(make: Callable[[], nn.Module]) -> None:
    net = nm.Bidirectional(make(), make())
    x, lengths = padded()
    spikes = net(x, lengths)
    assert (spikes > 0).any(0).any(0).sum() > 5, "silent network"
    for b, length in enumerate(LENGTHS):
        assert_close(spikes[:length, b : b + 1], net(x[:length, b : b + 1]), rtol=0.0, atol=1e-12)
        assert not spikes[length:, b].any()


def test_gradients_of_a_padded_batch_are_the_sum_of_those_alone() -> None:
    net = nm.Bidirectional(recurrent(), recurrent())
    x, lengths = padded()
    weights = torch.randn(len(x), 1, 10, dtype=torch.float64)
    found = torch.autograd.grad((net(x, lengths) * weights).sum(), list(net.parameters()))
    alone = [
        torch.autograd.grad((net(x[:n, b : b + 1]) * weights[:n]).sum(), list(net.parameters()))
        for b, n in enumerate(LENGTHS)
    ]
    for a, *parts in zip(found, *alone, strict=True):
        assert_close(a, sum(parts), rtol=1e-10, atol=1e-12)
        assert a.abs().max() > 0


def test_the_halves_are_forwards_and_backwards() -> None:
    net = nm.Bidirectional(recurrent(), recurrent())
    x, _ = padded()
    first, second = net(x).split(5, -1)
    assert torch.equal(first, net.forward_net(x)[0])
    assert torch.equal(second, net.backward_net(x.flip(0))[0].flip(0))
    assert not torch.equal(second, net.backward_net(x)[0])
    assert torch.equal(net(x, torch.full((4,), len(x))), net(x))


def test_wrong_arguments() -> None:
    layer = recurrent()
    with pytest.raises(ValueError, match="must be two networks, got the same one twice"):
        nm.Bidirectional(layer, layer)
    net = nm.Bidirectional(layer, recurrent())
    x, _ = padded()
    with pytest.raises(ValueError, match=r"lengths must lie in 1 ... 30, got \[31, 1, 1, 1\]"):
        net(x, torch.tensor([31, 1, 1, 1]))
    with pytest.raises(ValueError, match=r"lengths must lie in 1 ... 30, got \[0, 1, 1, 1\]"):
        net(x, torch.tensor([0, 1, 1, 1]))
    for lengths in (torch.tensor([1, 2]), torch.ones(4)):
        with pytest.raises(ValueError, match="lengths must be 4 integers, one for each sequence"):
            net(x, lengths)
