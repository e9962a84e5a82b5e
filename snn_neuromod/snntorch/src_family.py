"""Neurons around their layer in snnTorch's form, and what SRC, mSRC and BSRC have in common there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor

from snn_neuromod import layers
from snn_neuromod._types import Param
from snn_neuromod.snntorch.fixed import FixedReset
from snn_neuromod.snntorch.fused import fused_sequence

_OUTPUT = "its spikes are graded, max(0, h)"
_MEMBRANE = "its membrane is a recurrent cell"
_LEAST = 1e-6  # of 1 - h^2, which is 0 where h rounds to 1


class AroundLayer(FixedReset):
    """A neuron whose step and state are those of a layer."""

    layer: layers.Layer
    _fields: ClassVar[tuple[str, ...]]
    """The layer's names of the states, in the order of `state_names`."""

    def __init__(
        self,
        layer: layers.Layer,
        surrogate_disable: bool,
        init_hidden: bool,
        inhibition: bool,
        state_quant: Any,
        output: bool,
        graded_spikes_factor: Param,
        learn_graded_spikes_factor: bool,
    ) -> None:
        super().__init__(
            0.0,
            None,
            surrogate_disable,
            init_hidden,
            inhibition,
            False,
            "none",
            state_quant,
            output,
            graded_spikes_factor,
            learn_graded_spikes_factor,
        )
        self._forget_reset()
        self.layer = layer

    def _rest(self, current: Tensor) -> list[Tensor]:
        state = self.layer.initial_state(current)
        return [getattr(state, field) for field in self._fields]

    def _plain(self, current: Tensor, states: list[Tensor], **inputs: Any) -> list[Tensor]:
        state = self.layer.dynamics.State(**dict(zip(self._fields, states, strict=True)))
        spikes, state = self._stepped(current, state, **inputs)
        after = [getattr(state, field) for field in self._fields]
        return [self._emit(spikes, after[-1]), *after]

    def _stepped(self, current: Tensor, state: Any, **inputs: Any) -> tuple[Tensor, Any]:
        return self.layer.step(current, state, **inputs)

    def _in_place_of(self, current: Tensor, inputs: Mapping[str, Any]) -> Mapping[str, Tensor]:
        modulation = inputs.get("modulation")
        if modulation is None:
            return {}
        layer: Any = self.layer
        (given,) = layer._override(modulation, current).values()
        return {"layer.modulation": given}

    def _sweep(self, current: Tensor, states: list[Tensor]) -> list[Tensor] | None:
        state = self.layer.dynamics.State(**dict(zip(self._fields, states, strict=True)))
        spikes, state = self.layer(current, state)
        return [spikes, *(getattr(state, field) for field in self._fields)]


class SRCFamily(AroundLayer):
    """What the three have in common."""

    spike_level: ClassVar[float] = 0.5
    _meaningless: ClassVar[Mapping[str, str]] = {
        "beta": f"{_MEMBRANE} without decay of its own; set alpha (synapse) or z (membrane gate)",
        "learn_beta": f"{_MEMBRANE} without decay of its own; set learn=['alpha'] or learn=['z']",
        "threshold": f"{_OUTPUT}, without a threshold; set the bias b",
        "learn_threshold": f"{_OUTPUT}, without a threshold; set learn=['b']",
        "spike_grad": f"{_OUTPUT}, and have a derivative; surrogate_disable=True gives ReLU's own",
        "reset_mechanism": "its slow variable brings the membrane back, there is no reset; set r_s",
        "reset_delay": "its slow variable brings the membrane back, there is no reset; set r_s",
    }

    wide_surrogate: bool = False
    """Gradient of the membrane by what is in its tanh sqrt(1 - h^2) in the place of 1 - h^2."""

    def _is_wide(self) -> bool:
        layer: Any = self.layer
        return self.wide_surrogate and layer.detach_recurrence and layer.straight_through

    def _stepped(self, current: Tensor, state: Any, **inputs: Any) -> tuple[Tensor, Any]:
        spikes, state = super()._stepped(current, state, **inputs)
        h = _widened(state.h) if self._is_wide() else state.h
        if self.state_quant:
            h = self.state_quant(h)
        if h is not state.h:
            spikes, state = self.layer.step_options()["spike_fn"](h), state._replace(h=h)
        return spikes, state

    def _sweep(self, current: Tensor, states: list[Tensor]) -> list[Tensor] | None:
        if self._is_wide():
            return fused_sequence(self, current, states)
        return super()._sweep(current, states)

    @property
    def mem(self) -> Tensor:
        """The membrane h that the neuron keeps, under snnTorch's name."""
        h: Tensor = self.h
        return h

    @mem.setter
    def mem(self, value: Tensor) -> None:
        self.h = value


def _widened(h: Tensor) -> Tensor:
    """The membrane, whose gradient by what is in its tanh is sqrt(1 - h^2) in the place of 1 - h^2."""
    wider = (1 - h * h).clamp(min=_LEAST).rsqrt().detach()
    return h + (wider - 1) * (h - h.detach())
