"""What is particular to the ALIF, Izhikevich and leaky-integrator layers: time constants and spike functions."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch.testing import assert_close

import snn_neuromod as nm
from snn_neuromod import Psi
from snn_neuromod.surrogate import smooth
from tests.layers.cases import assert_live, scanned


@pytest.mark.parametrize("make", [nm.ALIF, nm.STDPALIF])
def test_time_constants_become_decays(make: Any) -> None:
    params = make(4, tau_mem=20.0, tau_adapt=200.0, dt=2.0).params(torch.float64)
    assert params.alpha.item() == pytest.approx(math.exp(-2 / 20))
    assert params.rho.item() == pytest.approx(math.exp(-2 / 200))


def test_infinite_time_constants() -> None:
    params = nm.ALIF(4, tau_mem=math.inf, tau_adapt=[1.0, 10.0, 100.0, math.inf]).params()
    assert params.alpha.item() == 1.0
    assert_close(params.rho, torch.exp(-1 / torch.tensor([1.0, 10.0, 100.0, math.inf])))
    assert nm.LeakyIntegrator(2, tau=math.inf).params().kappa.item() == 1.0
    running = nm.LeakyIntegrator(2, tau=math.inf)(torch.ones(5, 1, 2))[0]
    assert running[-1].tolist() == [[5.0, 5.0]]


@pytest.mark.parametrize("make", [nm.ALIF, nm.STDPALIF])
def test_defaults_are_those_of_the_equations(make: Any) -> None:
    layer = make(2)
    for name, value in layer.dynamics.Params()._asdict().items():
        assert getattr(layer.params(), name).item() == pytest.approx(value)


@pytest.mark.parametrize("reset", ["subtract", "zero", "none"])
@pytest.mark.parametrize("refractory", [0, 1, 4])
def test_options_reach_the_equations(reset: Any, refractory: int) -> None:
    layer = nm.ALIF(3, reset=reset, refractory=refractory, beta=0.0)
    spikes, _ = layer(torch.full((40, 1, 3), 3.0))
    assert spikes[:, 0, 0].nonzero()[:, 0].diff().tolist() == [refractory + 1] * (
        (40 - 1) // (refractory + 1)
    )


PSIS = [
    Psi(shape=shape, gamma=0.5, width=0.7, scale=scale, refractory=-1.0, at_spike=at_spike)
    for shape, scale, at_spike in [
        ("triangular", "threshold", None), ("exponential", "none", 0.0), ("boxcar", "none", None),
        ("fast_sigmoid", "threshold", 1.0), ("gaussian", "none", None), ("arctan", "none", -1.0),
    ]
]  # fmt: skip


@pytest.mark.parametrize("psi", [*PSIS, smooth], ids=lambda p: getattr(p, "shape", "own"))
@pytest.mark.parametrize("make", [nm.ALIF, nm.STDPALIF, nm.Izhikevich])
def test_spike_functions(make: Any, psi: Any) -> None:
    """Every pseudo-derivative, and a function of the user's, gives the gradient of the scan."""
    options = {"dt": 0.5} if make is nm.Izhikevich else {"v_th": 0.8, "refractory": 1}
    layer = make(4, psi=psi, **options)
    current = torch.randn(25, 2, 4, dtype=torch.float64)
    current = (25 + 10 * current if make is nm.Izhikevich else 0.6 + current).requires_grad_()
    spikes, expected = layer(current)[0], scanned(layer, current)[0]
    if isinstance(psi, Psi):
        assert torch.equal(spikes, expected)
        assert_live(spikes)
    else:  # graded, by the printed kernel's own exponential function
        torch.testing.assert_close(spikes, expected, rtol=1e-12, atol=1e-14)
    weights = torch.randn_like(spikes)
    got, want = (torch.autograd.grad((weights * s).sum(), current)[0] for s in (spikes, expected))
    assert_close(got, want, rtol=1e-9, atol=1e-12)
    assert got.abs().max() > 0


def test_pseudo_derivatives_differ() -> None:
    """Negative control of the test above."""
    current = (0.6 + torch.randn(25, 2, 4, dtype=torch.float64)).requires_grad_()
    grads = [torch.autograd.grad(nm.ALIF(4, psi=psi)(current)[0].sum(), current)[0] for psi in PSIS]
    for k, one in enumerate(grads):
        assert all((one - other).norm() > 0.01 * one.norm() for other in grads[k + 1 :])


def test_gradient_through_the_reset_is_optional() -> None:
    current = (0.6 + torch.randn(25, 2, 4, dtype=torch.float64)).requires_grad_()
    for make in (nm.ALIF, nm.STDPALIF, nm.Izhikevich):
        drive = 20 * current + 10 if make is nm.Izhikevich else current
        spikes = [make(4, detach_reset=detach)(drive)[0] for detach in (False, True)]
        assert torch.equal(*spikes)
        assert_live(spikes[0])
        attached, detached = (
            torch.autograd.grad(s.sum(), current, retain_graph=True)[0] for s in spikes
        )
        assert (attached - detached).norm() > 1e-3 * attached.norm()


def test_izhikevich_starts_at_its_equilibrium() -> None:
    layer = nm.Izhikevich(2, b=[0.2, 0.25], v_init=-70.0)
    state = layer.initial_state(torch.zeros(3, 2))
    assert (state.v == -70).all()
    assert_close(state.u[1], torch.tensor([-14.0, -17.5]))
    assert not state.z.any()


def test_izhikevich_defaults() -> None:
    params = nm.Izhikevich(2).params()
    assert [p.item() for p in params] == pytest.approx([0.02, 0.2, -65.0, 2.0, 1.0])


def test_the_printed_form_shows_the_options() -> None:
    assert "refractory=2" in repr(nm.ALIF(3, refractory=2, reset="zero"))
    assert "reset='zero'" in repr(nm.ALIF(3, refractory=2, reset="zero"))
    assert "dt=0.5" in repr(nm.Izhikevich(3, dt=0.5))
    assert "normalise=True" in repr(nm.LeakyIntegrator(3, normalise=True))
    assert "detach_recurrence=False" in repr(nm.SRC(3, detach_recurrence=False))


@pytest.mark.parametrize("make", [nm.ALIF, nm.STDPALIF, nm.Izhikevich])
def test_a_pseudo_derivative_by_its_name_is_an_error(make: Any) -> None:
    with pytest.raises(TypeError, match=r"psi must be a Psi such as Psi\('triangular'\)"):
        make(4, psi="triangular")


def test_values_that_are_no_numbers_are_errors() -> None:
    with pytest.raises(TypeError, match="ALIF: beta must be a number, one for each neuron, or a"):
        nm.ALIF(4, beta={"low": 0.0, "high": 0.2})
    with pytest.raises(ValueError, match="Izhikevich: v_init must be finite, got nan"):
        nm.Izhikevich(4, v_init=math.nan)
