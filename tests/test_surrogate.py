"""Spike functions: threshold convention, pseudo-derivatives against their formulas, refractory values."""

from __future__ import annotations

import math
import pickle
from typing import Any

import pytest
import torch
from torch.testing import assert_close

from snn_neuromod import Psi, surrogate

FORMULAS = {
    "triangular": lambda x: max(0.0, 1 - abs(x)),
    "exponential": lambda x: math.exp(min(x, 0.0)),
    "boxcar": lambda x: float(abs(x) < 0.5),
    "fast_sigmoid": lambda x: 1 / (1 + abs(x)) ** 2,
    "gaussian": lambda x: math.exp(-(x**2) / 2),
    "arctan": lambda x: 1 / (1 + x**2),
}
DISTANCES = [-3.0, -1.0, -0.61, -0.3, 0.0, 0.2, 0.59, 1.1, 4.0]


def gradient(psi: Psi, distance: torch.Tensor, unit: Any, held: Any = None) -> torch.Tensor:
    leaf = distance.clone().requires_grad_()
    return torch.autograd.grad(psi(leaf, unit, held).sum(), leaf)[0]


@pytest.mark.parametrize("shape", FORMULAS)
@pytest.mark.parametrize("scale", ["threshold", "none"])
@pytest.mark.parametrize("unit", [1.0, 0.4, torch.linspace(0.2, 2.0, 9, dtype=torch.float64)])
def test_pseudo_derivatives(shape: Any, scale: Any, unit: Any) -> None:
    psi = Psi(shape=shape, gamma=0.7, width=1.5, scale=scale)
    distance = torch.tensor(DISTANCES, dtype=torch.float64)
    units = unit.tolist() if isinstance(unit, torch.Tensor) else [unit] * len(DISTANCES)
    expected = [
        0.7 * FORMULAS[shape](d / (1.5 * u)) / (u if scale == "threshold" else 1)
        for d, u in zip(DISTANCES, units, strict=True)
    ]
    assert_close(psi.derivative(distance, unit), torch.tensor(expected, dtype=torch.float64))
    assert_close(gradient(psi, distance, unit), torch.tensor(expected, dtype=torch.float64))


def test_defaults_are_those_of_the_source() -> None:
    """Psi = (gamma / v_th) max(0, 1 - |v - A| / v_th), gamma = 0.3, 0 while refractory."""
    distance = torch.tensor([0.0, 0.1, -0.3], dtype=torch.float64)
    expected = 0.3 / 0.2 * (1 - distance.abs() / 0.2).clamp(min=0)
    assert_close(gradient(Psi(), distance, 0.2), expected)
    held = torch.tensor([True, True, False])
    assert gradient(Psi(), distance, 0.2, held).tolist() == [0.0, 0.0, 0.0]


def test_a_spike_is_strictly_above() -> None:
    distance = torch.tensor([-1.0, -1e-300, 0.0, 1e-300, 1.0], dtype=torch.float64)
    assert Psi()(distance, 1.0).tolist() == [0, 0, 0, 1, 1]
    held = torch.tensor([False, False, False, False, True])
    assert Psi()(distance, 1.0, held).tolist() == [0, 0, 0, 1, 0]
    assert Psi()(torch.tensor([math.inf, math.inf]), 1.0, torch.tensor([True, False])).tolist() == [
        0,
        1,
    ]


@pytest.mark.parametrize("refractory", [-1.0, 0.0, 1.0])
@pytest.mark.parametrize("at_spike", [None, -1.0, 0.0, 1.0])
def test_values_while_refractory_and_at_the_spike(
    refractory: float, at_spike: float | None
) -> None:
    """In units of gamma; refractory goes before spike, and the scale applies to all."""
    psi = Psi(gamma=0.4, refractory=refractory, at_spike=at_spike)
    distance = torch.tensor([-0.1, 0.1, -0.1, 0.1], dtype=torch.float64)
    held = torch.tensor([False, False, True, True])
    own = 1 - 0.1 / 0.5
    expected = [own, own if at_spike is None else at_spike, refractory, refractory]
    got = gradient(psi, distance, 0.5, held)
    assert_close(got, 0.4 / 0.5 * torch.tensor(expected, dtype=torch.float64))


