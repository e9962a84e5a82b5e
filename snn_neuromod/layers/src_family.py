"""What the layers of the SRC family have in common: gradient options, start of the membrane, modulation."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from snn_neuromod.dynamics.parameter import Range
from snn_neuromod.errors import ConfigError
from snn_neuromod.kernels.backends import Backend
from snn_neuromod.layers.base import HALF, Layer, P, S, working_dtype
from snn_neuromod.layers.delays import Delay
from snn_neuromod.layers.parameters import Value, register
from snn_neuromod.layers.times import in_steps
from snn_neuromod.surrogate import straight_through_relu

_BEHIND_RECURRENCE = {"z_hyp", "z_dep", "z_u"}


class SRCFamily(Layer[S, P]):
    """What the three have in common: start of the membrane and gradient options."""

    def __init__(
        self,
        num_neurons: int | None,
        values: Mapping[str, Value],
        learn: Collection[str],
        start: Value,
        detach_recurrence: bool,
        straight_through: bool,
        delay: Delay,
        backend: Backend | None,
        ranges: Mapping[str, Range] | None = None,
    ) -> None:
        delay = in_steps(type(self).__name__, delay, None)
        super().__init__(num_neurons, values, learn, ranges=ranges, delay=delay, backend=backend)
        self.detach_recurrence, self.straight_through = detach_recurrence, straight_through
        register(self, "start", start, Range(-1.0, 1.0), num_neurons=num_neurons, learn=False)

    def _checked(self, name: str, value: Any) -> Any:
        unreached = sorted(_BEHIND_RECURRENCE & set(self.__dict__.get("learned", ())))
        if name == "detach_recurrence" and value and unreached:
            raise ConfigError(
                f"{type(self).__name__}: learn must not name {', '.join(unreached)} with detach_recurrence=True, "
                f"got {self.learned}; they have no gradient but through the recurrence"
            )
        return super()._checked(name, value)

    def initial_state(self, current: Tensor) -> S:
        single = current.float() if current.dtype in HALF else current
        rest: S = self.dynamics.initial_state(single, h=self.value("start", single.dtype))
        return rest

    def step_options(self) -> dict[str, Any]:
        return {
            "detach_recurrence": self.detach_recurrence,
            "spike_fn": straight_through_relu if self.straight_through else torch.relu,
        }


class Modulated(SRCFamily[S, P]):
    """A layer whose modulation may also be given per step."""

    def step(
        self, current: Tensor, state: S | None = None, *, modulation: Tensor | None = None
    ) -> tuple[Tensor, S]:
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
        given = {} if modulation is None else self._override(modulation, current)
        return self._step(current, state, given)

    def forward(
        self, current: Tensor, state: S | None = None, *, modulation: Tensor | None = None
    ) -> tuple[Tensor, S]:
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
        given = {} if modulation is None else self._override(modulation, current)
        return self._forward(current, state, given)

    if TYPE_CHECKING:
        __call__ = forward

    def _override(self, modulation: Tensor | None, current: Tensor) -> dict[str, Tensor]:
        if modulation is None:
            return {}
        target = tuple(current.shape)
        padded = (1,) * (len(target) - modulation.ndim) + tuple(modulation.shape)
        if modulation.ndim > len(target) or any(
            m not in (1, c) for m, c in zip(padded, target, strict=True)
        ):
            raise ConfigError(
                f"{type(self).__name__}: modulation must broadcast to the shape {target} of current, "
                f"got {tuple(modulation.shape)}"
            )
        return {"h_s0": modulation.to(working_dtype(current))}


def _names(learn: Collection[str]) -> tuple[str, ...]:
    return (learn,) if isinstance(learn, str) else tuple(learn)


def with_modulation(learn: Collection[str], learn_modulation: bool) -> tuple[str, ...]:
    """Names of all that is learned, the modulation included."""
    names = _names(learn)
    return (*names, "modulation") if learn_modulation and "modulation" not in names else names
