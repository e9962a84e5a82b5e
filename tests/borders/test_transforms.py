"""Function transforms of PyTorch: right numbers or a refusal, for every layer and rule; never a silent zero."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.func import functional_call, grad, jvp, vmap

import snn_neuromod as nm
from tests.learning.oracles.problems import PROBLEMS, Problem

T, B, N = 12, 3, 4
LAYERS: dict[str, tuple[Callable[[], Any], float]] = {
    "ALIF": (lambda: nm.ALIF(N, tau_mem=8.0, refractory=1, learn=["beta"]), 1.2),
    "STDPALIF": (lambda: nm.STDPALIF(N, tau_mem=8.0, learn=["v_th"]), 1.2),
    "Izhikevich": (lambda: nm.Izhikevich(N, dt=0.5, learn=["d"]), 60.0),
    "SRC": (lambda: nm.SRC(N, alpha=0.5, learn=["b"]), 5.0),
    "MSRC": (lambda: nm.MSRC(N, alpha=0.5, learn_modulation=True), 5.0),
    "BSRC": (lambda: nm.BSRC(N, learn_modulation=True), 2.0),
    "LeakyIntegrator": (lambda: nm.LeakyIntegrator(N, tau=5.0, learn=["tau"]), 1.0),
}
EVERY = pytest.mark.parametrize("name", LAYERS)
RULES = ["bptt", "eprop", "khop", "rflo", "ostl", "ottt"]
KINDS = [
    next(p for p in PROBLEMS if str(p).startswith(f"{name} "))
    for name in ("alif", "stdp_alif", "izhikevich", "src", "msrc", "bsrc")
]
LEARNERS = [*itertools.product([*KINDS, PROBLEMS[8]], RULES)]


def layer_and_input(name: str) -> tuple[Any, Tensor]:
    make, high = LAYERS[name]
    torch.manual_seed(0)
    return make().double(), high * torch.rand(T, B, N, dtype=torch.float64)


def by_sample(module: Any, x: Tensor) -> list[dict[str, Tensor]]:
    """Gradient of each sample, one backward pass after another."""
    found = []
    for sample in x.unbind(1):
        module.zero_grad()
        module(sample[:, None])[0].square().sum().backward()
        found.append({n: p.grad.clone() for n, p in module.named_parameters()})
    assert all(g.abs().sum() > 0 for g in found[0].values())
    return found


def check_per_sample(module: Any, x: Tensor) -> None:
    params = dict(module.named_parameters())

    def loss(params: dict[str, Tensor], sample: Tensor) -> Tensor:
        total: Tensor = functional_call(module, params, (sample[:, None],))[0].square().sum()
        return total

    expected = by_sample(module, x)
    one = grad(loss)(params, x[:, 0])
    together = vmap(grad(loss), in_dims=(None, 1))(params, x)
    for name in params:
        torch.testing.assert_close(one[name], expected[0][name], rtol=1e-9, atol=1e-11)
        stacked = torch.stack([sample[name] for sample in expected])
        torch.testing.assert_close(together[name], stacked, rtol=1e-9, atol=1e-11)


@EVERY
def test_gradients_by_sample_of_layers(name: str) -> None:
    check_per_sample(*layer_and_input(name))


@pytest.mark.parametrize(("problem", "rule"), LEARNERS, ids=str)
def test_gradients_by_sample_of_rules(problem: Problem, rule: str) -> None:
    check_per_sample(problem.make(rule), torch.as_tensor(problem.input()))


@EVERY
def test_forward_mode_is_right(name: str) -> None:
    """The tangent is the Jacobian that backward passes give, times the direction."""
    layer, x = layer_and_input(name)
    direction, weights = torch.randn_like(x), torch.randn_like(x)
    with_grad = x.clone().requires_grad_()
    (back,) = torch.autograd.grad((layer(with_grad)[0] * weights).sum(), with_grad)
    expected = (back * direction).sum()
    assert expected.abs() > 0
    for tangent in (_by_jvp, _by_dual):
        found = tangent(layer, x, direction)
        assert found is not None, "a tangent that is silently not there"
        torch.testing.assert_close((found * weights).sum(), expected, rtol=1e-9, atol=1e-11)


def _by_jvp(layer: Any, x: Tensor, direction: Tensor) -> Tensor | None:
    _, tangent = jvp(lambda x: layer(x)[0], (x,), (direction,))
    return tangent


def _by_dual(layer: Any, x: Tensor, direction: Tensor) -> Tensor | None:
    with forward_ad.dual_level():
        spikes, _ = layer(forward_ad.make_dual(x, direction))
        tangent: Tensor | None = forward_ad.unpack_dual(spikes).tangent
        return tangent


@EVERY
def test_double_backward_is_right_or_refused(name: str) -> None:
    """The reference path is differentiable twice by plain autograd; others give the same, or say that they cannot."""
    layer, x = layer_and_input(name)
    found = []
    for backend in ("reference", None):
        with_grad = x.clone().requires_grad_()
        layer.backend = backend
        (first,) = torch.autograd.grad(
            layer(with_grad)[0].square().sum(), with_grad, create_graph=True
        )
        try:
            (second,) = torch.autograd.grad(first.square().sum(), with_grad)
        except (RuntimeError, NotImplementedError):
            second = None
        found.append(second)
    assert found[0] is not None
    if found[1] is not None:
        torch.testing.assert_close(found[1], found[0], rtol=1e-9, atol=1e-11)
