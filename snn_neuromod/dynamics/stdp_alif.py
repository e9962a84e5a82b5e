r"""STDP-ALIF neuron: an ALIF neuron whose e-prop eligibility trace shows STDP. Status: SOURCE.

$$
\begin{aligned}
v_t &= \alpha\, v_{t-1}\, (1 - z_{t-1} - z_{t-1-\delta}) + I_t && \text{membrane} \\
a_t &= \rho\, a_{t-1} + z_{t-1}, \qquad A_t = v_\text{th} + \beta\, a_t \\
z_t &= H(v_t - A_t) \text{ where more than } \delta \text{ steps have passed since the last spike}
\end{aligned}
$$

A spike resets the membrane to zero at the next step, and once more at the end of the refractory period of $\delta$
steps. The pseudo-derivative is $-\gamma$ while refractory (`Psi(refractory=-1)`), which makes a presynaptic spike that
comes just after the postsynaptic one count against the synapse. Units, update order and adaptation are those of
`snn_neuromod.dynamics.alif`.

$z_{t-1-\delta}$ is read off the refractory counter: the counter of step $t-1$ is 1 exactly when the last spike was at
$t-1-\delta$.

Deviations from the source: there a neuron may fire exactly $\delta$ steps after a spike, upon which both resets
coincide and the membrane changes sign. Here the refractory period is strict (more than $\delta$ steps), and the
pseudo-derivative is $-\gamma$ at those $\delta$ steps; there, read to the letter, at the spike itself and the
$\delta - 1$ steps after it (`Psi(at_spike=-1)` sets the one at the spike). It
is not divided by the threshold: with $-\gamma / v_\text{th}$ the factor of the adaptation's eligibility trace while
refractory, $\rho + \beta \gamma / v_\text{th}$, exceeds 1.

References:
    M. Traub, M. Butz, H. Baayen, S. Otte, "Learning precise spike timings with eligibility traces", arXiv 2006.09988
    (2020), Eqs. (25)-(29). W. van der Veen, arXiv 2201.07602 (2022): with threshold adaptation.
"""

from __future__ import annotations

from torch import Tensor

from snn_neuromod._types import ThresholdFn
from snn_neuromod.dynamics.alif import (
    PARAMETERS,
    Params,
    State,
    count_down,
    initial_state,
    threshold,
)
from snn_neuromod.surrogate import Psi

__all__ = ["PARAMETERS", "PSI", "Params", "State", "initial_state", "step"]

PSI = Psi(scale="none", refractory=-1.0)
"""Pseudo-derivative of the source: -gamma while refractory, not scaled by the threshold."""


MEMBRANE = ("v",)
OPTIONS = {"spike_fn": Psi, "refractory": (int,), "detach_reset": (False, True)}
"""What each option of `step` may be: one of some values, any number of a type, an object with `OPTIONS` of its own."""


def step(
    params: Params,
    state: State,
    current: Tensor,
    *,
    spike_fn: ThresholdFn = PSI,
    refractory: int | Tensor = 2,
    detach_reset: bool = False,
) -> tuple[Tensor, State]:
    """Advance the neurons by one time step.

    Args:
        params: Neuron parameters.
        state: State at t-1, each (batch, neuron).
        current: Input at t, (batch, neuron), in units of v.
        spike_fn: Heaviside function with a pseudo-derivative, `surrogate.Psi`.
        refractory: Refractory period delta in steps, >= 1.
        detach_reset: Block the gradient through the reset; e-prop's traces do.

    Returns:
        spikes: Spikes at t, (batch, neuron).
        state: State at t.
    """
    z_reset = state.z.detach() if detach_reset else state.z
    ended = (state.held == 1).to(state.v.dtype)
    v = params.alpha * (1 - z_reset - ended) * state.v + current
    a = params.rho * state.a + state.z
    held = count_down(state, refractory)
    z = spike_fn(v - threshold(params, a), params.v_th, held > 0)
    return z, State(v, a, z, held)
