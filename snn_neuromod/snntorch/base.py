"""What all neurons in snnTorch's form share: state, output, and the rules of `snntorch.SpikingNeuron`."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import snntorch
import torch
from torch import Tensor

from snn_neuromod._types import Param
from snn_neuromod.snntorch.surrogate import ATan, SpikeGrad, no_surrogate
from snn_neuromod.surrogate import Psi

States = Sequence["Tensor | None"]
_HALF = (torch.float16, torch.bfloat16)
# Every living neuron, for the class methods; unlike snnTorch's own list it keeps none alive.
_living: weakref.WeakSet[Neuron] = weakref.WeakSet()


class Neuron(snntorch.SpikingNeuron):
    """A neuron in snnTorch's calling convention; the equations stay in `snn_neuromod.dynamics`.

    Args:
        threshold: Threshold of the membrane.
        spike_grad: Surrogate; see the neuron.
        surrogate_disable: No surrogate gradient.
        init_hidden: Keep the state in the module.
        inhibition: Only the neuron with the highest membrane emits its spike.
        learn_threshold: Learn the threshold.
        reset_mechanism: What a spike does to the membrane.
        state_quant: Quantiser of the membrane, as from `snntorch.functional.quant`; False for none.
        output: With `init_hidden`, return the state as well.
        graded_spikes_factor: Factor of the emitted spikes; one number, or one per neuron.
        learn_graded_spikes_factor: Learn the factor.

    Raises:
        ValueError: If `reset_mechanism` is none of the neuron's.
    """

    threshold: Tensor
    graded_spikes_factor: Tensor
    state_names: ClassVar[tuple[str, ...]]
    """The state in the order in which it is passed and returned, membrane last."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Neuron:
        """Note the neuron for the class methods, whether it is built, copied or unpickled."""
        self: Neuron = super().__new__(cls)
        _living.add(self)
        return self

    def __init__(
        self,
        threshold: Param,
        spike_grad: SpikeGrad | None,
        surrogate_disable: bool,
        init_hidden: bool,
        inhibition: bool,
        learn_threshold: bool,
        reset_mechanism: str,
        state_quant: Any,
        output: bool,
        graded_spikes_factor: Param,
        learn_graded_spikes_factor: bool,
    ) -> None:
        known = snntorch.SpikingNeuron.instances
        try:
            super().__init__(
                threshold,
                ATan() if spike_grad is None else spike_grad,
                surrogate_disable,
                init_hidden,
                inhibition,
                learn_threshold,
                reset_mechanism,
                state_quant,
                output,
                graded_spikes_factor,
                learn_graded_spikes_factor,
            )
        finally:  # snnTorch's list would keep the neuron alive for ever
            known[:] = [neuron for neuron in known if neuron is not self]
        if init_hidden:
            self._set_hidden([torch.zeros(0) for _ in self.state_names])

    _surrogate_bypass = staticmethod(no_surrogate)

    def _set_hidden(self, states: Sequence[Tensor]) -> None:
        for name, state in zip(self.state_names, states, strict=True):
            self.register_buffer(name, state, persistent=False)

    def _advance(self, current: Tensor, states: list[Tensor], **inputs: Any) -> list[Tensor]:
        """One step of the neuron: state before -> [spikes, *state after]."""
        raise NotImplementedError

    def _rest(self, current: Tensor) -> list[Tensor]:
        """State before the first step, for inputs like `current`."""
        raise NotImplementedError

    def _call(self, input_: Tensor, states: States, **inputs: Any) -> Any:
        who = type(self).__name__
        if not input_.is_floating_point():
            raise TypeError(
                f"{who}: input_ must be a floating-point tensor, got {input_.dtype}; convert spikes with .float()"
            )
        if self.inhibition and input_.ndim != 2:
            raise ValueError(
                f"{who}: input_ must have shape (batch, neuron) with inhibition=True, got {tuple(input_.shape)}"
            )
        if self.init_hidden:
            if any(state is not None for state in states):
                raise TypeError(
                    f"{who}: no state may be passed with init_hidden=True, the neuron keeps it; "
                    f"leave out {', '.join(self.state_names)}"
                )
            states = [getattr(self, name) for name in self.state_names]
        single = input_.float() if input_.dtype in _HALF else input_
        spk, *after = self._advance(single, self._started(single, states), **inputs)
        if self.init_hidden:
            for name, state in zip(self.state_names, after, strict=True):
                setattr(self, name, state)
        spk = spk.to(input_.dtype)
        if self.init_hidden and not self.output:
            return spk
        return (spk, *after[1:]) if self.state_names[0] == "spk" else (spk, *after)

    def _started(self, current: Tensor, states: States) -> list[Tensor]:
        """The states given, and rest for those that are missing or empty."""
        started: list[Tensor] = []
        rest: list[Tensor] | None = None
        for i, (name, state) in enumerate(zip(self.state_names, states, strict=True)):
            fits = (
                state is not None
                and state.shape == current.shape
                and (not self.init_hidden or _alike(state, current))
            )
            if fits and state is not None:
                started.append(state)
                continue
            if not (self.init_hidden or state is None or state.numel() == 0):
                raise ValueError(
                    f"{type(self).__name__}: {name} must have the shape {tuple(current.shape)} of the input, "
                    f"got {tuple(state.shape)}; pass None to start at rest"
                )
            rest = self._rest(current) if rest is None else rest
            started.append(rest[i])
        return started

    def _spikes(self, distance: Tensor, unit: Param, held: Tensor | None = None) -> Tensor:
        """Spike function of the neuron's `step`, made of `spike_grad`."""
        if isinstance(self.spike_grad, Psi):
            return self.spike_grad(distance, unit, held)
        spikes: Tensor = self.spike_grad(distance).to(distance.dtype)
        return spikes if held is None else spikes.masked_fill(held, 0.0)

    def _emit(self, spikes: Tensor, distance: Tensor) -> Tensor:
        """What leaves the neuron: the winner alone with `inhibition`, times the graded factor."""
        if self.inhibition:
            winner = torch.zeros_like(spikes)
            spikes = spikes * winner.scatter(1, distance.argmax(dim=1, keepdim=True), 1.0)
        return spikes * self.graded_spikes_factor.to(spikes.dtype)

    def reset_mem(self) -> tuple[Tensor, ...]:
        """Put the state that the neuron keeps to rest, and cut it off its graph.

        Returns:
            The state in the order of the call. Empty tensors stand for a state without a shape yet: the first input
            gives it one. With init_hidden=False nothing is kept, and all are empty.
        """
        if not self.init_hidden:
            return tuple(self._like.new_zeros(0) for _ in self.state_names)
        mem = getattr(self, self.state_names[-1])
        if mem.numel():
            with torch.no_grad():
                self._set_hidden(self._rest(mem.detach()))
        return tuple(getattr(self, name) for name in self.state_names)

    def detach_mem(self) -> None:
        """Cut the state that the neuron keeps off its graph."""
        if self.init_hidden:
            self._set_hidden([getattr(self, name).detach() for name in self.state_names])

    @property
    def _like(self) -> Tensor:
        factor: Tensor = self.graded_spikes_factor
        return factor.detach()

    @classmethod
    def _alive(cls) -> Iterator[Neuron]:
        """Living neurons of this class."""
        return (n for n in list(_living) if isinstance(n, cls) and "init_hidden" in vars(n))

    @classmethod
    def reset_hidden(cls) -> None:
        """`reset_mem` for every living neuron of the class, in all networks; `snn_neuromod.reset` keeps to one."""
        for neuron in cls._alive():
            neuron.reset_mem()

    @classmethod
    def detach_hidden(cls) -> None:
        """`detach_mem` for every living neuron of the class, in all networks; `snn_neuromod.detach` keeps to one."""
        for neuron in cls._alive():
            neuron.detach_mem()

    def __getstate__(self) -> dict[str, Any]:
        """State for copies and pickles: tensors inside a graph cannot be copied, so hidden states are cut off."""
        state = dict(vars(self))
        state["_buffers"] = {
            name: buffer if buffer is None else buffer.detach()
            for name, buffer in self._buffers.items()
        }
        return state

    def _load_from_state_dict(
        self, state_dict: Mapping[str, Any], prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)
        value = state_dict.get(prefix + "reset_mechanism_val")
        if value is not None:
            self._reset_mechanism = list(snntorch.SpikingNeuron.reset_dict)[int(value)]


def _alike(state: Tensor, current: Tensor) -> bool:
    return state.dtype == current.dtype and state.device == current.device
