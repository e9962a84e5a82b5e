"""The gradient of mSRC in snnTorch's form: wider than its tanh's own, so that a silent neuron learns."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import snn_neuromod as nm
from snn_neuromod import snntorch as ours

X = 2 * torch.rand(20, 4, 3, dtype=torch.float64)


def gradient(weight: Tensor, *, at_once: bool = False, **options: Any) -> tuple[Tensor, Tensor]:
    """Spikes, and gradients of the inputs that `weight` times the spikes has."""
    neuron = ours.MSRC(init_hidden=True, **options).double()
    x = X.clone().requires_grad_()
    run = ours.run if at_once else lambda net, x: torch.stack([net(step) for step in x.unbind(0)])
    spikes = run(neuron, x)
    (spikes * weight).sum().backward()
    assert x.grad is not None
    return spikes.detach(), x.grad


@pytest.mark.parametrize("backend", ["auto", "eager"])
@pytest.mark.parametrize("at_once", [False, True])
def test_it_is_the_root(backend: str, at_once: bool) -> None:
    """At each step sqrt(1 - h^2) in the place of 1 - h^2, and the same values."""
    neuron = ours.MSRC(init_hidden=True).double()
    h = []
    for step in X.unbind(0):
        neuron(step)
        h.append(neuron.mem)
    own = 1 - torch.stack(h) ** 2
    weight = torch.randn(X.shape, dtype=X.dtype)
    with nm.kernels.use(backend):
        spikes, wide = gradient(weight, at_once=at_once)
    plain, expected = gradient(weight / own.clamp(min=1e-6).sqrt(), wide_surrogate=False)
    assert own.min() < 1e-2
    torch.testing.assert_close(spikes, plain, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(wide, expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("options", [{"detach_recurrence": False}, {"surrogate_disable": True}])
def test_exact_gradients_stay_exact(options: Any) -> None:
    weight = torch.ones_like(X)
    _, wide = gradient(weight, **options)
    _, own = gradient(weight, wide_surrogate=False, **options)
    assert torch.equal(wide, own)


def test_a_saturated_membrane_has_a_finite_gradient() -> None:
    neuron = ours.MSRC(b=-40.0)
    x = torch.rand(2, 3, requires_grad=True)
    neuron(x)[0].sum().backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()
