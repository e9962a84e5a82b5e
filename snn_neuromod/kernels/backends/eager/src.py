r"""Closed-form derivatives of the SRC family; symbols as in `snn_neuromod.dynamics.src`, `msrc`, `bsrc`.

One intermediate variable, "a": the argument of the membrane's tanh. With the drive x,

$$
\frac{\partial h}{\partial a} = (1 - z)(1 - \tanh^2 a), \qquad
\frac{\partial x}{\partial i} = 1 - \tanh^2(i / \rho).
$$
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from snn_neuromod.dynamics import bsrc, msrc, src
from snn_neuromod.kernels.backends.eager.linearisation import (
    Coefficient,
    Edge,
    Linearisation,
    holds,
)

READS = {
    "alpha": "i",
    "rho": "i",
    "r_s": "h_s",
    "h_s0": "h_s",
    "z_hyp": "h_s",
    "z_dep": "h_s",
    "r_u": "h_u",
    "z_u": "h_u",
}
"""State that the gradient of a parameter reads besides the membrane."""


class _SlowFeedback(NamedTuple):
    """The slow feedback r_s f(h_s): f and the derivative of the whole."""

    basis: Callable[[], Tensor]
    slope: Callable[[], Coefficient]


def linearise_src(
    params: src.Params,
    before: src.State,
    after: src.State,
    current: Tensor,
    *,
    straight_through: bool,
    detach_recurrence: bool,
    drive_slope: Tensor | None = None,
) -> Linearisation:
    """Derivatives of `dynamics.src.step`; arguments as in `linearise_msrc`."""
    feedback = _SlowFeedback(basis=lambda: before.h_s, slope=lambda: params.r_s)
    return _linearise(
        params, before, after, feedback, straight_through, detach_recurrence, drive_slope
    )


def linearise_msrc(
    params: msrc.Params,
    before: msrc.State,
    after: msrc.State,
    current: Tensor,
    *,
    straight_through: bool,
    detach_recurrence: bool,
    drive_slope: Tensor | None = None,
) -> Linearisation:
    """Derivatives of `dynamics.msrc.step`.

    Args:
        params: Neuron parameters.
        before: States before each step of the segment, each (steps, batch, neuron); None for states that are not read
            (`READS`; `i` without need of `drive_slope`, `h_s` when detached).
        after: States after each step, likewise.
        current: Input of each step, likewise.
        straight_through: Identity gradient through the ReLU.
        detach_recurrence: Leave out what goes through the membrane and the slow variables of the step before.
        drive_slope: dx/di at each step, if known.

    Returns:
        The derivatives at every step of the segment.
    """
    return _linearise(
        params,
        before,
        after,
        _quadratic(params, before),
        straight_through,
        detach_recurrence,
        drive_slope,
    )


def linearise_bsrc(
    params: bsrc.Params,
    before: bsrc.State,
    after: bsrc.State,
    current: Tensor,
    *,
    straight_through: bool,
    detach_recurrence: bool,
    drive_slope: Tensor | None = None,
) -> Linearisation:
    """Derivatives of `dynamics.bsrc.step`; arguments as in `linearise_msrc`."""
    lin = linearise_msrc(
        params,  # type: ignore[arg-type]  # has all that the mSRC's have
        before,  # type: ignore[arg-type]
        after,  # type: ignore[arg-type]
        current,
        straight_through=straight_through,
        detach_recurrence=detach_recurrence,
        drive_slope=drive_slope,
    )
    ultra_slow: dict[Edge, Coefficient] = {
        ("a", "h_u"): params.r_u,
        ("h_u", "h"): 1 - params.z_u,
        ("h_u", "h_u"): params.z_u,
    }
    by_param: dict[str, Callable[[], Mapping[str, Coefficient]]] = {
        "r_u": lambda: {"a": before.h_u + params.h_u0},
        "h_u0": lambda: {"a": params.r_u},
        "z_u": lambda: {"h_u": before.h_u - before.h},
    }
    return lin._replace(
        lagged={**lin.lagged, **({} if detach_recurrence else ultra_slow)},
        params={**lin.params, **by_param},
    )


def drive_slope(rho: Coefficient, i: Tensor) -> Tensor:
    """dx/di = 1 - tanh(i/rho)^2, which is 1 where rho is infinite."""
    y = torch.sigmoid(i * (2 / rho)).mul_(2).sub_(1)
    return torch.addcmul(i.new_ones(()), y, y, value=-1)


def _quadratic(params: msrc.Params, before: msrc.State) -> _SlowFeedback:
    def shifted() -> Tensor:
        return before.h_s + params.h_s0

    return _SlowFeedback(lambda: shifted() ** 2, lambda: shifted().mul_(2 * params.r_s))


def _linearise(
    params: src.Params | msrc.Params,
    before: src.State,
    after: src.State,
    feedback: _SlowFeedback,
    straight_through: bool,
    detach_recurrence: bool,
    x_i: Tensor | None,
) -> Linearisation:
    z, z_hyp, z_dep = params.z, params.z_hyp, params.z_dep
    h, h_s = before.h, before.h_s
    one = h.new_ones(())
    leaky = holds(torch.as_tensor(z).any(), otherwise=True)
    candidate = (after.h - z * h) / (1 - z) if leaky else after.h  # tanh(a)
    h_a = torch.addcmul(one, candidate, candidate, value=-1)
    if leaky:
        h_a = h_a * (1 - z)

    def sigma() -> Tensor:
        return torch.add(one * -(src.SLOPE * src.MIDPOINT), h, alpha=src.SLOPE).sigmoid_()

    lagged: dict[Edge, Coefficient] = {("i", "i"): params.alpha}
    if not detach_recurrence:
        gate = sigma()
        d_z = one * (z_dep - z_hyp)
        steepness = torch.addcmul(gate, gate, gate, value=-1).mul_(
            h_s - h
        )  # (h_s - h) dsigma / slope
        z_s = torch.addcmul(one * z_hyp, d_z, gate, out=gate)
        lagged[("a", "h")] = params.r
        lagged[("a", "h_s")] = feedback.slope()
        lagged[("h_s", "h")] = torch.rsub(z_s, 1).addcmul_(steepness, src.SLOPE * d_z)
        lagged[("h_s", "h_s")] = z_s
        if leaky:
            lagged[("h", "h")] = z
    return Linearisation(
        lagged=lagged,
        within={
            ("z", "h"): 1.0 if straight_through else (after.h > 0).to(h.dtype),
            ("h", "a"): h_a,
            ("a", "i"): drive_slope(params.rho, after.i) if x_i is None else x_i,
            ("i", "I"): 1.0,
        },
        params={
            "alpha": lambda: {"i": before.i},
            "rho": lambda: {"a": _drive_by_rho(params.rho, after.i)},
            "r": lambda: {"a": h},
            "r_s": lambda: {"a": feedback.basis()},
            "b": lambda: {"a": 1.0},
            "h_s0": lambda: {"a": feedback.slope()},
            "z": lambda: {"h": h - candidate},
            "z_hyp": lambda: {"h_s": (h_s - h) * (1 - sigma())},
            "z_dep": lambda: {"h_s": (h_s - h) * sigma()},
        },
    )


def _drive_by_rho(rho: Coefficient, i: Tensor) -> Tensor:
    y = i / rho
    tanh = torch.tanh(y)
    return torch.where(torch.isfinite(torch.as_tensor(rho)), tanh - y * (1 - tanh**2), 0.0)
