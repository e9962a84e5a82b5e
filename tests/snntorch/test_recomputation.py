"""`torch.utils.checkpoint` over neurons that keep their state: gradients are those without it, or it is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close
from torch.utils.checkpoint import checkpoint

import snn_neuromod as nm
from snn_neuromod import snntorch as ours
from snn_neuromod.errors import RunError

T, B, N = 8, 3, 6
NEURONS: dict[str, Callable[..., ours.Neuron]] = {
    "ALIF": lambda **options: ours.ALIF(0.9, **options),
    "Leaky of ours": lambda **options: ours.ALIF(0.9, adapt_strength=0.0, **options),
    "RALIF": lambda **options: ours.RALIF(0.9, linear_features=N, **options),
    "STDPALIF": lambda **options: ours.STDPALIF(0.9, **options),
    "Izhikevich": lambda **options: ours.Izhikevich(**options),
    "SRC": lambda **options: ours.SRC(**options),
    "MSRC": lambda **options: ours.MSRC(num_neurons=N, learn_modulation=True, **options),
    "BSRC": lambda **options: ours.BSRC(num_neurons=N, **options),
}
every_neuron = pytest.mark.parametrize("name", NEURONS)


def network(name: str, **options: Any) -> nn.Sequential:
    torch.manual_seed(1)
    neuron = NEURONS[name](init_hidden=True, **options)
    net = nn.Sequential(nn.Linear(N, N), neuron).double()
    with torch.no_grad():
        net[0].weight.mul_(3 * neuron.input_scale)
    return net


def inputs(length: int = T) -> Tensor:
    torch.manual_seed(2)
    return 2 * torch.rand(length, B, N, dtype=torch.float64)


def loop(net: nn.Module, x: Tensor) -> Tensor:
    return torch.stack([net(step) for step in x.unbind(0)])


def by_parts(length: int, reentrant: bool = False) -> Callable[[nn.Module, Tensor], Tensor]:
    def run(net: nn.Module, x: Tensor, through: Any = loop) -> Tensor:
        parts = [checkpoint(through, net, p, use_reentrant=reentrant) for p in x.split(length)]
        return torch.cat(parts)

    return run


def loss(spikes: Tensor) -> Tensor:
    weights = torch.arange(1.0, 1 + spikes.numel(), dtype=spikes.dtype).sin()
    return (spikes * weights.view_as(spikes)).sum()


def results(run: Callable[..., Tensor], net: nn.Module, *options: Any) -> list[Tensor]:
    """Spikes, gradients of input and weights, and the state afterwards."""
    x = inputs().requires_grad_()
    spikes = run(net, x, *options)
    loss(spikes).backward()
    assert x.grad is not None
    assert x.grad.abs().max() > 0
    state = [state.detach() for state in kept(net[1])]
    return [spikes.detach(), x.grad, *(p.grad for p in net.parameters()), *state]


def kept(neuron: Any) -> list[Tensor]:
    return [getattr(neuron, name) for name in neuron.state_names]


def equal(got: list[Tensor], wanted: list[Tensor]) -> None:
    for a, b in zip(got, wanted, strict=True):
        assert_close(a, b, rtol=1e-10, atol=1e-12)


@every_neuron
@pytest.mark.parametrize("length", [1, 3, T])
def test_gradients_by_parts(name: str, length: int) -> None:
    equal(results(by_parts(length), network(name)), results(loop, network(name)))


def test_a_part_inside_another() -> None:
    def nested(net: nn.Module, x: Tensor) -> Tensor:
        return by_parts(4)(net, x, by_parts(2))

    equal(results(nested, network("ALIF")), results(loop, network("ALIF")))


def test_what_is_read_off_the_neuron_inside_a_part() -> None:
    def membranes(net: nn.Module, x: Tensor) -> Tensor:
        return torch.stack([net(step) + net[1].mem.square() for step in x.unbind(0)])

    got = results(by_parts(2), network("ALIF"), membranes)
    equal(got, results(membranes, network("ALIF")))


def test_whole_sequences_at_once() -> None:
    equal(results(by_parts(4), network("ALIF"), ours.run), results(loop, network("ALIF")))


def test_truncated_in_time_with_a_second_backward_pass() -> None:
    grads = []
    for run in (loop, by_parts(2)):
        net = network("ALIF")
        for x in inputs(2 * T).split(T):
            total = loss(run(net, x))
            total.backward(retain_graph=True)
            total.backward()
            nm.detach(net)
        grads.append(net[0].weight.grad)
    assert_close(*grads, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("reentrant", [False, True], ids=["by hooks", "reentrant"])
def test_a_sequence_that_begins_with_a_reset(reentrant: bool) -> None:
    def from_rest(net: nn.Module, x: Tensor) -> Tensor:
        nm.reset(net)
        return loop(net, x)

    for length in (T, 2):  # several sequences too, each with its own start

        def plain(net: nn.Module, x: Tensor, length: int = length) -> Tensor:
            return torch.cat([from_rest(net, part) for part in x.split(length)])

        got = results(by_parts(length, reentrant), network("ALIF"), from_rest)
        equal(got, results(plain, network("ALIF")))


@every_neuron
def test_a_reentrant_part_is_refused(name: str) -> None:
    with pytest.raises(RunError, match=r"use_reentrant=False.*init_hidden=False"):
        results(by_parts(2, reentrant=True), network(name))


@pytest.mark.parametrize("reentrant", [False, True], ids=["by hooks", "reentrant"])
def test_states_that_are_passed(reentrant: bool) -> None:
    """They are arguments as any other; the state that the neuron keeps is the last one of the forward pass."""
    found = []
    for run in (lambda step, *a: step(*a), lambda *a: checkpoint(*a, use_reentrant=reentrant)):
        neuron, x = ours.ALIF(0.9).double(), inputs().requires_grad_()
        state, spikes = (torch.zeros_like(x[0]), torch.zeros_like(x[0])), []
        for step in x.unbind(0):
            spk, *state = run(neuron, step, *state)
            spikes.append(spk)
        loss(torch.stack(spikes)).backward()
        found.append([x.grad, *(state.detach() for state in kept(neuron))])
    assert found[0][0].any()
    equal(found[1], found[0])


def test_a_network_that_is_called_in_a_hook_without_gradients() -> None:
    net, x = network("ALIF"), inputs().requires_grad_()
    spikes = loop(net, x)

    def look(grad: Tensor) -> None:
        with torch.no_grad():
            net(inputs()[0])

    spikes.register_hook(look)
    loss(spikes).backward()
