"""Layers of the ALIF family: ALIF and STDP-ALIF."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, ClassVar, get_args

from snn_neuromod._types import ThresholdFn
from snn_neuromod.dynamics import stdp_alif
from snn_neuromod.dynamics.alif import Params, Reset, State
from snn_neuromod.errors import ConfigError
from snn_neuromod.kernels.backends import Backend
from snn_neuromod.layers.base import Layer, P, spike_function
from snn_neuromod.layers.delays import Delay
from snn_neuromod.layers.parameters import Value, positive
from snn_neuromod.layers.times import Ms, in_steps
from snn_neuromod.surrogate import Psi


class _ALIFFamily(Layer[State, P]):
    """What the two have in common."""

    least_refractory: ClassVar[int] = 0

    def __init__(
        self,
        num_neurons: int | None,
        values: Mapping[str, Value],
        learn: Collection[str],
        dt: float,
        psi: Psi | ThresholdFn,
        refractory: int | Ms,
        detach_reset: bool,
        delay: Delay,
        backend: Backend | None,
    ) -> None:
        delay = in_steps(type(self).__name__, delay, dt)
        super().__init__(num_neurons, values, learn, delay=delay, backend=backend)
        self.dt, self.psi, self.refractory = dt, psi, refractory
        self.detach_reset = detach_reset

    def _checked(self, name: str, value: Any) -> Any:
        who = type(self).__name__
        if name == "dt":
            return positive(who, name, value)
        if name == "psi":
            return spike_function(who, value)
        if name == "refractory":
            least = self.least_refractory
            if isinstance(value, Ms):  # the shortest time between two spikes
                value = value.steps(who, name, self.dt) - 1
            if not value >= least or int(value) != value:
                raise ConfigError(
                    f"{who}: refractory must be a number of steps >= {least}, got {value}"
                )
            return int(value)
        if name == "reset" and value not in get_args(Reset):
            raise ConfigError(
                f"{who}: reset must be one of {', '.join(get_args(Reset))}, got {value!r}"
            )
        return super()._checked(name, value)

    def step_options(self) -> dict[str, Any]:
        return {
            "refractory": self.refractory,
            "detach_reset": self.detach_reset,
            "spike_fn": self.psi,
        }


class ALIF(_ALIFFamily[Params]):
    r"""Adaptive LIF neurons; equations in `snn_neuromod.dynamics.alif`.

    Args:
        num_neurons: Number of neurons N; None for inputs of any shape.
        tau_mem: Membrane time constant in ms, > 0; inf for no leak.
        tau_adapt: Adaptation time constant in ms, > 0; inf for no decay.
        beta: Threshold increase per spike in units of the membrane, >= 0. 0 is the LIF neuron.
        v_th: Baseline threshold in units of the membrane, > 0.
        dt: Time step in ms, > 0.
        refractory: Steps after a spike at which the neuron cannot fire, >= 0; or `Ms`, the shortest time between two.
        reset: "subtract" takes v_th off the membrane one step after a spike, "zero" empties it, "none" leaves it.
        detach_reset: No gradient through the reset.
        psi: Pseudo-derivative of the spikes. Or any other spike function (distance, v_th, held) -> spikes, slower: its
            derivative comes from automatic differentiation.
        delay: Delay of the spikes that a `Recurrent` around the layer feeds back, in steps >= 1 or as `Ms`: one number
            or one per neuron.
        learn: Names of the parameters above (tau_mem, tau_adapt, beta, v_th) that are learned: a number becomes one
            value per neuron, a 0-d tensor stays one for all.
        backend: Asks for a backend by name, see `kernels.backends`; None: as `kernels.use` or the environment says.

    Raises:
        ValueError: If an argument is outside its range or of a wrong shape, or `learn` names an unknown one.
        TypeError: If `psi` is neither a `Psi` nor a function.

    Examples:
        >>> import torch
        >>> layer = ALIF(100, tau_adapt=200.0, learn=["beta"])
        >>> spikes, state = layer(torch.rand(250, 8, 100))  # (T, batch, neuron)
        >>> spikes.shape
        torch.Size([250, 8, 100])
    """

    dynamics_name = "alif"

    def __init__(
        self,
        num_neurons: int | None,
        *,
        tau_mem: Value = 20.0,
        tau_adapt: Value = 200.0,
        beta: Value = 0.184,
        v_th: Value = 1.0,
        dt: float = 1.0,
        refractory: int | Ms = 0,
        reset: Reset = "subtract",
        detach_reset: bool = False,
        psi: Psi | ThresholdFn = Psi(),
        delay: Delay = 1,
        learn: Collection[str] = (),
        backend: Backend | None = None,
    ) -> None:
        values = {"tau_mem": tau_mem, "tau_adapt": tau_adapt, "beta": beta, "v_th": v_th}
        super().__init__(
            num_neurons, values, learn, dt, psi, refractory, detach_reset, delay, backend
        )
        self.reset = reset

    def step_options(self) -> dict[str, Any]:
        return {"reset": self.reset, **super().step_options()}


class STDPALIF(_ALIFFamily[stdp_alif.Params]):
    r"""STDP-ALIF neurons; equations in `snn_neuromod.dynamics.stdp_alif`.

    Args:
        num_neurons: Number of neurons N; None for inputs of any shape.
        tau_mem: Membrane time constant in ms, > 0; inf for no leak.
        tau_adapt: Adaptation time constant in ms, > 0; inf for no decay.
        beta: Threshold increase per spike in units of the membrane, >= 0.
        v_th: Baseline threshold in units of the membrane, > 0.
        dt: Time step in ms, > 0.
        refractory: Refractory period in steps, >= 1; strict. Or `Ms`, the shortest time between two spikes.
        detach_reset: No gradient through the reset.
        psi: Pseudo-derivative of the spikes; default -gamma while refractory, not scaled by the threshold. Or any other
            spike function (distance, v_th, held) -> spikes, slower: its derivative comes from automatic
            differentiation.
        delay: Delay of the spikes that a `Recurrent` around the layer feeds back, in steps >= 1 or as `Ms`: one number
            or one per neuron.
        learn: Names of the parameters above (tau_mem, tau_adapt, beta, v_th) that are learned.
        backend: Asks for a backend by name, see `kernels.backends`; None: as `kernels.use` or the environment says.

    Raises:
        ValueError: If an argument is outside its range or of a wrong shape, or `learn` names an unknown one.
        TypeError: If `psi` is neither a `Psi` nor a function.

    Examples:
        >>> import torch
        >>> spikes, state = STDPALIF(100)(torch.rand(250, 8, 100))  # (T, batch, neuron)
        >>> spikes.shape
        torch.Size([250, 8, 100])
    """

    dynamics_name = "stdp_alif"
    least_refractory = 1

    def __init__(
        self,
        num_neurons: int | None,
        *,
        tau_mem: Value = 20.0,
        tau_adapt: Value = 200.0,
        beta: Value = 0.184,
        v_th: Value = 1.0,
        dt: float = 1.0,
        refractory: int | Ms = 2,
        detach_reset: bool = False,
        psi: Psi | ThresholdFn = stdp_alif.PSI,
        delay: Delay = 1,
        learn: Collection[str] = (),
        backend: Backend | None = None,
    ) -> None:
        values = {"tau_mem": tau_mem, "tau_adapt": tau_adapt, "beta": beta, "v_th": v_th}
        super().__init__(
            num_neurons, values, learn, dt, psi, refractory, detach_reset, delay, backend
        )
