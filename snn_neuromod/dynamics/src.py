r"""Spiking Recurrent Cell (SRC): a GRU-like cell made to spike. Status: SOURCE.

$$
\begin{aligned}
i_t &= \alpha\, i_{t-1} + I_t                        && \text{exponential synapse} \\
x_t &= \rho \tanh(i_t / \rho)                        && \text{bounded drive} \\
h_t &= z\, h_{t-1} + (1 - z) \tanh(x_t + r\, h_{t-1} + r_s\, h_{s,t-1} + b)      && \text{membrane} \\
z_{s,t} &= z_\text{hyp} + (z_\text{dep} - z_\text{hyp})\, \sigma(10\,(h_{t-1} - 0.5)) && \text{slow gate} \\
h_{s,t} &= z_{s,t}\, h_{s,t-1} + (1 - z_{s,t})\, h_{t-1}                         && \text{slow variable} \\
s_t &= \max(0, h_t)                                  && \text{graded spike}
\end{aligned}
$$

$I = W s_\text{in}$ is the weighted input. Every quantity is dimensionless and one step is one unit of time; a neuron
is said to spike where $h > 0.5$. $r > 0$ makes the membrane bistable, $r_s < 0$ lets the slow variable bring it back.
`alpha = 0` with `rho = inf` feeds $I$ straight into the tanh.

Both gates and both recurrences read the state of step $t-1$; the spike reads the membrane of step $t$.

Deviations from the source: none in the forward pass. In the source's training the recurrences through $h$ and $h_s$
are detached and the ReLU has an identity gradient; here both are options (`detach_recurrence`, `spike_fn`), off in
this module, on by default in `snn_neuromod.SRC`.

References:
    F. De Geeter, D. Ernst, G. Drion, "Spike-based computation using classical recurrent neural networks", Neuromorph.
    Comput. Eng. 4 (2024) 024007, arXiv 2306.03623, Sections 2.2-2.4.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from snn_neuromod._types import GradedFn, Param
from snn_neuromod.dynamics.parameter import GATE, POSITIVE_OR_INF, Parameter, Parameters, Range
from snn_neuromod.surrogate import straight_through_relu

SLOPE, MIDPOINT = 10.0, 0.5


MEMBRANE = ("i", "h")
SLOW = "h_s"
SPIKE_LEVEL = 0.5
DIRECT = {"alpha": 0.0, "rho": math.inf}
REST = {"h": -1.0}

PARAMETERS: Parameters = {
    "alpha": Parameter(
        "alpha", 0.9, "Decay of the synapse per step", "", Range(0.0, 1.0), "0 has no memory"
    ),
    "rho": Parameter("rho", 3.0, "Bound of the drive", "", POSITIVE_OR_INF, "inf for none"),
    "r": Parameter("r", 2.0, "Fast positive feedback"),
    "r_s": Parameter("r_s", -7.0, "Slow feedback"),
    "z": Parameter("z", 0.0, "Membrane update gate", "", GATE),
    "z_hyp": Parameter("z_hyp", 0.9, "Gate of the slow variable at rest", "", GATE),
    "z_dep": Parameter("z_dep", 0.0, "Gate of the slow variable during a spike", "", GATE),
    "b": Parameter("b", -6.0, "Bias"),
}
OPTIONS = {
    "spike_fn": (torch.relu, straight_through_relu),
    "detach_recurrence": (False, True),
}
"""What each option of `step` may be: one of some values, any number of a type, an object with `OPTIONS` of its own."""


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
    """

    alpha: Param = 0.9
    rho: Param = 3.0
    r: Param = 2.0
    r_s: Param = -7.0
    z: Param = 0.0
    z_hyp: Param = 0.9
    z_dep: Param = 0.0
    b: Param = -6.0


class State(NamedTuple):
    """State.

    Attributes:
        i: Synapse.
        h: Membrane, in (-1, 1).
        h_s: Slow variable, in (-1, 1).
    """

    i: Tensor
    h: Tensor
    h_s: Tensor


def initial_state(current: Tensor, *, h: Param = -0.4) -> State:
    """Empty synapse and `h = h_s`.

    Args:
        current: Any tensor of the wanted shape (batch, neuron), dtype and device.
        h: Common value of h and h_s; the source draws it per neuron from U(-0.7, -0.1), this is its mean.

    Returns:
        The state before the first step.
    """
    shape = (2, *current.shape)  # of both at once: on a device each operation costs a launch
    if not isinstance(h, Tensor):
        return State(torch.zeros_like(current), *current.new_full(shape, h).unbind(0))
    return State(torch.zeros_like(current), *h.to(current).expand(shape).clone().unbind(0))


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
        params: Neuron parameters.
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
    i = synapse(params.alpha, i, current)
    a = drive(params.rho, i) + params.r * h + params.r_s * h_s + params.b
    z_s = slow_gate(params.z_hyp, params.z_dep, h)
    h, h_s = blend(params.z, h, torch.tanh(a)), blend(z_s, h_s, h)
    return spike_fn(h), State(i, h, h_s)


def synapse(alpha: Param, i: Tensor, current: Tensor) -> Tensor:
    """Exponential synapse, shared by the SRC family."""
    return alpha * i + current


def drive(rho: Param, i: Tensor) -> Tensor:
    """Drive bounded to (-rho, rho), shared by the SRC family."""
    if isinstance(rho, Tensor):
        bounded = rho.abs() != math.inf  # also where it is NaN
        finite = torch.where(bounded, rho, 1.0)
        return torch.where(bounded, finite * torch.tanh(i / finite), i)
    return i if math.isinf(rho) else rho * torch.tanh(i / rho)


def slow_gate(z_hyp: Param, z_dep: Param, h: Tensor) -> Tensor:
    """Gate of the slow variable: z_hyp at rest, z_dep during a spike; shared by the SRC family."""
    return z_hyp + (z_dep - z_hyp) * torch.sigmoid(SLOPE * (h - MIDPOINT))


def blend(gate: Param, old: Tensor, new: Tensor) -> Tensor:
    """Convex combination gate * old + (1 - gate) * new."""
    return gate * old + (1 - gate) * new
