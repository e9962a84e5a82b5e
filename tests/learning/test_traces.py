"""Explicit eligibility traces against the papers' equations, written out for each neuron."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

import snn_neuromod as nm
from snn_neuromod.learning.eprop import traces
from tests.learning.cases import (
    BATCH,
    INPUTS,
    NEURONS,
    Problem,
    assert_live,
    loss_from,
    sequence,
)

Papers = Callable[..., tuple[dict[str, Tensor], Tensor]]


def alif(p: Any, before: Any, z: Tensor, after: Any, eps: Any, e: Tensor, s: Tensor) -> Any:
    """Bellec et al.: eps_v, eps_a and e with the reset detached."""
    psi = 0.3 / p.v_th * (1 - ((after.v - p.v_th - p.beta * after.a) / p.v_th).abs()).clamp(min=0)
    psi = torch.where(after.held > 0, 0.0, psi)[..., None]
    eps_v = p.alpha * eps["v"] + s
    eps_a = p.rho * eps["a"] + e
    return {"v": eps_v, "a": eps_a}, psi * (eps_v - p.beta * eps_a)


def stdp_alif(p: Any, before: Any, z: Tensor, after: Any, eps: Any, e: Tensor, s: Tensor) -> Any:
    """Traub et al., with the second reset at the end of the refractory period."""
    psi = 0.3 * (1 - ((after.v - p.v_th - p.beta * after.a) / p.v_th).abs()).clamp(min=0)
    psi = torch.where(after.held > 0, -0.3, psi)[..., None]
    kept = (1 - before.z - (before.held == 1).double())[..., None]
    eps_v = p.alpha * kept * eps["v"] + s
    eps_a = p.rho * eps["a"] + e
    return {"v": eps_v, "a": eps_a}, psi * (eps_v - p.beta * eps_a)


def izhikevich(p: Any, before: Any, z: Tensor, after: Any, eps: Any, e: Tensor, s: Tensor) -> Any:
    """Traub et al., Eqs. (4)-(21)."""
    h = (0.3 / 30 * torch.exp((after.v.clamp(max=30) - 30) / 30))[..., None]
    v, silent = before.v[..., None], 1 - before.z[..., None]
    eps_v = silent * (1 + (0.08 * v + 5) * p.dt) * eps["v"] - p.dt * eps["u"] + p.dt * s
    eps_u = 0.004 * p.dt * silent * eps["v"] + (1 - 0.02 * p.dt) * eps["u"]
    return {"v": eps_v, "u": eps_u}, h * eps_v


DETACHED = {"detach_reset": True}
CASES = [
    (Problem(nm.ALIF, "", {**DETACHED, "refractory": 2, "tau_mem": 8.0}), alif),
    (Problem(nm.STDPALIF, "", {**DETACHED, "refractory": 3, "tau_mem": 8.0}), stdp_alif),
    (
        Problem(nm.Izhikevich, "", {**DETACHED, "dt": 0.5, "psi": nm.Psi(shape="exponential")},
                drive=16.0, spread=3.0),
        izhikevich,
    ),
]  # fmt: skip


@pytest.mark.parametrize(("problem", "papers"), CASES, ids=lambda c: getattr(c, "__name__", str(c)))
def test_the_traces_are_the_papers(problem: Problem, papers: Papers) -> None:
    (layer, _), x = problem.make(), sequence()
    params = layer.neuron.params(x.dtype)
    before: Any = layer.initial_state(x[0]).neuron
    z = torch.zeros(BATCH, NEURONS, dtype=x.dtype)
    zeros = torch.zeros(BATCH, NEURONS, INPUTS + NEURONS, dtype=x.dtype)
    eps, e, emitted = {"v": zeros, "a": zeros, "u": zeros}, zeros, []
    for x_t, step in zip(x, traces.steps(layer, x), strict=True):
        s = torch.cat([x_t, z], -1)[:, None]
        eps, e = papers(params, before, z, step.state, eps, e, s)
        for name, trace in eps.items():
            assert_close(step.eps[name], trace, rtol=1e-7, atol=1e-10)
        assert_close(step.e, e, rtol=1e-7, atol=1e-12)
        before, z = step.state, step.spikes
        emitted.append(step.spikes)
    assert_live(torch.stack(emitted))
    assert torch.equal(torch.stack(emitted), layer(x)[0])
    assert e.abs().max() > 0


def test_a_presynaptic_spike_after_the_postsynaptic_one_counts_against_the_synapse() -> None:
    """STDP-ALIF: the sign of the trace depends on the order of the spikes; ALIF's stays positive."""
    x = torch.zeros(12, 1, 2, dtype=torch.float64)
    x[2, 0, 0] = 1.0  # input 0 makes the neuron fire
    x[3, 0, 1] = 1.0  # input 1 comes one step after the spike
    signs = {}
    for neuron in (nm.STDPALIF, nm.ALIF):
        layer = nm.Recurrent(neuron(1, refractory=3), 2).double()
        with torch.no_grad():
            layer.w_in.copy_(torch.tensor([[1.5, 0.05]]))
        steps = list(traces.steps(layer, x))
        assert [step.spikes.item() for step in steps].index(1.0) == 2
        signs[neuron] = torch.stack([step.e for step in steps])[3:6, 0, 0, 1]
    assert (signs[nm.STDPALIF] < 0).all()
    assert (signs[nm.ALIF] >= 0).all()


def test_a_record_holds_what_the_gradient_is_made_of() -> None:
    problem = Problem(nm.ALIF, "", {"tau_mem": 8.0}, readout={"tau_out": [3.0, 20.0, 3.0]})
    (layer, readout), x = problem.make(), sequence()

    def loss(y: Tensor, spikes: Tensor) -> Tensor:
        return loss_from(0)(y, torch.zeros_like(spikes))

    record = traces.record(layer, readout, x, loss)
    expected = traces.gradients(layer, readout, x, loss)
    found = sum(
        torch.einsum("tbn,tbnf->nf", signal, trace)
        for signal, trace in zip(record.learning_signal, record.filtered, strict=True)
    )
    assert_close(found[:, :INPUTS], expected["layer.w_in"], rtol=1e-10, atol=1e-12)
    off_diagonal = found[:, INPUTS:].fill_diagonal_(0.0)
    assert_close(off_diagonal, expected["layer.w_rec"], rtol=1e-10, atol=1e-12)
    assert torch.equal(record.spikes, layer(x)[0])

    some = traces.record(layer, readout, x, loss, neurons=[3, 1])
    assert torch.equal(some.e, record.e[:, :, [3, 1]])
    assert torch.equal(some.eps["a"], record.eps["a"][:, :, [3, 1]])
    assert torch.equal(some.state.v, record.state.v[..., [3, 1]])
    assert torch.equal(some.learning_signal[1], record.learning_signal[1][..., [3, 1]])


def test_wrong_arguments() -> None:
    (layer, readout), x = Problem(nm.ALIF, "").make(), sequence()
    with pytest.raises(TypeError, match=r"traces.gradients: layer must be a Recurrent or .* ALIF"):
        traces.gradients(nm.ALIF(3), readout, x, loss_from(0))
    with pytest.raises(ValueError, match=r"traces.record: layer must have credit='broadcast'"):
        traces.record(nm.RecurrentStack([layer], credit="spatial"), readout, x, loss_from(0))
