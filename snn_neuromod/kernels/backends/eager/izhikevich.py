"""Closed-form derivatives of the Izhikevich neuron; symbols as in `snn_neuromod.dynamics.izhikevich`."""

from __future__ import annotations

from torch import Tensor

from snn_neuromod.dynamics import izhikevich
from snn_neuromod.kernels.backends.eager.linearisation import Coefficient, Edge, Linearisation
from snn_neuromod.surrogate import Psi


def linearise_izhikevich(
    params: izhikevich.Params,
    before: izhikevich.State,
    after: izhikevich.State,
    current: Tensor,
    *,
    psi: Psi,
    detach_reset: bool,
    clip_jacobian: float | None = None,
) -> Linearisation:
    """Derivatives of `dynamics.izhikevich.step`.

    Args:
        params: Neuron parameters.
        before: States before each step of the segment, each (steps, batch, neuron).
        after: States after each step, likewise.
        current: Input of each step, likewise.
        psi: Pseudo-derivative of the spikes.
        detach_reset: Leave out what goes through the reset.
        clip_jacobian: Bound of the membrane's derivative by itself.

    Returns:
        The derivatives at every step of the segment.
    """
    a, b, c, d, dt = params
    z = before.z
    v = before.v - (before.v - c) * z
    u = before.u + d * z
    silent = 1 - z
    vv = izhikevich.slope(v, dt, clip_jacobian)
    uv: Coefficient = dt * a * b
    uu: Coefficient = 1 - dt * a
    lagged: dict[Edge, Coefficient] = {
        ("v", "v"): vv * silent,
        ("v", "u"): -dt,
        ("u", "v"): uv * silent,
        ("u", "u"): uu,
    }
    if not detach_reset:
        jump = c - before.v
        lagged[("v", "z")] = vv * jump - dt * d
        lagged[("u", "z")] = uv * jump + uu * d
    return Linearisation(
        lagged=lagged,
        within={
            ("z", "v"): psi.derivative(after.v - izhikevich.PEAK, izhikevich.PEAK),
            ("v", "I"): dt,
        },
        params={
            "a": lambda: {"u": dt * (b * v - u)},
            "b": lambda: {"u": dt * a * v},
            "c": lambda: {"v": vv * z, "u": uv * z},
            "d": lambda: {"v": -dt * z, "u": uu * z},
            "dt": lambda: {"v": (after.v - v) / dt, "u": (after.u - u) / dt},
        },
    )
