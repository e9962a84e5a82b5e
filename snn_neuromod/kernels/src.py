"""Closed-form derivatives of the SRC family; symbols as in `snn_neuromod.dynamics.src`, `msrc`, `bsrc`."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from snn_neuromod.dynamics import bsrc, msrc, src
from snn_neuromod.kernels.linearisation import Coefficient, Linearisation


class _SlowFeedback(NamedTuple):
    """The slow feedback r_s f(h_s): f and the derivative of the whole."""

    basis: Callable[[], Tensor]
    slope: Coefficient


def linearise_src(
    params: src.Params,
    before: src.State,
    after: src.State,
    current: Tensor,
    *,
    straight_through: bool,
    detach_recurrence: bool,
) -> Linearisation:
    """Derivatives of `dynamics.src.step`; arguments as in `linearise_msrc`."""
    feedback = _SlowFeedback(basis=lambda: before.h_s, slope=params.r_s)
    return _linearise(params, before, after, feedback, straight_through, detach_recurrence)


def linearise_msrc(
    params: msrc.Params,
    before: msrc.State,
    after: msrc.State,
    current: Tensor,
    *,
    straight_through: bool,
    detach_recurrence: bool,
) -> Linearisation:
    """Derivatives of `dynamics.msrc.step`.

    Args:
        params: Neuron parameters.
        before: States before each step of the segment, each (steps, batch, neuron).
        after: States after each step, likewise.
        current: Input of each step, likewise.
        straight_through: Identity gradient through the ReLU.
        detach_recurrence: Leave out what goes through the membrane and the slow variables of the step before.

    Returns:
        The derivatives at every step of the segment.
    """
    feedback = _quadratic(params, before)
    lin = _linearise(params, before, after, feedback, straight_through, detach_recurrence)
    return lin._replace(params={**lin.params, "h_s0": _modulation_gradient(lin, feedback)})


def linearise_bsrc(
    params: bsrc.Params,
    before: bsrc.State,
    after: bsrc.State,
    current: Tensor,
    *,
    straight_through: bool,
    detach_recurrence: bool,
) -> Linearisation:
    """Derivatives of `dynamics.bsrc.step`; arguments as in `linearise_msrc`."""
    feedback = _quadratic(params, before)
    lin = _linearise(params, before, after, feedback, straight_through, detach_recurrence)
    d_bias = lin.params["b"]()["h"]
    state = dict(lin.state)
    if not detach_recurrence:
        state[("h", "h_u")] = d_bias * params.r_u
        state[("h_u", "h")] = 1 - params.z_u
        state[("h_u", "h_u")] = params.z_u
    own = {
        "h_s0": _modulation_gradient(lin, feedback),
        "r_u": lambda: {"h": d_bias * (before.h_u + params.h_u0)},
        "h_u0": lambda: {"h": d_bias * params.r_u},
        "z_u": lambda: {"h_u": before.h_u - before.h},
    }
    return lin._replace(state=state, params={**lin.params, **own})


def _quadratic(params: msrc.Params | bsrc.Params, before: msrc.State | bsrc.State) -> _SlowFeedback:
    shifted = before.h_s + params.h_s0
    return _SlowFeedback(basis=lambda: shifted**2, slope=2 * params.r_s * shifted)


def _modulation_gradient(
    lin: Linearisation, feedback: _SlowFeedback
) -> Callable[[], dict[str, Coefficient]]:
    return lambda: {"h": lin.params["b"]()["h"] * feedback.slope}


def _linearise(
    params: src.Params | msrc.Params | bsrc.Params,
    before: src.State | bsrc.State,
    after: src.State | bsrc.State,
    feedback: _SlowFeedback,
    straight_through: bool,
    detach_recurrence: bool,
) -> Linearisation:
    z, z_hyp, z_dep = params.z, params.z_hyp, params.z_dep
    h, h_s = before.h, before.h_s
    one = h.new_ones(())
    leaky = bool(torch.as_tensor(z != 0).any())
    candidate = (after.h - z * h) / (1 - z) if leaky else after.h
    d_a = torch.addcmul(one, candidate, candidate, value=-1)  # dh / d(argument of the tanh)
    if leaky:
        d_a = d_a * (1 - z)
    d_i = _drive_slope(params.rho, after.i, d_a)

    def sigma() -> Tensor:
        return torch.add(one * -(src.SLOPE * src.MIDPOINT), h, alpha=src.SLOPE).sigmoid_()

    state: dict[tuple[str, str], Coefficient] = {("I", "i"): params.alpha}
    if not detach_recurrence:
        gate = sigma()
        z_s = z_hyp + (z_dep - z_hyp) * gate
        d_gate = torch.addcmul(gate, gate, gate, value=-1).mul_(src.SLOPE * (z_dep - z_hyp))
        state[("h", "h")] = torch.addcmul(one * z, d_a, one * params.r)
        state[("h", "h_s")] = d_a * feedback.slope
        state[("h_s", "h")] = torch.rsub(z_s, 1).addcmul_(h_s - h, d_gate)
        state[("h_s", "h_s")] = z_s
    return Linearisation(
        state=state,
        current={"i": 1.0, "h": d_i},
        spikes={"h": 1.0 if straight_through else (after.h > 0).to(h.dtype)},
        params={
            "alpha": lambda: {"I": before.i},
            "rho": lambda: {"h": d_a * _drive_by_rho(params.rho, after.i)},
            "r": lambda: {"h": d_a * h},
            "r_s": lambda: {"h": d_a * feedback.basis()},
            "b": lambda: {"h": d_a},
            "z": lambda: {"h": h - candidate},
            "z_hyp": lambda: {"h_s": (h_s - h) * (1 - sigma())},
            "z_dep": lambda: {"h_s": (h_s - h) * sigma()},
        },
    )


def _drive_slope(rho: Coefficient, i: Tensor, d_a: Tensor) -> Tensor:
    """`d_a` dx/di, where dx/di = 1 - tanh(i/rho)^2 = 4 u (1 - u) with u the logistic function of 2 i / rho."""
    rho = torch.as_tensor(rho, dtype=i.dtype, device=i.device)
    bounded = torch.isfinite(rho)
    if not bounded.any():
        return d_a
    u = (i * (2 / rho)).sigmoid_()
    slope = torch.addcmul(u, u, u, value=-1).mul_(4).mul_(d_a)
    return slope if bounded.all() else torch.where(bounded, slope, d_a)


def _drive_by_rho(rho: Coefficient, i: Tensor) -> Tensor:
    y = i / rho
    tanh = torch.tanh(y)
    return torch.where(torch.isfinite(torch.as_tensor(rho)), tanh - y * (1 - tanh**2), 0.0)


