"""How a neuron in snnTorch's form takes its state, keeps it, and gives it back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from snn_neuromod.errors import ConfigError, KindError
from snn_neuromod.snntorch import recomputation
from snn_neuromod.snntorch.silence import Audible

States = Sequence["Tensor | None"]


class Stateful(Audible):
    """State by name, passed in the call or kept from the last one as `snntorch.Leaky` keeps its membrane."""

    init_hidden: bool
    state_names: ClassVar[tuple[str, ...]]
    """The state in the order in which it is passed and returned, membrane last."""

    def _taken(self) -> tuple[str, ...]:
        """Names of the state that a call takes and `reset_mem` returns."""
        return self.state_names

    def _rest(self, current: Tensor) -> list[Tensor]:
        """State before the first step, for inputs like `current`."""
        raise NotImplementedError

    def returned(self) -> int:
        """Number of states that a call returns beside the spikes."""
        return len([name for name in self._taken() if name != "spk"])

    def _keep(self, states: Mapping[str, Tensor]) -> None:
        for name, state in states.items():
            self.register_buffer(name, state, persistent=False)

    def _hold(self, states: Mapping[str, Tensor]) -> None:
        """Keep states after a step, in the buffers that are there: `setattr` would look everywhere else before."""
        if torch.compiler.is_compiling():
            for name, state in states.items():
                setattr(self, name, state)
        else:
            self._buffers.update(states)

    def _forget(self) -> None:
        """Empty tensors stand for a state without a shape yet: the first input gives it one."""
        empty = self.graded_spikes_factor.detach().new_zeros(0)
        self._keep(dict.fromkeys(self.state_names, empty))

    def _bound(self, states: States, named: Mapping[str, Tensor | None]) -> dict[str, Any]:
        """States of a call by name: all that the neuron takes, or none."""
        names = self._taken()
        if not states and not named:
            return dict.fromkeys(names)
        if len(states) == len(self.state_names) or set(named) - set(names):
            names = self.state_names
        given = {**dict(zip(names, states, strict=False)), **named}
        if len(given) != len(states) + len(named) or set(given) - set(names):
            raise KindError(self._how(f"got {len(states)} by position and {', '.join(named)}"))
        if self.init_hidden and any(state is not None for state in given.values()):
            raise KindError(
                f"{type(self).__name__}: no state may be passed with init_hidden=True, the neuron keeps it; "
                f"leave out {', '.join(self.state_names)}"
            )
        if given and len(given) < len(names):
            raise KindError(self._how(f"got {len(given)} of {len(names)}"))
        wrong = [s for s in given.values() if not (s is None or isinstance(s, Tensor))]
        if wrong:
            raise KindError(self._how(f"got a {type(wrong[0]).__name__} among them"))
        return {name: given.get(name) for name in names}

    def _how(self, got: str) -> str:
        """Message about a call that does not fit the neuron's states, with the line to write."""
        names, who = self._taken(), type(self).__name__
        states = ", ".join(names)
        out = ", ".join(["spk", *(name for name in names if name != "spk")])
        return (
            f"{who}: states must be passed all or none, {got}; start with `{states} = neuron.reset_mem()` "
            f"and write `{out} = neuron(input_, {states})`"
        )

    def _started(self, current: Tensor, given: Mapping[str, Tensor | None]) -> list[Tensor]:
        """The states given, those kept in the place of None, and rest where they have another shape."""
        recomputation.note(self, given)
        started: dict[str, Tensor] = {}
        for name, state in given.items():
            if state is None:
                kept = self._buffers[name]
                if kept is not None and _alike(kept, current):
                    started[name] = kept
            elif state.shape == current.shape:
                started[name] = state
            elif state.numel():
                raise ConfigError(
                    f"{type(self).__name__}: {name} must have the shape {tuple(current.shape)} of the input, "
                    f"got {tuple(state.shape)}; pass none to go on from the last state, or begin with reset_mem()"
                )
        untaken = [name for name in self.state_names if name not in given]
        for name in untaken:
            kept = self._buffers[name]
            if kept is not None and _alike(kept, current):
                started[name] = kept
        if len(started) < len(self.state_names):
            rest = dict(zip(self.state_names, self._rest(current), strict=True))
            if _may_keep():
                self._buffers.update({name: rest[name] for name in untaken})
            started = {**rest, **started}
        return [started[name] for name in self.state_names]

    def reset_mem(self) -> Tensor:
        """Put the state that the neuron keeps to rest, and cut it off its graph.

        Returns:
            The state in the order of the call, a single one by itself. Empty tensors stand for a state without a shape
            yet, to which the first input gives one: before the first call, and always with init_hidden=False.
        """
        self.warn_if_silent()
        recomputation.note(self)
        recomputation.starts_anew(self)
        mem: Tensor = getattr(self, self.state_names[-1])
        if self.init_hidden and mem.numel():
            with torch.no_grad():
                self._keep(dict(zip(self.state_names, self._rest(mem.detach()), strict=True)))
        else:
            self._forget()
        states: Any = tuple(getattr(self, name) for name in self._taken())
        # Unpacking takes tensors out of a tensor as well: the type that serves one and several, as in a call.
        taken: Tensor = states[0] if len(states) == 1 else states
        return taken

    def detach_mem(self) -> None:
        """Cut the state that the neuron keeps off its graph."""
        recomputation.note(self)
        self._keep({name: getattr(self, name).detach() for name in self.state_names})


def _alike(state: Tensor, current: Tensor) -> bool:
    return (
        state.shape == current.shape
        and state.dtype == current.dtype
        and state.device == current.device
    )


def _may_keep() -> bool:
    """Whether a tensor made now may be used in any later call."""
    return not (
        torch.compiler.is_compiling()
        or torch._C._are_functorch_transforms_active()
        or torch.is_inference_mode_enabled()
    )
