"""Gradients of a printed step in the ways that autograd is used."""

from __future__ import annotations

from typing import Any

import pytest
import snntorch as snn
import torch
from torch import Tensor

from snn_neuromod import snntorch as ours
from tests.snntorch.steps import (
    CLASSES,
    EVERY,
    B,
    N,
    inputs,
    made,
    needs_compiler,
    plainly,
)

pytestmark = needs_compiler


@pytest.mark.parametrize("name", ["ALIF", "MSRC"])
def test_without_gradients(name: str) -> None:
    neuron = EVERY[name](init_hidden=True)
    x = inputs(neuron, torch.float32)
    trained = torch.stack([neuron(step) for step in x.requires_grad_()])
    neuron.reset_mem()
    with torch.no_grad():
        evaluated = torch.stack([neuron(step) for step in x])
    assert torch.equal(trained.detach(), evaluated)
    assert trained.requires_grad
    assert not evaluated.requires_grad
    assert not neuron.mem.requires_grad


def test_only_a_parameter_learns() -> None:
    neuron = ours.ALIF(0.9, learn_beta=True, init_hidden=True).double()
    x, grads = inputs(neuron), []
    for context in (torch.enable_grad(), plainly()):
        neuron.reset_mem()
        with context:
            torch.stack([neuron(step) for step in x]).sum().backward()
        grads.append(neuron.beta.grad.clone())
        neuron.beta.grad = None
    torch.testing.assert_close(*grads)


def test_a_membrane_alone_is_trained_on() -> None:
    """No gradient comes from the spikes."""
    neuron = ours.ALIF(0.9, reset_mechanism="none").double()
    found = []
    for context in (torch.enable_grad(), plainly()):
        x = torch.ones(2, 3, dtype=torch.float64, requires_grad=True)
        with context:
            _, adapt, mem = neuron(x)
            neuron(x, adapt, mem)[2].sum().backward()
        found.append(x.grad)
        neuron.reset_mem()
    torch.testing.assert_close(*found)


def test_the_result_may_be_changed_in_place() -> None:
    found = []
    for context in (torch.enable_grad(), plainly()):
        neuron = ours.ALIF(0.9).double()
        x = torch.full((2, 3), 1.5, dtype=torch.float64, requires_grad=True)
        with context:
            spk, adapt, mem = neuron(x)
            spk *= 3
            mem[0] = 0.25
            spk2, _, mem = neuron(x, adapt, mem)
            (spk.sum() + (mem * spk2).sum()).backward()
        found.append(x.grad)
    torch.testing.assert_close(*found)


@pytest.mark.parametrize("name", ["ALIF", "Izhikevich", "BSRC", "MSRC attached"])
def test_a_gradient_of_a_gradient(name: str) -> None:
    """The backward pass is differentiated through the plain step, so that it is right."""
    found = []
    for context in (torch.enable_grad(), plainly()):
        torch.manual_seed(3)
        neuron = EVERY[name]().double()
        x = (inputs(neuron)[:4]).requires_grad_()
        with context:
            state: Any = ()
            spikes: Any = 0.0
            for step in x.unbind(0):
                spk, *state = neuron(step, *state)
                spikes = spikes + spk.square()
            loss = spikes.sum() + sum(s.square().sum() for s in state)
            (first,) = torch.autograd.grad(loss, x, create_graph=True)
            wanted = [x, *neuron.parameters()]
            second = torch.autograd.grad(first.square().sum(), wanted, allow_unused=True)
        found.append([first.detach(), *(g for g in second if g is not None)])
    assert found[0][1].any()
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b)


def test_a_state_given_twice_has_two_gradients() -> None:
    found = []
    for context in (torch.enable_grad(), plainly()):
        neuron = ours.ALIF(0.9).double()
        same = torch.full((2, 3), 0.3, dtype=torch.float64, requires_grad=True)
        with context:
            _, adapt, mem = neuron(torch.ones(2, 3, dtype=torch.float64), same, same)
            (first,) = torch.autograd.grad((mem * mem * adapt).sum(), same, create_graph=True)
        found.append(first)
    torch.testing.assert_close(*found)


def test_function_transforms() -> None:
    neuron = ours.ALIF(0.9, learn_beta=True).double()
    x = torch.full((4, N), 1.2, dtype=torch.float64)

    def loss(params: Any, step: Tensor) -> Tensor:
        spk, _, mem = torch.func.functional_call(neuron, params, (step[None],))
        return (spk + mem**2).sum()

    params = dict(neuron.named_parameters())
    grads = torch.func.vmap(torch.func.grad(loss), (None, 0))(params, x)
    neuron.reset_mem()
    spk, _, mem = neuron(x)
    (spk + mem**2).sum().backward()
    torch.testing.assert_close(grads["beta"].sum(), neuron.beta.grad)


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
def test_compiled_whole() -> None:
    neuron = ours.ALIF(0.9, init_hidden=True)
    x = inputs(neuron, torch.float32)
    compiled = torch.compile(neuron, fullgraph=True, backend="aot_eager")
    first = torch.stack([compiled(step) for step in x])
    neuron.reset_mem()
    assert torch.equal(first, torch.stack([neuron(step) for step in x]))


def test_memory_of_the_backward_pass() -> None:
    """At most two tensors a step more than `snntorch.Leaky` keeps."""
    leaky = saved(snn.Leaky(0.9, init_hidden=True))
    for name, kind in CLASSES.items():
        neuron = made(kind, init_hidden=True)
        if not hasattr(kind, "_connect") and kind is not ours.Custom:
            assert saved(neuron) <= round(leaky) + 2, name


def saved(neuron: Any) -> float:
    """Tensors of a step's size per step that a graph keeps alive, input and spikes included."""
    steps, kept = 20, {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = (storage.nbytes(), storage)
        return tensor

    x = [torch.rand(B, N, requires_grad=True) for _ in range(steps)]
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        spikes = [neuron(step) for step in x]
    assert len(spikes) == steps
    return sum(size >= 4 * B * N for size, _ in kept.values()) / steps


@pytest.mark.parametrize("place", range(4))
def test_negated_views_are_read_with_their_sign(place: int) -> None:
    """Such as an imaginary part: input, adaptation, membrane, or the gradient that comes back."""
    neuron, given = ours.ALIF(0.9), [1 + torch.rand(B, N) for _ in range(4)]
    results = []
    for view in (torch.clone, lambda x: torch._neg_view(-x)):
        *step, grad = [view(x) if k == place else x.clone() for k, x in enumerate(given)]
        leaves = [x.requires_grad_() for x in step]
        out = neuron(*leaves)
        results.append([*out, *torch.autograd.grad(sum(out), leaves, grad)])
    assert results[0][0].any()
    for expected, got in zip(*results, strict=True):
        torch.testing.assert_close(got, expected)
