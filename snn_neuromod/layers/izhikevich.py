"""Layer of Izhikevich neurons."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any

import torch
from torch import Tensor

from snn_neuromod._types import ThresholdFn
from snn_neuromod.dynamics import izhikevich
from snn_neuromod.dynamics.izhikevich import Params, State
from snn_neuromod.dynamics.parameter import Range
from snn_neuromod.errors import ConfigError
from snn_neuromod.kernels.backends import Backend
from snn_neuromod.kernels.neurons import Neuron
from snn_neuromod.layers.base import Layer, spike_function, working_dtype
from snn_neuromod.layers.delays import Delay
from snn_neuromod.layers.izhikevich_presets import PRESETS
from snn_neuromod.layers.parameters import Value, positive
from snn_neuromod.layers.times import in_steps
from snn_neuromod.surrogate import Psi


class Izhikevich(Layer[State, Params]):
    r"""Izhikevich neurons; equations in `snn_neuromod.dynamics.izhikevich`.

    Args:
        num_neurons: Number of neurons N; None for inputs of any shape.
        a: Rate of recovery in 1/ms, > 0; negative together with a negative b only. So are the source's neurons that
            inhibition excites.
        b: Sensitivity of recovery to the membrane.
        c: Membrane after a spike in mV.
        d: Increase of recovery by a spike in mV.
        dt: Time step in ms, > 0. At 1 ms the derivative of the membrane is often far above 1; 0.5 is safer in training,
            and `clip_jacobian` bounds it.
        v_init: Membrane before the first step, mV.
        u_init: Recovery before the first step, mV; None: at its equilibrium b v.
        linear: Factor of v in the membrane's equation, see `dynamics.izhikevich.step`.
        constant: Its constant.
        detach_reset: No gradient through the reset.
        psi: Pseudo-derivative of the spikes. Or any other spike function (distance, 30, None) -> spikes, slower: its
            derivative comes from automatic differentiation.
        clip_jacobian: Bound, > 0, of the derivative of a neuron's membrane by itself, per neuron and step, in every
            gradient; 1 keeps eligibility traces from growing during a spike's upstroke. None for none.
        delay: Delay of the spikes that a `Recurrent` around the layer feeds back, in steps >= 1 or as `Ms`: one number
            or one per neuron.
        learn: Names of the parameters a, b, c, d that are learned: a number becomes one value per neuron, a 0-d tensor
            stays one for all.
        backend: Asks for a backend by name, see `kernels.backends`; None: as `kernels.use` or the environment says.

    Raises:
        ValueError: If an argument is outside its range or of a wrong shape, or `learn` names an unknown one.
        TypeError: If `psi` is neither a `Psi` nor a function.

    Examples:
        >>> import torch
        >>> spikes, state = Izhikevich(3, d=8.0)(10 * torch.ones(500, 1, 3))  # (T, batch, neuron)
        >>> bool(spikes.sum() > 0)
        True
    """

    dynamics_name = "izhikevich"

    def __init__(
        self,
        num_neurons: int | None,
        *,
        a: Value = 0.02,
        b: Value = 0.2,
        c: Value = -65.0,
        d: Value = 2.0,
        dt: float = 1.0,
        v_init: float = -65.0,
        u_init: float | None = None,
        linear: float = izhikevich.LINEAR,
        constant: float = izhikevich.CONSTANT,
        detach_reset: bool = False,
        psi: Psi | ThresholdFn = izhikevich.PSI,
        clip_jacobian: float | None = None,
        delay: Delay = 1,
        learn: Collection[str] = (),
        backend: Backend | None = None,
    ) -> None:
        values = {"a": a, "b": b, "c": c, "d": d}
        unstable = all(isinstance(value, int | float) and value < 0 for value in (a, b))
        super().__init__(
            num_neurons,
            values,
            learn,
            ranges={"a": Range()} if unstable else None,
            delay=in_steps(type(self).__name__, delay, dt),
            backend=backend,
        )
        self.dt, self.v_init, self.detach_reset, self.psi = dt, v_init, detach_reset, psi
        self.clip_jacobian, self.u_init = clip_jacobian, u_init
        self.linear, self.constant = linear, constant

    @classmethod
    def preset(cls, name: str, num_neurons: int | None, **changes: Any) -> Izhikevich:
        """Neurons with one of the twenty behaviours in `snn_neuromod.layers.izhikevich_presets`.

        Args:
            name: The behaviour, such as "tonic_bursting".
            num_neurons: As of the class.
            **changes: Arguments of the class in the place of the preset's, among them `dt`.

        Raises:
            ValueError: If there is no behaviour of that name.

        Examples:
            >>> import torch
            >>> layer = Izhikevich.preset("tonic_bursting", 1)
            >>> spikes, state = layer(15 * torch.ones(800, 1, 1))  # 200 ms
            >>> int(spikes.sum()) > 10
            True
        """
        if name not in PRESETS:
            raise ConfigError(f"Izhikevich: name must be one of {', '.join(PRESETS)}, got {name!r}")
        return cls(num_neurons, **{**PRESETS[name].values, **changes})

    def _described(self) -> Neuron:
        """By name with the usual constants, else by its step."""
        options = self.step_options()
        return Neuron(self.dynamics, options) if "linear" in options else super()._described()

    def _checked(self, name: str, value: Any) -> Any:
        who = type(self).__name__
        if name == "dt":
            return positive(who, name, value)
        if name == "psi":
            return spike_function(who, value)
        finite = name not in ("v_init", "u_init", "linear", "constant") or value is None
        if not finite and not math.isfinite(value):
            raise ConfigError(f"{who}: {name} must be finite, got {value}")
        if name == "clip_jacobian" and value is not None and not value > 0:
            raise ConfigError(f"{who}: clip_jacobian must be > 0 or None, got {value}")
        return super()._checked(name, value)

    def params(self, dtype: torch.dtype | None = None) -> Params:
        a, b, c, d = (self.value(name, dtype) for name in "abcd")
        return Params(a, b, c, d, a.new_full((), self.dt))

    def initial_state(self, current: Tensor) -> State:
        v = torch.full_like(current, self.v_init, dtype=working_dtype(current))
        if self.u_init is not None:
            return State(v, torch.full_like(v, self.u_init), torch.zeros_like(v))
        return State(v, v * self.value("b", v.dtype).detach(), torch.zeros_like(v))

    def step_options(self) -> dict[str, Any]:
        options = {
            "detach_reset": self.detach_reset,
            "clip_jacobian": self.clip_jacobian,
            "spike_fn": self.psi,
        }
        if (self.linear, self.constant) == (izhikevich.LINEAR, izhikevich.CONSTANT):
            return options
        return {**options, "linear": self.linear, "constant": self.constant}
