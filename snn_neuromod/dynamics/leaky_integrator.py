r"""Leaky integrator: the exponential filter of readouts and synapses. Status: SOURCE.

$$ y_t = \kappa\, y_{t-1} + I_t $$

or, normalised so that a constant input is its own fixed point, $y_t = \kappa\, y_{t-1} + (1 - \kappa)\, I_t$.
$\kappa = e^{-\Delta t / \tau_\text{out}}$; $y$ and $I$ share one arbitrary unit. The output of step $t$ contains the
input of step $t$. $\kappa = 1$ is a running sum.

Deviations from the source: none.

References:
    Bellec et al., Nat. Commun. 11:3625 (2020), Eq. (11). De Geeter et al., arXiv 2306.03623, Section 2.4 (readout).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from snn_neuromod._types import Param
from snn_neuromod.dynamics.parameter import POSITIVE_OR_INF, Parameter, Parameters

MEMBRANE = ("y",)
SLOW = None
SPIKE_LEVEL = math.inf  # its output is no spike

PARAMETERS: Parameters = {
    "tau": Parameter(
        "kappa", 20.0, "Time constant", "ms", POSITIVE_OR_INF, "inf is a running sum", decay=True
    ),
}
OPTIONS = {"normalise": (False, True)}
"""What each option of `step` may be: one of some values, any number of a type, an object with `OPTIONS` of its own."""


class Params(NamedTuple):
    r"""Parameters.

    Attributes:
        kappa: Decay per step, in [0, 1].
    """

    kappa: Param = 0.9512294245007140  # exp(-1/20)


class State(NamedTuple):
    """State.

    Attributes:
        y: Filtered input.
    """

    y: Tensor


def initial_state(current: Tensor) -> State:
    """Empty filter with the shape, dtype and device of `current`."""
    return State(torch.zeros_like(current))


def step(
    params: Params, state: State, current: Tensor, *, normalise: bool = False
) -> tuple[Tensor, State]:
    """Advance the filter by one time step.

    Args:
        params: Filter parameters.
        state: State at t-1, (batch, neuron).
        current: Input at t, (batch, neuron).
        normalise: Weigh the input by 1 - kappa.

    Returns:
        output: y at t, (batch, neuron); not spikes.
        state: State at t.
    """
    y = (
        params.kappa * state.y + (1 - params.kappa) * current
        if normalise
        else (params.kappa * state.y + current)
    )
    return y, State(y)
