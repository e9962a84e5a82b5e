"""What all neurons in snnTorch's form share: state, output, and the rules of `snntorch.SpikingNeuron`."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, overload

import snntorch
import torch
from torch import Tensor

from snn_neuromod._types import Param
from snn_neuromod.errors import ConfigError, KindError
from snn_neuromod.snntorch.fused import fused
from snn_neuromod.snntorch.states import Stateful, States
from snn_neuromod.snntorch.surrogate import ATan, SpikeGrad, no_surrogate
from snn_neuromod.surrogate import Psi

_HALF = (torch.float16, torch.bfloat16)
# Every living neuron, for the class methods; unlike snnTorch's own list it keeps none alive.
_living: weakref.WeakSet[Neuron] = weakref.WeakSet()


class Neuron(Stateful, snntorch.SpikingNeuron):
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

    _input_scale: ClassVar[float] = 1.0
    exact: ClassVar[bool] = False
    """Whether a compiled step rounds as PyTorch's own operations do, in gradients too."""
    threshold: Tensor
    spike_grad: Any
    state_quant: Any

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
        self._hush()
        self._forget()

    _surrogate_bypass = staticmethod(no_surrogate)

    @property
    def input_scale(self) -> float:
        """Factor by which `scale_input` brings inputs of snnTorch's usual size into the neuron's range."""
        return self._input_scale

    def _advance(self, current: Tensor, states: list[Tensor], **inputs: Any) -> list[Tensor]:
        """One step of the neuron: state before -> [spikes, *state after]."""
        found = fused(self, current, states, self._in_place_of(current, inputs))
        if found is None:
            return self._plain(current, states, **inputs)
        self._listen(found[0], self.graded_spikes_factor)
        return found

    def _plain(self, current: Tensor, states: list[Tensor], **inputs: Any) -> list[Tensor]:
        """The same in plain PyTorch, which is what `fused` reads."""
        raise NotImplementedError

    def _in_place_of(self, current: Tensor, inputs: Mapping[str, Any]) -> Mapping[str, Tensor]:
        """Inputs of a step beside its current as parameters, by name."""
        return {}

    if TYPE_CHECKING:
        # A call without states gives spikes alone with `init_hidden`, else a tuple, which indexing and unpacking take
        # out of a tensor as well: the type that serves both.
        @overload
        def __call__(self, input_: Tensor) -> Tensor: ...
        @overload
        def __call__(
            self, input_: Tensor, *states: Tensor | None, **named: Tensor | None
        ) -> tuple[Tensor, ...]: ...
        def __call__(self, *args: Any, **kwargs: Any) -> Any: ...

    def forward(
        self, input_: Tensor, *states: Tensor | None, **named: Tensor | None
    ) -> Tensor | tuple[Tensor, ...]:
        """Advance by one time step.

        Args:
            input_: Input of this step, (batch, ..., neuron), floating point.
            *states: State after the step before, in the order of `state_names`, each of the input's shape; all or
                none. None, or no state at all, goes on from the last step as `snntorch.Leaky` does, from rest at first
                and where the shape has changed.
            **named: The same by name.

        Returns:
            The spikes and the state, membrane last, each of the input's shape; the spikes alone with `init_hidden=True`
            and `output=False`.

        Raises:
            TypeError: If some states are missing, any is passed with `init_hidden=True`, or the input is not floating
                point.
            ValueError: If a state has another shape than the input.
        """
        return self._call(input_, states, named)

    def _call(
        self,
        input_: Tensor,
        states: States,
        named: Mapping[str, Tensor | None],
        **inputs: Any,
    ) -> Tensor | tuple[Tensor, ...]:
        self._check(input_)
        given = self._bound(states, named)
        dtype = input_.dtype
        single = input_.float() if dtype in _HALF else input_
        spk, *after = self._advance(single, self._started(single, given), **inputs)
        if self._loudest is not None:
            self._watch(*self._trained_results(spk, after[-1]))
        every = dict(zip(self.state_names, after, strict=True))
        new = {name: every[name] for name in given}
        self._hold(new)
        spk = spk if spk.dtype is dtype else spk.to(dtype)
        if self.init_hidden and not self.output:
            return spk
        return (spk, *(state for name, state in new.items() if name != "spk"))

    def sweep(self, input_: Tensor) -> Tensor | None:
        """All steps at once, from the state kept and into it, with `init_hidden=True`; `run` does it for a network.

        Args:
            input_: Input, time first, (T, batch, ..., neuron), floating point.

        Returns:
            The spikes, (T, batch, ..., neuron); None where the neuron has to be called step by step.
        """
        if self.output or self.inhibition or self.state_quant:
            return None
        self._check(input_)
        single = input_.float() if input_.dtype in _HALF else input_
        names = self._taken()
        swept = self._sweep(single, self._started(single[0], dict.fromkeys(names)))
        if swept is None:
            return None
        spikes, *after = swept
        new = dict(zip(self.state_names, after, strict=True))
        self._listen(spikes)
        self._watch(*self._trained_results(spikes, after[-1]))
        spikes = spikes * self.graded_spikes_factor.to(spikes.dtype)
        self._hold({name: new[name] for name in names})
        return spikes.to(input_.dtype)

    def _sweep(self, current: Tensor, states: list[Tensor]) -> list[Tensor] | None:
        """All steps of the neuron: current (T, batch, ...), state before -> [spikes, *state after]."""
        return None

    def _trained_results(self, spk: Tensor, mem: Tensor) -> tuple[Tensor, ...]:
        """What a gradient passes where spikes of the neuron are wanted."""
        return (spk, mem)

    def _check(self, input_: Tensor) -> None:
        who = type(self).__name__
        if not input_.is_floating_point():
            raise KindError(
                f"{who}: input_ must be a floating-point tensor, got {input_.dtype}; convert spikes with .float()"
            )
        if self.inhibition and input_.ndim != 2:
            raise ConfigError(
                f"{who}: input_ must have shape (batch, neuron) with inhibition=True, got {tuple(input_.shape)}"
            )

    def _spikes(self, distance: Tensor, unit: Param, held: Tensor | None = None) -> Tensor:
        """Spike function of the neuron's `step`, made of `spike_grad`."""
        if isinstance(self.spike_grad, Psi):
            return self.spike_grad(distance, unit, held)
        spikes: Tensor = self.spike_grad(distance).to(distance.dtype)
        spikes = spikes if held is None else spikes.masked_fill(held, 0.0)
        return spikes + distance.detach().clamp(0, 0)  # surrogates are silent where this is NaN

    def _emit(self, spikes: Tensor, distance: Tensor) -> Tensor:
        """What leaves the neuron: the winner alone with `inhibition`, times the graded factor."""
        if self.inhibition:
            winner = torch.zeros_like(spikes)
            spikes = spikes * winner.scatter(1, distance.argmax(dim=1, keepdim=True), 1.0)
        self._listen(spikes)
        return spikes * self.graded_spikes_factor.to(spikes.dtype)

    def init_leaky(self) -> Tensor:
        """`reset_mem`, under snnTorch's older name."""
        return self.reset_mem()

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
        state.pop("_bound_step", None)
        state["_buffers"] = {
            name: buffer if buffer is None else buffer.detach()
            for name, buffer in self._buffers.items()
        }
        return state

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)
        value = state_dict.get(prefix + "reset_mechanism_val")
        if value is not None:
            self._reset_mechanism = list(snntorch.SpikingNeuron.reset_dict)[int(value)]
