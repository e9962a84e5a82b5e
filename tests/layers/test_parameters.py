"""Ranges, their projection and random values."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch.testing import assert_close

import snn_neuromod as nm
from snn_neuromod.dynamics.parameter import Range
from snn_neuromod.layers import Groups, LogNormal, Normal, Uniform


def test_projection_and_its_gradient() -> None:
    """The identity inside; outside the end, with a gradient only if descent leads back."""
    x = torch.tensor([-2.0, -2.0, 0.5, 0.5, 3.0, 3.0], requires_grad=True)
    kept = Range(0.0, 1.0).keep(x)
    assert kept.tolist() == [0.0, 0.0, 0.5, 0.5, 1.0, 1.0]
    (grad,) = torch.autograd.grad(kept, x, torch.tensor([1.0, -1.0, 1.0, -1.0, 1.0, -1.0]))
    assert grad.tolist() == [0.0, -1.0, 1.0, -1.0, 1.0, 0.0]


def test_open_ends_are_kept_at_a_distance() -> None:
    x = torch.tensor([-1.0, 2.0])
    kept = Range(0.0, 1.0, open_low=True, open_high=True).keep(x)
    assert_close(kept, torch.tensor([1e-4, 1 - 1e-4]))
    assert Range(0.0, 1.0, open_low=True, open_high=True).holds(kept).all()


def test_an_unbounded_range_is_no_operation() -> None:
    x = torch.randn(3)
    assert Range().keep(x) is x


@pytest.mark.parametrize(
    ("allowed", "inside", "outside", "text"),
    [
        (Range(), [-5.0, 5.0], [math.inf, math.nan], "be finite"),
        (Range(0.0), [0.0, 9.0], [-0.1, math.inf], "be >= 0 and finite"),
        (Range(0.0, open_low=True), [0.1], [0.0], "be > 0 and finite"),
        (Range(0.0, open_low=True, infinite=True), [0.1, math.inf], [0.0, math.nan], "be > 0"),
        (Range(-math.inf, -4.0), [-4.0, -9.0], [-3.9, -math.inf], "be <= -4 and finite"),
        (Range(0.0, 1.0), [0.0, 1.0], [-0.1, 1.1], r"lie in [0, 1]"),
        (Range(0.0, 1.0, open_high=True), [0.0, 0.9], [1.0], r"lie in [0, 1)"),
    ],
)
def test_ranges(allowed: Range, inside: list[float], outside: list[float], text: str) -> None:
    assert allowed.holds(torch.tensor(inside)).all()
    assert not allowed.holds(torch.tensor(outside)).any()
    assert str(allowed) == text


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nm.SRC(3, alpha=1.5), r"SRC: alpha must lie in \[0, 1\], got 1.5"),
        (lambda: nm.SRC(3, z=1.0), r"SRC: z must lie in \[0, 1\), got 1"),
        (lambda: nm.SRC(3, rho=0.0), "SRC: rho must be > 0, got 0"),
        (lambda: nm.SRC(3, b=-3.0), "SRC: b must be <= -4 and finite, got -3; pass a higher b_max"),
        (lambda: nm.SRC(3, start=-1.5), r"SRC: start must lie in \[-1, 1\], got -1.5"),
        (lambda: nm.MSRC(3, z_hyp=[0.9, -0.1, 1.0]), r"MSRC: z_hyp must lie in .*, got -0.1"),
        (lambda: nm.MSRC(3, modulation=math.inf), "MSRC: modulation must be finite, got inf"),
        (lambda: nm.BSRC(3, z_u=1.0), r"BSRC: z_u must lie in \[0, 1\), got 1"),
        (lambda: nm.ALIF(3, tau_mem=0.0), "ALIF: tau_mem must be > 0, got 0"),
        (lambda: nm.ALIF(3, beta=-0.1), "ALIF: beta must be >= 0 and finite, got -0.1"),
        (lambda: nm.ALIF(3, v_th=-1.0), "ALIF: v_th must be > 0 and finite, got -1"),
        (lambda: nm.ALIF(3, dt=0.0), "ALIF: dt must be > 0, got 0.0"),
        (lambda: nm.ALIF(3, dt=math.nan), "ALIF: dt must be > 0, got nan"),
        (lambda: nm.ALIF(3, refractory=-1), "ALIF: refractory must be a number of steps >= 0"),
        (lambda: nm.ALIF(3, refractory=1.5), "ALIF: refractory must be a number of steps >= 0"),
        (lambda: nm.ALIF(3, reset="hard"), "ALIF: reset must be one of subtract, zero, none, got"),
        (
            lambda: nm.STDPALIF(3, refractory=0),
            "STDPALIF: refractory must be a number of steps >= 1, got 0",
        ),
        (lambda: nm.STDPALIF(3, refractory=1.5), "STDPALIF: refractory must be a number of steps"),
        (lambda: nm.Izhikevich(3, a=0.0), "Izhikevich: a must be > 0 and finite, got 0"),
        (lambda: nm.Izhikevich(3, dt=-1.0), "Izhikevich: dt must be > 0, got -1.0"),
        (lambda: nm.LeakyIntegrator(3, tau=0.0), "LeakyIntegrator: tau must be > 0, got 0"),
        (lambda: nm.LeakyIntegrator(3, dt=0.0), "LeakyIntegrator: dt must be > 0, got 0.0"),
        (
            lambda: nm.LeakyIntegrator(3, tau=math.inf, normalise=True),
            "LeakyIntegrator: tau must be finite with normalise=True, got inf",
        ),
        (lambda: Uniform(1.0, 1.0), "Uniform: high must be > low, got low=1.0, high=1.0"),
        (lambda: Uniform(0.0, math.nan), "Uniform: high must be > low"),
        (lambda: LogNormal(0.0, 1.0), "LogNormal: median must be > 0, got 0.0"),
        (lambda: LogNormal(1.0, math.nan), "LogNormal: sigma must be > 0, got nan"),
        (lambda: Normal(1.0, 0.0), "Normal: std must be > 0, got 0.0"),
        (lambda: Groups([1.0], [1, 2]), "Groups: shares must be as many as values"),
        (lambda: Groups([1.0, 2.0], [1, 0]), "Groups: shares must be > 0"),
        (lambda: nm.ALIF(4, beta=Groups([-1.0, 0.0], [1, 1])), "ALIF: beta must be >= 0"),
    ],
)
def test_errors(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_distributions() -> None:
    layer = nm.MSRC(4000, modulation=Uniform(0.4, 1.6), b=Normal(0.2, 0.1))
    assert 0.4 <= layer.modulation.min() < 0.45
    assert 1.55 < layer.modulation.max() <= 1.6
    assert layer.modulation.mean().item() == pytest.approx(1.0, abs=0.02)
    assert layer.b.mean().item() == pytest.approx(0.2, abs=0.01)
    assert layer.b.std().item() == pytest.approx(0.1, abs=0.01)


def test_distributed_time_constants() -> None:
    """Drawn once per neuron, fixed or learned; the neurons then decay each in its own time."""
    layer = nm.ALIF(4000, tau_mem=LogNormal(20.0, 0.3), beta=Uniform(0.1, 0.2), learn=["tau_mem"])
    assert (layer.tau_mem > 0).all()
    assert layer.tau_mem.median().item() == pytest.approx(20.0, rel=0.03)
    assert layer.tau_mem.log().std().item() == pytest.approx(0.3, rel=0.05)
    assert isinstance(layer.tau_mem, torch.nn.Parameter)
    assert set(dict(layer.named_buffers())) == {"tau_adapt", "beta", "v_th"}
    current = torch.zeros(11, 1, 4000)
    current[0] = 0.5
    _, state = layer(current)
    assert_close(state.v[0], 0.5 * torch.exp(-10 / layer.tau_mem), rtol=1e-4, atol=1e-6)


def test_groups() -> None:
    assert nm.ALIF(400, beta=Groups([0.0, 0.184], [3, 1])).beta.count_nonzero() == 100
    for number in range(1, 20):
        sizes = Groups([1.0, 2.0, 3.0], [1, 1, 2]).sample(number).unique(return_counts=True)[1]
        assert sizes.sum() == number
    assert Groups([1.0, 2.0, 3.0], [1, 1, 2]).sample(5).tolist() == [1.0, 2.0, 3.0, 3.0, 3.0]


def test_draws_outside_the_range_are_rejected() -> None:
    with pytest.raises(ValueError, match=r"MSRC: z_hyp must lie in \[0, 1\), got"):
        nm.MSRC(100, z_hyp=Normal(0.9, 1.0))


def test_given_tensors_are_copied_and_leave_their_graph() -> None:
    value = torch.full((3,), 0.5, requires_grad=True)
    layer = nm.MSRC(3, modulation=value, learn_modulation=True)
    with torch.no_grad():
        layer.modulation.fill_(2.0)
    assert value.tolist() == [0.5] * 3
    assert layer.modulation.is_leaf
