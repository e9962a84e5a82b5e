r"""Bursting SRC (BSRC): an ultra-slow variable groups the spikes of an mSRC. Status: RECONSTRUCTION (not unique).

$$
\begin{aligned}
i_t &= \alpha\, i_{t-1} + I_t, \qquad x_t = \rho \tanh(i_t / \rho) \\
h_t &= z\, h_{t-1} + (1 - z) \tanh\!\big(x_t + r\, h_{t-1} + r_s\, (h_{s,t-1} + h_{s0})^2
       + r_u\, (h_{u,t-1} + h_{u0}) + b\big) \\
z_{s,t} &= z_\text{hyp} + (z_\text{dep} - z_\text{hyp})\, \sigma(10\,(h_{t-1} - 0.5)) \\
h_{s,t} &= z_{s,t}\, h_{s,t-1} + (1 - z_{s,t})\, h_{t-1} \\
h_{u,t} &= z_u\, h_{u,t-1} + (1 - z_u)\, h_{t-1}, \qquad s_t = \max(0, h_t)
\end{aligned}
$$

With the default constants and no input the cell bursts: about 20 spikes, 22 to 25 steps apart at first and up to 33 at
the end, then a gap of about 300 steps. Dimensionless throughout; a neuron is said to spike where $h > 0.5$. Everything
but the ultra-slow term is the mSRC's (`snn_neuromod.dynamics.msrc`).

Deviations from the source: the summary of the thesis gives every constant but not the form of the ultra-slow term.
$r_u h_u$ alone fires tonically and $r_u (h_u + h_{u0})^2$ never leaves rest, so the offset $h_{u0} = 0.55$ is an
addition of this package; bursting without input needs it in 0.53 to 0.64.

References:
    Bernard, master thesis, University of Liège (2023), hdl 2268.2/18193 (summary).
    T. Van Pottelbergh, G. Drion, R. Sepulchre, Neural Comput. 30 (2018), arXiv 1709.06824: the ultra-slow variable.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from snn_neuromod._types import GradedFn, Param
from snn_neuromod.dynamics import msrc, src
from snn_neuromod.dynamics.parameter import GATE, Parameter, Parameters

MEMBRANE = ("i", "h")
SLOW = "h_s"
SPIKE_LEVEL = 0.5
DIRECT = src.DIRECT

PARAMETERS: Parameters = {
    **msrc.PARAMETERS,
    "alpha": msrc.PARAMETERS["alpha"]._replace(default=0.5),
    "modulation": msrc.PARAMETERS["modulation"]._replace(default=0.7),
    "r_u": Parameter("r_u", -8.5, "Ultra-slow feedback"),
    "z_u": Parameter("z_u", 0.999, "Gate of the ultra-slow variable", "", GATE),
    "h_u0": Parameter(
        "h_u0", 0.55, "Offset of the ultra-slow feedback", note="an addition to the source"
    ),
}
OPTIONS = src.OPTIONS
"""See `src`."""


class Params(NamedTuple):
    r"""Parameters; defaults are the source's but for `h_u0`.

    Attributes:
        alpha: Decay of the synapse per step, in [0, 1]; 0 has no memory.
        rho: Bound of the drive, > 0; inf for none.
        r: Fast positive feedback.
        r_s: Slow feedback.
        r_u: Ultra-slow feedback.
        z: Membrane update gate, in [0, 1).
        z_hyp: Gate of the slow variable at rest, in [0, 1).
        z_dep: Gate of the slow variable during a spike, in [0, 1).
        z_u: Gate of the ultra-slow variable, in [0, 1).
        b: Bias.
        h_s0: Modulation, which sets the type of excitability.
        h_u0: Offset of the ultra-slow feedback; an addition to the source.
    """

    alpha: Param = 0.5
    rho: Param = 3.0
    r: Param = 4.0
    r_s: Param = -7.0
    r_u: Param = -8.5
    z: Param = 0.0
    z_hyp: Param = 0.9
    z_dep: Param = 0.0
    z_u: Param = 0.999
    b: Param = 0.0
    h_s0: Param = 0.7
    h_u0: Param = 0.55


class State(NamedTuple):
    """State.

    Attributes:
        i: Synapse.
        h: Membrane, in (-1, 1).
        h_s: Slow variable, in (-1, 1).
        h_u: Ultra-slow variable, in (-1, 1).
    """

    i: Tensor
    h: Tensor
    h_s: Tensor
    h_u: Tensor


def initial_state(current: Tensor, *, h: Param = -1.0, h_u: Param = -0.84) -> State:
    """Empty synapse, membrane at rest, ultra-slow variable where a burst begins.

    Args:
        current: Any tensor of the wanted shape (batch, neuron), dtype and device.
        h: Common value of h and h_s.
        h_u: Ultra-slow variable. It moves between -0.84 and -0.80 over a cycle without input and has a time constant of
            1000 steps: a start at -1 fires for some 1000 steps, a start at -0.5 waits as long for the first burst.

    Returns:
        The state before the first step.
    """
    return State(*src.initial_state(current, h=h), torch.zeros_like(current) + h_u)


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
        detach_recurrence: Block the gradient through h, h_s and h_u of step t-1.

    Returns:
        spikes: Graded spikes at t, >= 0, (batch, neuron).
        state: State at t.
    """
    if detach_recurrence:
        state = State(state.i, state.h.detach(), state.h_s.detach(), state.h_u.detach())
    ultra_slow = params.r_u * (state.h_u + params.h_u0)
    msrc_params = msrc.Params(**{name: getattr(params, name) for name in msrc.Params._fields})
    msrc_params = msrc_params._replace(b=params.b + ultra_slow)
    spikes, msrc_state = msrc.step(msrc_params, msrc.State(*state[:3]), current, spike_fn=spike_fn)
    return spikes, State(*msrc_state, src.blend(params.z_u, state.h_u, state.h))
