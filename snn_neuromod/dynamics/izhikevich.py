r"""Izhikevich neuron, in the form used with e-prop. Status: SOURCE.

$$
\begin{aligned}
v' &= v_{t-1} - (v_{t-1} - c)\, z_{t-1}, \qquad u' = u_{t-1} + d\, z_{t-1}          && \text{reset} \\
v_t &= v' + \Delta t\, (0.04\, v'^2 + 5\, v' + 140 - u' + I_t)                   && \text{membrane} \\
u_t &= u' + \Delta t\, a\, (b\, v' - u')                                          && \text{recovery} \\
z_t &= H(v_t - 30)                                                                && \text{spike}
\end{aligned}
$$

$v$, $u$ in mV, $\Delta t$ in ms, $a$ in 1/ms, $c$ in mV, $d$ in mV; $I$ in units in which 10 drives a regular spiking
neuron to about 20 Hz. The reset acts at the start of the step that follows the spike. Both updates read $v'$ and $u'$
(forward Euler).

The derivative $J = \partial v_t / \partial v' = 1 + \Delta t\, (0.08\, v' + 5)$ is 6 at 0 mV and 8.4 just below the
peak with $\Delta t$ = 1 ms: gradients and eligibility traces grow by that factor in each step of an upstroke. A smaller
$\Delta t$ lessens it; `clip_jacobian` = c bounds it to [-c, c], per neuron and step, in the derivative only. Every form
of the learning rules sees the same clipped J, so that they still agree exactly.

Deviations from the source: the constants a, b, c, d are free (there 0.02, 0.2, -65, 2), so that the neuron types of
Izhikevich (2003) can be had; $H(0) = 0$, so the neuron spikes above 30 mV (there at or above). Izhikevich's own script
takes two half steps for $v$; here `dt` may be made smaller instead. Clipping J is an addition; clipping eligibility
traces per synapse instead would give another direction.

References:
    E. M. Izhikevich, "Simple model of spiking neurons", IEEE Trans. Neural Networks 14 (2003), 1569-1572.
    M. Traub, M. Butz, H. Baayen, S. Otte, arXiv 2006.09988 (2020), Eqs. (4)-(21).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from snn_neuromod._types import Param, ThresholdFn
from snn_neuromod.dynamics.parameter import POSITIVE, Parameter, Parameters
from snn_neuromod.surrogate import Psi

PEAK = 30.0
PSI = Psi(shape="exponential", scale="none")
r"""Pseudo-derivative of the source, $\gamma \exp((\min(v, 30) - 30) / 30)$."""


MEMBRANE = ("v",)
PARAMETERS: Parameters = {
    "a": Parameter(
        "a", 0.02, "Rate of recovery", "1/ms", POSITIVE, "negative together with a negative b only"
    ),
    "b": Parameter("b", 0.2, "Sensitivity of recovery to the membrane"),
    "c": Parameter("c", -65.0, "Membrane after a spike", "mV"),
    "d": Parameter("d", 2.0, "Increase of recovery by a spike", "mV"),
}
OPTIONS = {
    "spike_fn": Psi,
    "detach_reset": (False, True),
    "clip_jacobian": (None, float),
    "linear": (float,),
    "constant": (float,),
}
"""What each option of `step` may be: one of some values, any number of a type, an object with `OPTIONS` of its own."""


class Params(NamedTuple):
    r"""Parameters; defaults are a regular spiking neuron with the source's d.

    Attributes:
        a: Rate of recovery in 1/ms, > 0; negative together with a negative b only.
        b: Sensitivity of recovery to the membrane.
        c: Membrane after a spike in mV.
        d: Increase of recovery by a spike in mV.
        dt: Time step, ms, > 0.
    """

    a: Param = 0.02
    b: Param = 0.2
    c: Param = -65.0
    d: Param = 2.0
    dt: Param = 1.0


class State(NamedTuple):
    """State.

    Attributes:
        v: Membrane potential, mV.
        u: Recovery, mV.
        z: Spikes of this step, in {0, 1}.
    """

    v: Tensor
    u: Tensor
    z: Tensor


def initial_state(current: Tensor, *, v: Param = -65.0, b: Param = 0.2) -> State:
    """Membrane at v, recovery at its equilibrium b v, no spike.

    Args:
        current: Any tensor of the wanted shape (batch, neuron), dtype and device.
        v: Membrane potential, mV.
        b: Sensitivity of recovery.

    Returns:
        The state before the first step.
    """
    zeros = torch.zeros_like(current)
    return State(zeros + v, zeros + b * v, zeros)


LINEAR, CONSTANT = 5.0, 140.0


def slope(v: Tensor, dt: Param, clip: float | None = None, linear: float = LINEAR) -> Tensor:
    r"""Derivative $\partial v_t / \partial v'$ of the membrane, in the bounds that `step` describes.

    Args:
        v: Membrane v' after the reset, mV.
        dt: Time step, ms.
        clip: Bound, > 0; None for none.
        linear: See `step`.

    Returns:
        The derivative, as `v`.
    """
    derivative = 1 + dt * (0.08 * v + linear)
    return derivative if clip is None else derivative.clamp(-clip, clip)


def step(
    params: Params,
    state: State,
    current: Tensor,
    *,
    spike_fn: ThresholdFn = PSI,
    detach_reset: bool = False,
    clip_jacobian: float | None = None,
    linear: float = LINEAR,
    constant: float = CONSTANT,
) -> tuple[Tensor, State]:
    r"""Advance the neurons by one time step.

    Args:
        params: Neuron parameters.
        state: State at t-1, each (batch, neuron).
        current: Input at t, (batch, neuron).
        spike_fn: Heaviside function with a pseudo-derivative, `surrogate.Psi`.
        detach_reset: Block the gradient through the reset; e-prop's traces do.
        clip_jacobian: Bound c of the gradient's factor $\partial v_t / \partial v'$, which is taken as
            $\min(\max(1 + \Delta t\, (0.08\, v' + 5), -c), c)$; None takes it as it is. Values do not change.
        linear: Factor of v' in the membrane's equation, 1/ms; 4.1 for the source's neurons of class 1.
        constant: Its constant, mV/ms; 108 for these.

    Returns:
        spikes: Spikes at t, (batch, neuron).
        state: State at t.
    """
    a, b, c, d, dt = params
    z = state.z.detach() if detach_reset else state.z
    v = state.v - (state.v - c) * z
    u = state.u + d * z
    v_next = v + dt * (0.04 * v**2 + linear * v + constant - u + current)
    if clip_jacobian is not None:
        excess = slope(v, dt, None, linear) - slope(v, dt, clip_jacobian, linear)
        v_next = v_next - excess.detach() * (v - v.detach())
    u_next = u + dt * a * (b * v - u)
    z = spike_fn(v_next - PEAK, PEAK, None)
    return z, State(v_next, u_next, z)
