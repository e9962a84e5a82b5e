"""A step in a loop by a printed kernel gives what the step in plain PyTorch gives, and stands aside where it has to."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from snntorch import surrogate

from snn_neuromod import snntorch as ours
from tests.snntorch.steps import (
    CLASSES,
    EVERY,
    THRESHOLD,
    B,
    N,
    inputs,
    needs_compiler,
    plainly,
    results,
)

pytestmark = needs_compiler


@pytest.mark.parametrize("name", EVERY)
def test_it_is_the_plain_step(name: str) -> None:
    """Every neuron that snnTorch's form has, and its options; fused throughout, as the count of kernels says."""
    neuron = EVERY[name]().double()
    x = inputs(neuron)
    fused = results(neuron, x, fused=True)
    with plainly():
        plain = results(neuron, x, fused=False)
    assert fused[0].any()
    assert len(fused) == len(plain)
    if name in THRESHOLD:
        assert torch.equal(fused[0], plain[0])
    for a, b in zip(fused, plain, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9 * float(b.abs().max() + 1e-3))


@pytest.mark.parametrize("name", CLASSES)
def test_single_precision(name: str) -> None:
    neuron = EVERY[name]()
    x = inputs(neuron, torch.float32)
    fused = results(neuron, x, fused=True)
    with plainly():
        plain = results(neuron, x, fused=False)
        exact = results(neuron.double(), x.double(), fused=False)
    if name in THRESHOLD and "R" not in name[:1]:
        assert torch.equal(fused[0], plain[0])
    for a, b, c in zip(fused, plain, exact, strict=True):
        wrong = float((a - c).norm()), float((b - c).norm())
        assert wrong[0] <= 3 * wrong[1] + 1e-5 * float(c.norm())


def test_half_precision() -> None:
    neuron = ours.ALIF(0.9)
    x = torch.rand(4, N).bfloat16()
    spk, _, mem = neuron(x)
    assert (spk.dtype, mem.dtype) == (torch.bfloat16, torch.float32)
    with plainly():
        plain = ours.ALIF(0.9)(x)
    assert torch.equal(mem, plain[-1])


def test_modulation_of_a_step() -> None:
    found = []
    for context in (torch.enable_grad(), plainly()):
        neuron = ours.MSRC(detach_recurrence=False).double()
        x = torch.ones(B, N, dtype=torch.float64)
        given = torch.linspace(0, 1, B, dtype=torch.float64)[:, None].requires_grad_()
        state: Any = ()
        with context:
            for _ in range(3):
                _, *state = neuron(x, *state, modulation=given)
            state[-1].sum().backward()
        found += [state[-1].detach(), given.grad]
    torch.testing.assert_close(found[0], found[2])
    torch.testing.assert_close(found[1], found[3])
    with pytest.raises(ValueError, match="modulation"):
        neuron(x, modulation=torch.ones(7, dtype=torch.float64))


@pytest.mark.parametrize("name", ["atan", "fast_sigmoid", "custom_surrogate"])
def test_surrogates_of_snntorch(name: str) -> None:
    given = [lambda x, grad, spk: grad * torch.exp(-2 * x.abs())] * (name == "custom_surrogate")
    neuron = ours.ALIF(0.9, spike_grad=getattr(surrogate, name)(*given))
    x = inputs(neuron, torch.float32)
    fused = results(neuron, x, fused=True)
    with plainly():
        plain = results(neuron, x, fused=False)
    assert torch.equal(fused[0], plain[0])
    for a, b in zip(fused, plain, strict=True):
        torch.testing.assert_close(a, b)


def test_what_cannot_be_traced_is_plain() -> None:
    """`triangular` picks elements by a mask."""
    neuron = ours.ALIF(0.9, spike_grad=surrogate.triangular())
    x = torch.full((2, N), 1.2, requires_grad=True)
    neuron(x)[0].sum().backward()
    assert x.grad is not None
    assert x.grad.any()
    assert set(vars(neuron)["_bound_step"].step._plans.values()) == {None}


@pytest.mark.parametrize("shape", [(0, N), (B, N, 0)])
def test_nothing_at_all(shape: tuple[int, ...]) -> None:
    assert ours.ALIF(0.9)(torch.ones(shape))[0].shape == shape


@pytest.mark.parametrize("view", ["columns", "expanded"])
def test_views(view: str) -> None:
    whole = torch.rand(N, B) if view == "columns" else torch.rand(B, 1)
    x = whole.T if view == "columns" else whole.expand(B, N)
    neuron = ours.ALIF(0.9)
    found = neuron(x, x, x), neuron(x.contiguous(), x.contiguous(), x.contiguous())
    for a, b in zip(*found, strict=True):
        assert torch.equal(a, b)
