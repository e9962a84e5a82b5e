"""Layers of the SRC family: SRC, mSRC and BSRC."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any

import torch
from torch import Tensor

from snn_neuromod.layers.base import Layer, working_dtype
from snn_neuromod.layers.parameters import Range, Uniform, Value, register
from snn_neuromod.surrogate import straight_through_relu

_GATE = Range(0.0, 1.0, open_high=True)
_RANGES = {
    "alpha": Range(0.0, 1.0),
    "rho": Range(0.0, open_low=True, infinite=True),
    "z": _GATE,
    "z_hyp": _GATE,
    "z_dep": _GATE,
    "z_u": _GATE,
}


class _SRCFamily(Layer):
    """What the three have in common: start of the membrane and gradient options."""

    ranges = _RANGES

    def __init__(
        self,
        num_neurons: int | None,
        values: Mapping[str, Value],
        learn: Collection[str],
        start: Value,
        detach_recurrence: bool,
        straight_through: bool,
        ranges: Mapping[str, Range] | None = None,
    ) -> None:
        unreached = sorted(_BEHIND_RECURRENCE & set(_names(learn)))
        if detach_recurrence and unreached:
            raise ValueError(
                f"{type(self).__name__}: learn must not name {', '.join(unreached)} with detach_recurrence=True, "
                f"got {tuple(_names(learn))}; they have no gradient but through the recurrence"
            )
        options = {"detach_recurrence": detach_recurrence, "straight_through": straight_through}
        super().__init__(num_neurons, values, learn, options, ranges=ranges)
        self.detach_recurrence, self.straight_through = detach_recurrence, straight_through
        register(self, "start", start, Range(-1.0, 1.0), num_neurons=num_neurons, learn=False)

    def params(self, dtype: torch.dtype | None = None) -> Any:
        fields = self.dynamics.Params._fields
        return self.dynamics.Params(*(self.value(_ARGUMENT.get(f, f), dtype) for f in fields))

    def initial_state(self, current: Tensor) -> Any:
        state = super().initial_state(current)
        start = torch.zeros_like(state.h) + self.value("start", state.h.dtype)
        return state._replace(h=start, h_s=start.clone())

    def step_options(self) -> dict[str, Any]:
        return {
            "detach_recurrence": self.detach_recurrence,
            "spike_fn": straight_through_relu if self.straight_through else torch.relu,
        }


class SRC(_SRCFamily):
    r"""Spiking Recurrent Cell; equations in `snn_neuromod.dynamics.src`.

    Every quantity is dimensionless and one step is the unit of time. The input is the weighted current W s.

    Args:
        num_neurons: Number of neurons N; None for inputs of any shape.
        alpha: Decay of the synapse per step, in [0, 1]; 0 feeds the input on without memory.
        rho: Bound of the drive, > 0; inf for none.
        r: Fast positive feedback.
        r_s: Slow feedback.
        z: Membrane update gate, in [0, 1).
        z_hyp: Gate of the slow variable at rest, in [0, 1).
        z_dep: Gate of the slow variable during a spike, in [0, 1).
        b: Bias.
        b_max: Upper bound of the bias, kept in the forward pass; None for none.
        start: Common value of h and h_s before the first step, in [-1, 1]; by default drawn once per neuron, as in the
            source, from U(-0.7, -0.1), and saved with the layer.
        learn: Names of the parameters alpha to b that are learned: a number becomes one value per neuron, a 0-d tensor
            stays one for all.
        detach_recurrence: Gradient of the source: none through h and h_s of the step before, only through the synapse.
            Training fails without it; False is backpropagation without approximation.
        straight_through: Gradient of the source: identity through the output's ReLU.

    Raises:
        ValueError: If a parameter is outside its range or of a wrong shape, or `learn` names an unknown one, or one of
            the slow gates while the recurrence is detached, which leaves them without a gradient.

    Examples:
        >>> import torch
        >>> layer = SRC(10, learn=["b"])
        >>> spikes, state = layer(3 * torch.rand(50, 8, 10))  # (T, batch, neuron)
        >>> spikes.shape, state.h.shape
        (torch.Size([50, 8, 10]), torch.Size([8, 10]))
    """

    dynamics_name = "src"

    def __init__(
        self,
        num_neurons: int | None,
        *,
        alpha: Value = 0.9,
        rho: Value = 3.0,
        r: Value = 2.0,
        r_s: Value = -7.0,
        z: Value = 0.0,
        z_hyp: Value = 0.9,
        z_dep: Value = 0.0,
        b: Value = -6.0,
        b_max: float | None = -4.0,
        start: Value | None = None,
        learn: Collection[str] = (),
        detach_recurrence: bool = True,
        straight_through: bool = True,
    ) -> None:
        values = {
            "alpha": alpha, "rho": rho, "r": r, "r_s": r_s, "z": z, "z_hyp": z_hyp, "z_dep": z_dep, "b": b,
        }  # fmt: skip
        if start is None:
            start = -0.4 if num_neurons is None else Uniform(-0.7, -0.1)
        ranges = (
            {}
            if b_max is None
            else {"b": Range(-math.inf, b_max, fix="; pass a higher b_max, or None")}
        )
        super().__init__(
            num_neurons, values, learn, start, detach_recurrence, straight_through, ranges
        )


class _Modulated(_SRCFamily):
    """A layer whose modulation may also be given per step."""

    def step(
        self, current: Tensor, state: Any = None, *, modulation: Tensor | None = None
    ) -> tuple[Tensor, Any]:
        """Advance by one time step.

        Args:
            current: Input of this step, (batch, ..., neuron).
            state: State after the step before; None: at rest.
            modulation: Replaces the layer's modulation at this step; broadcastable to `current`.

        Returns:
            spikes: (batch, ..., neuron).
            state: State after this step.

        Raises:
            ValueError: If `current` has no batch axis or another number of neurons, or `state` or `modulation` does not
                fit it.
            TypeError: If `current` is not of a floating-point type.
        """
        return self._step(current, state, self._override(modulation, current))

    def forward(
        self, current: Tensor, state: Any = None, *, modulation: Tensor | None = None
    ) -> tuple[Tensor, Any]:
        """Run the neurons over a sequence.

        Args:
            current: Input, time first, (T, batch, ..., neuron), T >= 1.
            state: State after an earlier sequence; None: at rest.
            modulation: Replaces the layer's modulation step by step; broadcastable to `current`, for instance
                (T, batch, 1). Gradients flow into it.

        Returns:
            spikes: (T, batch, ..., neuron).
            state: State after the last step.

        Raises:
            ValueError: If `current` has no time axis, no steps or another number of neurons, or `state` or `modulation`
                does not fit it.
            TypeError: If `current` is not of a floating-point type.
        """
        return self._forward(current, state, self._override(modulation, current))

    def _override(self, modulation: Tensor | None, current: Tensor) -> dict[str, Tensor]:
        if modulation is None:
            return {}
        target = tuple(current.shape)
        padded = (1,) * (len(target) - modulation.ndim) + tuple(modulation.shape)
        if modulation.ndim > len(target) or any(
            m not in (1, c) for m, c in zip(padded, target, strict=True)
        ):
            raise ValueError(
                f"{type(self).__name__}: modulation must broadcast to the shape {target} of current, "
                f"got {tuple(modulation.shape)}"
            )
        return {"h_s0": modulation.to(working_dtype(current))}


class MSRC(_Modulated):
    r"""Neuromodulable SRC; equations in `snn_neuromod.dynamics.msrc`.

    One parameter, the modulation $h_{s0}$, sets the type of excitability: about 1.5 type 2, about 0.9 type 1, about 0.5
    type 2* (delayed first spike and hysteresis). Dimensionless; one step is the unit of time.

    Args:
        num_neurons: Number of neurons N; None for inputs of any shape.
        modulation: The modulation $h_{s0}$: a number, one per neuron, or a distribution for a heterogeneous layer; may
            be given per step in the call instead.
        learn_modulation: Learn it, one per neuron.
        alpha: Decay of the synapse per step, in [0, 1]; 0 feeds the input on without memory.
        rho: Bound of the drive, > 0; inf for none. With 3 and no bias a neuron at rest never spikes at modulations
            below about 0.57 (type 2*) and above 1.2 (type 2), whose onset exceeds it (3.4 at 0.5, 4.92 at 1.5): raise
            rho there.
        r: Fast positive feedback.
        r_s: Slow feedback.
        z: Membrane update gate, in [0, 1).
        z_hyp: Gate of the slow variable at rest, in [0, 1).
        z_dep: Gate of the slow variable during a spike, in [0, 1).
        b: Bias.
        start: Common value of h and h_s before the first step, in [-1, 1]; -1 is rest.
        learn: Names of further parameters that are learned, one value per neuron (a 0-d tensor: one for all).
        detach_recurrence: Gradient of the SRC's source: none through h and h_s of the step before. Training fails
            without it.
        straight_through: Gradient of the SRC's source: identity through the output's ReLU.

    Raises:
        ValueError: If a parameter is outside its range or of a wrong shape, or `learn` names an unknown one, or one of
            the slow gates while the recurrence is detached, which leaves them without a gradient.

    Examples:
        >>> import torch
        >>> layer = MSRC(10, modulation=Uniform(0.4, 1.6), learn_modulation=True)
        >>> spikes, state = layer(3 * torch.rand(50, 8, 10))  # (T, batch, neuron)
        >>> spikes.sum().backward()
        >>> layer.modulation.grad.shape
        torch.Size([10])
    """

    dynamics_name = "msrc"

    def __init__(
        self,
        num_neurons: int | None,
        *,
        modulation: Value = 0.9,
        learn_modulation: bool = False,
        alpha: Value = 0.9,
        rho: Value = 3.0,
        r: Value = 4.0,
        r_s: Value = -7.0,
        z: Value = 0.0,
        z_hyp: Value = 0.9,
        z_dep: Value = 0.0,
        b: Value = 0.0,
        start: Value = -1.0,
        learn: Collection[str] = (),
        detach_recurrence: bool = True,
        straight_through: bool = True,
    ) -> None:
        values = {
            "alpha": alpha, "rho": rho, "r": r, "r_s": r_s, "z": z, "z_hyp": z_hyp, "z_dep": z_dep, "b": b,
            "modulation": modulation,
        }  # fmt: skip
        learn = _with_modulation(learn, learn_modulation)
        super().__init__(num_neurons, values, learn, start, detach_recurrence, straight_through)


class BSRC(_Modulated):
    r"""Bursting SRC; equations in `snn_neuromod.dynamics.bsrc`.

    An mSRC with an ultra-slow variable that groups its spikes into bursts. A reconstruction: `h_u0` is not in the
    source. Dimensionless; one step is the unit of time.

    Args:
        num_neurons: Number of neurons N; None for inputs of any shape.
        modulation: The modulation $h_{s0}$: a number, one per neuron, or a distribution; may be given per step in the
            call.
        learn_modulation: Learn it, one per neuron.
        alpha: Decay of the synapse per step, in [0, 1]; 0 feeds the input on without memory.
        rho: Bound of the drive, > 0; inf for none.
        r: Fast positive feedback.
        r_s: Slow feedback.
        r_u: Ultra-slow feedback.
        z: Membrane update gate, in [0, 1).
        z_hyp: Gate of the slow variable at rest, in [0, 1).
        z_dep: Gate of the slow variable during a spike, in [0, 1).
        z_u: Gate of the ultra-slow variable, in [0, 1).
        b: Bias.
        h_u0: Offset of the ultra-slow feedback.
        start: Common value of h and h_s before the first step, in [-1, 1]; -1 is rest.
        learn: Names of further parameters that are learned, one value per neuron (a 0-d tensor: one for all).
        detach_recurrence: Gradient of the SRC's source: none through h, h_s and h_u of the step before.
        straight_through: Gradient of the SRC's source: identity through the output's ReLU.

    Raises:
        ValueError: If a parameter is outside its range or of a wrong shape, or `learn` names an unknown one, or one of
            the slow gates while the recurrence is detached, which leaves them without a gradient.

    Examples:
        >>> import torch
        >>> layer = BSRC(1)
        >>> spikes, state = layer(torch.zeros(2000, 1, 1))  # bursts without any input
        >>> int(((spikes[1:] > 0.5) & (spikes[:-1] <= 0.5)).sum()) > 20
        True
    """

    dynamics_name = "bsrc"

    def __init__(
        self,
        num_neurons: int | None,
        *,
        modulation: Value = 0.7,
        learn_modulation: bool = False,
        alpha: Value = 0.5,
        rho: Value = 3.0,
        r: Value = 4.0,
        r_s: Value = -7.0,
        r_u: Value = -8.5,
        z: Value = 0.0,
        z_hyp: Value = 0.9,
        z_dep: Value = 0.0,
        z_u: Value = 0.999,
        b: Value = 0.0,
        h_u0: Value = 0.55,
        start: Value = -1.0,
        learn: Collection[str] = (),
        detach_recurrence: bool = True,
        straight_through: bool = True,
    ) -> None:
        values = {
            "alpha": alpha, "rho": rho, "r": r, "r_s": r_s, "r_u": r_u, "z": z, "z_hyp": z_hyp, "z_dep": z_dep,
            "z_u": z_u, "b": b, "modulation": modulation, "h_u0": h_u0,
        }  # fmt: skip
        learn = _with_modulation(learn, learn_modulation)
        super().__init__(num_neurons, values, learn, start, detach_recurrence, straight_through)


_ARGUMENT = {"h_s0": "modulation"}
_BEHIND_RECURRENCE = {"z_hyp", "z_dep", "z_u"}


def _names(learn: Collection[str]) -> tuple[str, ...]:
    return (learn,) if isinstance(learn, str) else tuple(learn)


def _with_modulation(learn: Collection[str], learn_modulation: bool) -> tuple[str, ...]:
    names = _names(learn)
    return (*names, "modulation") if learn_modulation and "modulation" not in names else names
