r"""Adaptive leaky integrate-and-fire neuron (ALIF). Status: SOURCE.

$$
\begin{aligned}
v_t &= \alpha\, v_{t-1} + I_t - v_\text{th}\, z_{t-1}   && \text{membrane, reset "subtract"} \\
v_t &= \alpha\, (1 - z_{t-1})\, v_{t-1} + I_t           && \text{reset "zero"} \\
a_t &= \rho\, a_{t-1} + z_{t-1}                         && \text{adaptation} \\
A_t &= v_\text{th} + \beta\, a_t                        && \text{threshold} \\
z_t &= H(v_t - A_t) \text{ unless refractory}           && \text{spike}
\end{aligned}
$$

with $\alpha = e^{-\Delta t / \tau_m}$ and $\rho = e^{-\Delta t / \tau_a}$. $H(0) = 0$: a neuron on its threshold stays
silent. $\beta = 0$ is the LIF neuron. $v$, $I$, $v_\text{th}$ and $\beta$ share one arbitrary unit; $a$ counts decayed
spikes. After a spike at $t$ the neuron is held silent at steps $t+1$ to $t+\delta$, so two spikes are more than
$\delta$ steps apart; membrane and adaptation go on meanwhile.

Membrane, reset and adaptation of step $t$ read the spike of step $t-1$; the spike of step $t$ reads the new membrane
and the new threshold.

Deviations from the source: the refractory period is counted in steps; reset "zero" and "none" are additions.

References:
    G. Bellec et al., "A solution to the learning dilemma for recurrent networks of spiking neurons", Nat. Commun.
    11:3625 (2020), Eqs. (6), (8)-(10).
"""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor

from snn_neuromod._types import Param, ThresholdFn
from snn_neuromod.dynamics.parameter import (
    NOT_NEGATIVE,
    POSITIVE,
    POSITIVE_OR_INF,
    Parameter,
    Parameters,
)
from snn_neuromod.errors import ConfigError
from snn_neuromod.surrogate import Psi

Reset = Literal["subtract", "zero", "none"]


MEMBRANE = ("v",)
PARAMETERS: Parameters = {
    "tau_mem": Parameter(
        "alpha",
        20.0,
        "Membrane time constant",
        "ms",
        POSITIVE_OR_INF,
        "inf for no leak",
        decay=True,
    ),
    "tau_adapt": Parameter(
        "rho",
        200.0,
        "Adaptation time constant",
        "ms",
        POSITIVE_OR_INF,
        "inf for no decay",
        decay=True,
    ),
    "beta": Parameter(
        "beta", 0.184, "Threshold increase per spike", "units of the membrane", NOT_NEGATIVE
    ),
    "v_th": Parameter("v_th", 1.0, "Baseline threshold", "units of the membrane", POSITIVE),
}
OPTIONS = {
    "spike_fn": Psi,
    "reset": get_args(Reset),
    "refractory": (0, int),
    "detach_reset": (False, True),
}
"""What each option of `step` may be: one of some values, any number of a type, an object with `OPTIONS` of its own."""


class Params(NamedTuple):
    r"""Parameters.

    Attributes:
        alpha: Membrane decay per step, in [0, 1].
        rho: Adaptation decay per step, in [0, 1].
        beta: Threshold increase per spike in units of the membrane, >= 0.
        v_th: Baseline threshold in units of the membrane, > 0.
    """

    alpha: Param = 0.9512294245007140  # exp(-1/20)
    rho: Param = 0.9950124791926823  # exp(-1/200)
    beta: Param = 0.184
    v_th: Param = 1.0


class State(NamedTuple):
    """State.

    Attributes:
        v: Membrane potential.
        a: Adaptation, in decayed spikes.
        z: Spikes of this step, in {0, 1}.
        held: Steps for which the neuron stays refractory, this one included.
    """

    v: Tensor
    a: Tensor
    z: Tensor
    held: Tensor


def initial_state(current: Tensor) -> State:
    """State at rest.

    Args:
        current: Any tensor of the wanted shape (batch, neuron), dtype and device.

    Returns:
        The state before the first step, all zeros.
    """
    return State(*current.new_zeros((4, *current.shape)).unbind(0))


def step(
    params: Params,
    state: State,
    current: Tensor,
    *,
    spike_fn: ThresholdFn = Psi(),
    reset: Reset = "subtract",
    refractory: int | Tensor = 0,
    detach_reset: bool = False,
) -> tuple[Tensor, State]:
    """Advance the neurons by one time step.

    Args:
        params: Neuron parameters.
        state: State at t-1, each (batch, neuron).
        current: Input at t, (batch, neuron), in units of v.
        spike_fn: Heaviside function with a pseudo-derivative, `surrogate.Psi`.
        reset: What a spike does to the membrane at the next step.
        refractory: Steps after a spike at which the neuron cannot fire, >= 0.
        detach_reset: Block the gradient through the reset; e-prop's traces do.

    Returns:
        spikes: Spikes at t, (batch, neuron).
        state: State at t.

    Raises:
        ValueError: If `reset` is unknown.
    """
    z_reset = state.z.detach() if detach_reset else state.z
    if reset == "subtract":
        v = params.alpha * state.v + current - params.v_th * z_reset
    elif reset == "zero":
        v = params.alpha * (1 - z_reset) * state.v + current
    elif reset == "none":
        v = params.alpha * state.v + current
    else:
        raise ConfigError(
            f"alif.step: reset must be one of {', '.join(get_args(Reset))}, got {reset!r}"
        )
    a = params.rho * state.a + state.z
    held = count_down(state, refractory)
    z = spike_fn(v - threshold(params, a), params.v_th, held > 0 if _holds(refractory) else None)
    return z, State(v, a, z, held)


def threshold(params: Params, a: Tensor) -> Tensor:
    """Adaptive threshold A = v_th + beta a."""
    return params.v_th + params.beta * a


def count_down(state: State, refractory: int | Tensor) -> Tensor:
    """Refractory steps left, this one included, shared by the ALIF family."""
    if not _holds(refractory):
        return state.held.detach()
    steps = refractory if isinstance(refractory, Tensor) else float(refractory)
    return torch.where(state.z.detach() > 0, steps, (state.held - 1).clamp(min=0))


def _holds(refractory: int | Tensor) -> bool:
    return isinstance(refractory, Tensor) or refractory > 0
