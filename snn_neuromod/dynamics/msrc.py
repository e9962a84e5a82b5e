r"""Neuromodulable SRC (mSRC): one parameter moves the type of excitability. Status: RECONSTRUCTION (strong).

$$
\begin{aligned}
i_t &= \alpha\, i_{t-1} + I_t, \qquad x_t = \rho \tanh(i_t / \rho) \\
h_t &= z\, h_{t-1} + (1 - z) \tanh\!\big(x_t + r\, h_{t-1} + r_s\, (h_{s,t-1} + h_{s0})^2 + b\big) \\
z_{s,t} &= z_\text{hyp} + (z_\text{dep} - z_\text{hyp})\, \sigma(10\,(h_{t-1} - 0.5)) \\
h_{s,t} &= z_{s,t}\, h_{s,t-1} + (1 - z_{s,t})\, h_{t-1}, \qquad s_t = \max(0, h_t)
\end{aligned}
$$

The modulation $h_{s0}$ sets on which branch of the parabola the slow feedback works at rest, and with it the
excitability: about 1.5 type 2, about 0.9 type 1, about 0.5 type 2* (delayed first spike, hysteresis). Dimensionless
throughout; a neuron is said to spike where $h > 0.5$. Synapse, drive, gate and output are those of
`snn_neuromod.dynamics.src`. In single-cell figures $I$ is $x$ itself: `alpha = 0`, `rho = inf`.

The thesis text is not publicly readable. The quadratic feedback was recovered by testing candidate forms against the
facts that its summary states; of eight candidates only this one meets all twelve.

Deviations from the source: unknown where the text is closed; none from its summary.

References:
    Bernard, master thesis, University of Liège (2023), hdl 2268.2/18193 (summary).
    T. Van Pottelbergh, G. Drion, R. Sepulchre, "Robust modulation of integrate-and-fire models", Neural Comput. 30
    (2018), arXiv 1709.06824: where the quadratic comes from.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from snn_neuromod._types import GradedFn, Param
from snn_neuromod.dynamics import src
from snn_neuromod.dynamics.parameter import Parameter, Parameters
from snn_neuromod.dynamics.src import State

__all__ = ["Params", "State", "initial_state", "step"]


MEMBRANE = ("i", "h")
SLOW = "h_s"
SPIKE_LEVEL = 0.5
DIRECT = src.DIRECT

PARAMETERS: Parameters = {
    **src.PARAMETERS,
    "r": src.PARAMETERS["r"]._replace(default=4.0),
    "b": src.PARAMETERS["b"]._replace(default=0.0),
    "modulation": Parameter("h_s0", 0.9, "Modulation, which sets the type of excitability"),
}
OPTIONS = src.OPTIONS
"""See `src`."""


class Params(NamedTuple):
    r"""Parameters; defaults are the source's.

    Attributes:
        alpha: Decay of the synapse per step, in [0, 1]; 0 has no memory.
        rho: Bound of the drive, > 0; inf for none.
        r: Fast positive feedback.
        r_s: Slow feedback.
        z: Membrane update gate, in [0, 1).
        z_hyp: Gate of the slow variable at rest, in [0, 1).
        z_dep: Gate of the slow variable during a spike, in [0, 1).
        b: Bias.
        h_s0: Modulation, which sets the type of excitability.
    """

    alpha: Param = 0.9
    rho: Param = 3.0
    r: Param = 4.0
    r_s: Param = -7.0
    z: Param = 0.0
    z_hyp: Param = 0.9
    z_dep: Param = 0.0
    b: Param = 0.0
    h_s0: Param = 0.9


def initial_state(current: Tensor, *, h: Param = -1.0) -> State:
    """Empty synapse and the membrane at rest.

    Args:
        current: Any tensor of the wanted shape (batch, neuron), dtype and device.
        h: Common value of h and h_s; at rest without input they lie
            within 0.001 of -1 for every modulation.

    Returns:
        The state before the first step.
    """
    return src.initial_state(current, h=h)


def step(
    params: Params,
    state: State,
    current: Tensor,
    *,
    spike_fn: GradedFn = torch.relu,
    detach_recurrence: bool = False,
) -> tuple[Tensor, State]:
    """Advance the neurons by one time step.

    Args:
        params: Neuron parameters; a modulation per step is `params._replace(h_s0=...)`.
        state: State at t-1, each (batch, neuron).
        current: Weighted input at t, (batch, neuron).
        spike_fn: Output of the membrane; `surrogate.straight_through_relu` in the source's training.
        detach_recurrence: Block the gradient through h and h_s of step t-1.

    Returns:
        spikes: Graded spikes at t, >= 0, (batch, neuron).
        state: State at t.
    """
    i, h, h_s = state.i, state.h, state.h_s
    if detach_recurrence:
        h, h_s = h.detach(), h_s.detach()
    i = src.synapse(params.alpha, i, current)
    a = src.drive(params.rho, i) + params.r * h + slow_feedback(params, h_s) + params.b
    z_s = src.slow_gate(params.z_hyp, params.z_dep, h)
    h, h_s = src.blend(params.z, h, torch.tanh(a)), src.blend(z_s, h_s, h)
    return spike_fn(h), State(i, h, h_s)


def slow_feedback(params: Params, h_s: Tensor) -> Tensor:
    """Modulated slow feedback r_s (h_s + h_s0)^2."""
    return params.r_s * (h_s + params.h_s0) ** 2
