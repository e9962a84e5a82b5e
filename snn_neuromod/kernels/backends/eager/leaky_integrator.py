"""Closed-form derivatives of the leaky integrator; symbols as in `snn_neuromod.dynamics.leaky_integrator`."""

from __future__ import annotations

from torch import Tensor

from snn_neuromod.dynamics import leaky_integrator
from snn_neuromod.kernels.backends.eager.linearisation import Linearisation


def linearise_leaky_integrator(
    params: leaky_integrator.Params,
    before: leaky_integrator.State,
    after: leaky_integrator.State,
    current: Tensor,
    *,
    normalise: bool,
) -> Linearisation:
    """Derivatives of `dynamics.leaky_integrator.step`.

    Args:
        params: Filter parameters.
        before: States before each step of the segment, each (steps, batch, neuron).
        after: States after each step, likewise.
        current: Input of each step, likewise.
        normalise: Whether the input is weighed by 1 - kappa.

    Returns:
        The derivatives at every step of the segment.
    """
    return Linearisation(
        lagged={("y", "y"): params.kappa},
        within={("z", "y"): 1.0, ("y", "I"): 1 - params.kappa if normalise else 1.0},
        params={"kappa": lambda: {"y": before.y - current if normalise else before.y}},
    )
