r"""NIR's neurons, one explicit Euler step each; a layer is `snn_neuromod.Custom(N, LIF, ...)`.

$$
\begin{aligned}
i_t &= i_{t-1} + \tfrac{\Delta t}{\tau_s} (w_\text{in} I_t - i_{t-1})       && \text{synapse of CubaLI, CubaLIF} \\
v'  &= v_{t-1} + \tfrac{\Delta t}{\tau} (v_\text{leak} - v_{t-1} + R\, x_t) && \text{LI, LIF and the two above} \\
v'  &= v_{t-1} + \Delta t\, R\, I_t                                         && \text{I, IF} \\
z_t &= H(v' - \vartheta), \qquad v_t = v' + z_t\, (v_\text{reset} - v')     && \text{spike and reset}
\end{aligned}
$$

$x_t$ is the input $I_t$; with a synapse it is $i_{t-1}$ (`synapse="old"`: both equations of NIR take their Euler step
from the same state) or $i_t$ (`synapse="new"`, as snnTorch and Norse step them). `reset="subtract"` takes
$v_t = v' - z_t \vartheta$. The steps of I and IF are $\Delta t$ in seconds, or 1. $H(0) = 0$. Neurons
without a threshold emit their membrane.

Time constants and $\Delta t$ are in ms; $R$ of I and IF is per second; the rest shares one arbitrary unit.

References:
    J. E. Pedersen et al., "Neuromorphic intermediate representation: a unified instruction set for interoperable
    brain-inspired computing", Nat. Commun. 15:8122 (2024), Table 1.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor

from snn_neuromod._types import Param, ThresholdFn
from snn_neuromod.surrogate import Psi

Reset = Literal["value", "subtract"]
Synapse = Literal["old", "new"]


class Membrane(NamedTuple):
    """State of a neuron without a synapse.

    Attributes:
        v: Membrane, after the reset.
    """

    v: Tensor


class Cuba(NamedTuple):
    """State of a neuron with a synapse.

    Attributes:
        i: Synaptic current.
        v: Membrane, after the reset.
    """

    i: Tensor
    v: Tensor


class _Neuron:
    """What the neurons share: rest, spike and reset."""

    State: type[Membrane] | type[Cuba] = Membrane
    MEMBRANE: tuple[str, ...] = ("v",)
    """States through which a rule follows the membrane alone: nothing here adapts, so all."""

    @classmethod
    def initial_state(cls, current: Tensor) -> Membrane | Cuba:
        """Membrane and synapse at 0, shaped as `current`."""
        return cls.State(*(torch.zeros_like(current) for _ in cls.State._fields))


def _leak(v: Tensor, x: Tensor, tau: Param, r: Param, v_leak: Param, dt: float) -> Tensor:
    return v + dt / tau * (v_leak - v + r * x)


def _filter(i: Tensor, current: Tensor, tau_syn: Param, w_in: Param, dt: float) -> Tensor:
    return i + dt / tau_syn * (w_in * current - i)


def _fire(
    v: Tensor, threshold: Param, v_reset: Param, reset: Reset, spike_fn: ThresholdFn
) -> tuple[Tensor, Tensor]:
    """Spikes, and the membrane after them."""
    unit = torch.as_tensor(threshold).abs()  # of the pseudo-derivative's width
    z = spike_fn(v - threshold, torch.where(unit > 0, unit, 1.0), None)
    return z, v - z * threshold if reset == "subtract" else v + z * (v_reset - v)


class LI(_Neuron):
    """Leaky integrator."""

    class Params(NamedTuple):
        """Parameters: time constant (ms), resistance, leak."""

        tau: Param
        r: Param = 1.0
        v_leak: Param = 0.0

    @classmethod
    def step(
        cls, params: LI.Params, state: Membrane, current: Tensor, *, dt: float
    ) -> tuple[Tensor, Membrane]:
        """Advance by one time step of `dt` ms."""
        v = _leak(state.v, current, *params, dt)
        return v, Membrane(v)


class LIF(_Neuron):
    """Leaky integrate-and-fire neuron."""

    class Params(NamedTuple):
        """Parameters: time constant (ms), resistance, leak, threshold, reset."""

        tau: Param
        r: Param = 1.0
        v_leak: Param = 0.0
        v_threshold: Param = 1.0
        v_reset: Param = 0.0

    @classmethod
    def step(
        cls,
        params: LIF.Params,
        state: Membrane,
        current: Tensor,
        *,
        dt: float,
        reset: Reset = "value",
        spike_fn: ThresholdFn = Psi(),
    ) -> tuple[Tensor, Membrane]:
        """Advance by one time step of `dt` ms."""
        tau, r, v_leak, threshold, v_reset = params
        v = _leak(state.v, current, tau, r, v_leak, dt)
        z, v = _fire(v, threshold, v_reset, reset, spike_fn)
        return z, Membrane(v)


class CubaLI(_Neuron):
    """Leaky integrator behind a synapse."""

    State = Cuba
    MEMBRANE = ("i", "v")

    class Params(NamedTuple):
        """Parameters: time constants of synapse and membrane (ms), weight of the synapse, resistance, leak."""

        tau_syn: Param
        tau_mem: Param
        w_in: Param = 1.0
        r: Param = 1.0
        v_leak: Param = 0.0

    @classmethod
    def step(
        cls,
        params: CubaLI.Params,
        state: Cuba,
        current: Tensor,
        *,
        dt: float,
        synapse: Synapse = "old",
    ) -> tuple[Tensor, Cuba]:
        """Advance by one time step of `dt` ms."""
        tau_syn, tau_mem, w_in, r, v_leak = params
        i = _filter(state.i, current, tau_syn, w_in, dt)
        v = _leak(state.v, i if synapse == "new" else state.i, tau_mem, r, v_leak, dt)
        return v, Cuba(i, v)


class CubaLIF(_Neuron):
    """Leaky integrate-and-fire neuron behind a synapse."""

    State = Cuba
    MEMBRANE = ("i", "v")

    class Params(NamedTuple):
        """Parameters: as of `CubaLI`, threshold, reset."""

        tau_syn: Param
        tau_mem: Param
        w_in: Param = 1.0
        r: Param = 1.0
        v_leak: Param = 0.0
        v_threshold: Param = 1.0
        v_reset: Param = 0.0

    @classmethod
    def step(
        cls,
        params: CubaLIF.Params,
        state: Cuba,
        current: Tensor,
        *,
        dt: float,
        reset: Reset = "value",
        synapse: Synapse = "old",
        spike_fn: ThresholdFn = Psi(),
    ) -> tuple[Tensor, Cuba]:
        """Advance by one time step of `dt` ms."""
        *linear, threshold, v_reset = params
        v, after = CubaLI.step(CubaLI.Params(*linear), state, current, dt=dt, synapse=synapse)
        z, v = _fire(v, threshold, v_reset, reset, spike_fn)
        return z, after._replace(v=v)


class I(_Neuron):  # noqa: E742 - NIR's name
    """Integrator."""

    class Params(NamedTuple):
        """Parameter: resistance."""

        r: Param = 1.0

    @classmethod
    def step(
        cls, params: I.Params, state: Membrane, current: Tensor, *, dt: float
    ) -> tuple[Tensor, Membrane]:
        """Advance by one step of `dt`, in NIR's seconds or whatever unit the resistance is for."""
        v = state.v + dt * (params.r * current)
        return v, Membrane(v)


class IF(_Neuron):
    """Integrate-and-fire neuron."""

    class Params(NamedTuple):
        """Parameters: resistance, threshold, reset."""

        r: Param = 1.0
        v_threshold: Param = 1.0
        v_reset: Param = 0.0

    @classmethod
    def step(
        cls,
        params: IF.Params,
        state: Membrane,
        current: Tensor,
        *,
        dt: float,
        reset: Reset = "value",
        spike_fn: ThresholdFn = Psi(),
    ) -> tuple[Tensor, Membrane]:
        """Advance by one step of `dt`, as of `I`."""
        v, _ = I.step(I.Params(params.r), state, current, dt=dt)
        z, v = _fire(v, params.v_threshold, params.v_reset, reset, spike_fn)
        return z, Membrane(v)


KINDS: tuple[type[_Neuron], ...] = (LI, LIF, CubaLI, CubaLIF, I, IF)
