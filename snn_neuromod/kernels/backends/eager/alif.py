"""Closed-form derivatives of the ALIF family; symbols as in `snn_neuromod.dynamics.alif` and `stdp_alif`."""

from __future__ import annotations

from torch import Tensor

from snn_neuromod.dynamics import alif
from snn_neuromod.kernels.backends.eager.linearisation import Coefficient, Edge, Linearisation
from snn_neuromod.surrogate import Psi


def linearise_alif(
    params: alif.Params,
    before: alif.State,
    after: alif.State,
    current: Tensor,
    *,
    psi: Psi,
    reset: alif.Reset,
    refractory: int,
    detach_reset: bool,
) -> Linearisation:
    """Derivatives of `dynamics.alif.step`.

    Args:
        params: Neuron parameters.
        before: States before each step of the segment, each (steps, batch, neuron).
        after: States after each step, likewise.
        current: Input of each step, likewise.
        psi: Pseudo-derivative of the spikes.
        reset: Form of the reset.
        refractory: Refractory steps.
        detach_reset: Leave out what goes through the reset.

    Returns:
        The derivatives at every step of the segment.
    """
    by_reset: Coefficient | None
    kept: Coefficient
    if reset == "subtract":
        kept, by_reset, by_threshold = 1.0, -params.v_th, -before.z
    elif reset == "zero":
        kept, by_reset, by_threshold = 1 - before.z, -params.alpha * before.v, None
    else:
        kept, by_reset, by_threshold = 1.0, None, None
    return _linearise(
        params,
        before,
        psi.derivative(
            after.v - alif.threshold(params, after.a), params.v_th, _held(after, refractory)
        ),
        after,
        kept,
        None if detach_reset else by_reset,
        by_threshold,
    )


def linearise_stdp_alif(
    params: alif.Params,
    before: alif.State,
    after: alif.State,
    current: Tensor,
    *,
    psi: Psi,
    refractory: int,
    detach_reset: bool,
) -> Linearisation:
    """Derivatives of `dynamics.stdp_alif.step`; arguments as in `linearise_alif`."""
    distance = after.v - alif.threshold(params, after.a)
    return _linearise(
        params,
        before,
        psi.derivative(distance, params.v_th, _held(after, refractory)),
        after,
        1 - before.z - (before.held == 1).to(before.z.dtype),
        None if detach_reset else -params.alpha * before.v,
        None,
    )


def _held(after: alif.State, refractory: int) -> Tensor | None:
    return after.held > 0 if refractory else None


def _linearise(
    params: alif.Params,
    before: alif.State,
    psi: Tensor,
    after: alif.State,
    kept: Coefficient,
    by_reset: Coefficient | None,
    by_threshold: Tensor | None,
) -> Linearisation:
    lagged: dict[Edge, Coefficient] = {
        ("v", "v"): params.alpha * kept,
        ("a", "a"): params.rho,
        ("a", "z"): 1.0,
    }
    if by_reset is not None:
        lagged[("v", "z")] = by_reset
    d_v_th: dict[str, Coefficient] = {"z": -psi}
    if by_threshold is not None:
        d_v_th["v"] = by_threshold
    return Linearisation(
        lagged=lagged,
        within={("z", "v"): psi, ("z", "a"): -psi * params.beta, ("v", "I"): 1.0},
        params={
            "alpha": lambda: {"v": kept * before.v},
            "rho": lambda: {"a": before.a},
            "beta": lambda: {"z": -psi * after.a},
            "v_th": lambda: d_v_th,
        },
    )