def test_unit_receives_no_gradient() -> None:
    """Psi is a constant of the backward pass."""
    unit = torch.tensor(0.5, requires_grad=True)
    distance = torch.tensor([0.1], requires_grad=True)
    (grad,) = torch.autograd.grad(Psi()(distance, unit).sum(), unit, allow_unused=True)
    assert grad is None


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_type_is_kept(dtype: torch.dtype) -> None:
    distance = torch.linspace(-1, 1, 5, dtype=dtype).requires_grad_()
    spikes = Psi()(distance, 0.5, torch.zeros(5, dtype=torch.bool))
    assert spikes.dtype == dtype
    assert torch.autograd.grad(spikes.sum(), distance)[0].dtype == dtype


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"shape": "square"}, "Psi: shape must be one of triangular, .*, got 'square'"),
        ({"scale": "unit"}, "Psi: scale must be 'threshold' or 'none', got 'unit'"),
        ({"gamma": 0.0}, "Psi: gamma must be > 0 and finite, got 0.0"),
        ({"gamma": math.nan}, "Psi: gamma must be > 0 and finite, got nan"),
        ({"width": -1.0}, "Psi: width must be > 0 and finite, got -1.0"),
        ({"width": math.inf}, "Psi: width must be > 0 and finite, got inf"),
        ({"refractory": math.nan}, "Psi: refractory must be finite, got nan"),
        ({"at_spike": math.inf}, "Psi: at_spike must be finite, got inf"),
    ],
)
def test_wrong_arguments(arguments: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Psi(**arguments)


def test_psi_is_a_value() -> None:
    assert Psi(gamma=0.5) == Psi(gamma=0.5) != Psi()
    assert pickle.loads(pickle.dumps(Psi(shape="arctan"))) == Psi(shape="arctan")
    with pytest.raises(AttributeError):
        Psi().gamma = 1.0  # type: ignore[misc]


def test_straight_through_relu() -> None:
    h = torch.tensor([-2.0, 0.0, 3.0], dtype=torch.float64, requires_grad=True)
    weights = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    out = surrogate.straight_through_relu(h)
    assert out.tolist() == [0, 0, 3]
    assert torch.equal(torch.autograd.grad(out, h, weights)[0], weights)


def test_smooth_is_a_logistic_function_and_silent_while_held() -> None:
    distance = torch.tensor([-1.0, 0.0, 1.0], dtype=torch.float64, requires_grad=True)
    held = torch.tensor([False, False, True])
    out = surrogate.smooth(distance, 0.5, held)
    assert_close(out, torch.tensor([1 / (1 + math.exp(2)), 0.5, 0.0], dtype=torch.float64))
    assert torch.autograd.gradcheck(lambda d: surrogate.smooth(d, 0.5, held), distance)


@pytest.mark.parametrize("spike_fn", [Psi(), surrogate.smooth])
def test_spike_functions_go_through_vmap(spike_fn: Any) -> None:
    distance = torch.randn(4, 3)
    mapped = torch.vmap(lambda d: spike_fn(d, 0.5, None))(distance)
    assert torch.equal(mapped, spike_fn(distance, 0.5, None))
    grads = torch.vmap(torch.func.grad(lambda d: spike_fn(d, 0.5, None).sum()))(distance)
    leaf = distance.clone().requires_grad_()
    assert_close(grads, torch.autograd.grad(spike_fn(leaf, 0.5, None).sum(), leaf)[0])


@pytest.mark.parametrize("held", [None, torch.tensor([False, True, False, False, True])])
def test_where_nothing_is_differentiated_the_spikes_are_the_same(held: torch.Tensor | None) -> None:
    distance = torch.tensor([-1.0, 1.0, 0.5, math.nan, 0.3])
    for function in (lambda d: Psi()(d, 1.0, held), surrogate.straight_through_relu):
        learned = function(distance.clone().requires_grad_())
        assert learned.requires_grad
        assert learned.nansum() > 0
        constant = function(distance)
        with torch.no_grad():
            without = function(distance.clone().requires_grad_())
            _, tangent = torch.func.jvp(function, (distance,), (torch.ones(5),))
        assert not constant.requires_grad
        assert not without.requires_grad
        assert_close(constant, learned.detach(), rtol=0, atol=0, equal_nan=True)
        assert_close(without, constant, rtol=0, atol=0, equal_nan=True)
        assert tangent.nansum() > 0  # forward mode asks under no_grad too
