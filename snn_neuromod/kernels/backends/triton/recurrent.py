"""Recurrent kernels and what it takes to start them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from torch import Tensor

from snn_neuromod.kernels.backends.triton.launch import Gradients, Passes, above, like
from snn_neuromod.kernels.backends.triton.registers import shared
from snn_neuromod.kernels.call import Call
from snn_neuromod.kernels.fusion.triton import recurrent
from snn_neuromod.kernels.fusion.triton.writer import Plan

__all__ = ["Recurrents", "Weights", "given"]


class Weights(NamedTuple):
    """Recurrent weights of a call.

    Attributes:
        past: Spikes before the first step, oldest first.
        parts: Weights of each delay, (neuron to, senders).
        delays: The delays in steps.
        sources: The senders of each delay, or nothing: all.
        kept: What the forward pass keeps, by name; where senders are delayed "senders" among it.
    """

    past: Tensor
    parts: Sequence[Tensor]
    delays: Sequence[int]
    sources: Sequence[Tensor]
    kept: Mapping[str, Tensor]

    @staticmethod
    def of(call: Call, kept: Mapping[str, Tensor] = MappingProxyType({})) -> Weights:
        """Those of a call."""
        past, *parts = call.recurrent
        return Weights(past, parts, call.delays, call.sources, kept)

    @property
    def delayed(self) -> bool:
        """Whether not all senders are the neurons themselves, one step before."""
        return bool(self.sources) or list(self.delays) != [1]

    @property
    def num_senders(self) -> int:
        """Senders of all delays."""
        return sum(w.shape[1] for w in self.parts)

    def keep(self) -> None:
        """Write what is kept, in the forward pass."""
        if "rows" in self.kept:
            torch.cat([part.T for part in self.parts], out=self.kept["rows"])
        if "senders" in self.kept:
            self._number(self.kept["senders"])

    def rows(self) -> Tensor:
        """Weights of all delays below one another, (senders, neuron to)."""
        kept = self.kept.get("rows")
        return _joined([part.T for part in self.parts], 0) if kept is None else kept

    def senders(self) -> Tensor:
        """Neuron of each sender, and its delay in the upper 32 bits; not read unless they are delayed."""
        if not self.delayed:
            return self.past
        kept = self.kept.get("senders")
        empty = (self.num_senders,)
        return self._number(self.past.new_empty(empty, dtype=torch.int64)) if kept is None else kept

    def _number(self, senders: Tensor) -> Tensor:
        """Write them, in as many launches however many delays there are.

        They are made for each run: what is made while a CUDA graph is captured lies in the graph's memory.
        """
        counts = [part.shape[1] for part in self.parts]
        everyone = [] if self.sources else [torch.arange(counts[0], device=senders.device)]
        torch.cat([*self.sources] or everyone * len(counts), out=senders)
        torch._foreach_add_(senders.split(counts), [delay << 32 for delay in self.delays])
        return senders


class Recurrents(Passes):
    """Neurons with weights among them.

    Args:
        plan: The neuron, with a chunk of one step.
    """

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan, recurrent)

    def forward(
        self,
        current: Tensor,
        params: Sequence[Tensor],
        state: Sequence[Tensor],
        weights: Weights,
        every: int,
    ) -> tuple[Tensor, list[Tensor]]:
        """Spikes and last states.

        Args:
            current: Input, (T, batch, ..., neuron).
            params: Parameters.
            state: States before the first step.
            weights: The weights, with room for what is kept, "marks", "total" and "alive" too, or with nothing.
            every: Steps between two marks, 0 without.
        """
        spikes, tensors = given(current, weights)
        last = [like(s) for s in state]
        alive = weights.kept.get("alive", spikes)
        rest = [alive, *(s.contiguous() for s in state), *last]
        shape = current.shape
        flags = {"KEEP": every > 0, "LIVE": alive is not spikes}
        self._run("forward", tensors, rest, params, shape, weights, max(every, 1), **flags)
        return spikes, last

    def backward(
        self,
        grad_spikes: Tensor,
        grad_state: Sequence[Tensor | None],
        params: Sequence[Tensor],
        state: Sequence[Tensor],
        weights: Weights,
    ) -> Gradients:
        """Gradients through time and the weights, from what was kept, with marks of every step."""
        marks, total = weights.kept["marks"], weights.kept["total"]
        alive = weights.kept.get("alive")
        found = self._gradients(grad_spikes, state)
        w = _joined(weights.parts, 1) if alive is None else weights.rows()
        steps = len(weights.past) + len(total)
        waiting = total.new_zeros(steps, *total.shape[1:]) if weights.delayed else total
        tensors = [total, grad_spikes.contiguous(), found[0], marks, w, weights.senders(), waiting]
        rest = [
            marks if alive is None else alive,
            *self._steady(state),
            *above(grad_state, state),
            *found[1],
        ]
        rest += found[2].values()
        last = any(g is not None for g in grad_state)
        flags = {"KEEP": True, "LAST": last}
        self._run("backward", tensors, rest, params, total.shape, weights, 1, **flags)
        return found

    def _run(
        self,
        direction: str,
        tensors: Sequence[Tensor],
        rest: Sequence[Tensor],
        params: Sequence[Tensor],
        shape: torch.Size,
        weights: Weights,
        every: int,
        **flags: Any,
    ) -> None:
        programs, past, senders = shape[1:-1].numel(), weights.past, weights.num_senders
        own = shared(self.plan, direction, shape[-1], senders if weights.delayed else None)
        flags |= own | {"DELAYED": weights.delayed}
        room = max(own["SENDERS"], own["BLOCK"])
        listed = torch.empty(programs, room, dtype=torch.int32, device=past.device)
        values = past.new_empty(programs, 2, room, dtype=self.plan.step.graph.dtype)
        numbers = [senders, len(past), every, room]
        kernel = self._forward if direction == "forward" else self._backward
        tensors = [*tensors, listed, values, *rest]
        self._start(kernel, programs, tensors, params, shape, numbers, **flags)


def given(current: Tensor, weights: Weights) -> tuple[Tensor, list[Tensor]]:
    """Room for the spikes, and what a forward kernel is given before its states."""
    weights.keep()
    spikes = like(current)
    total, marks = weights.kept.get("total", spikes), weights.kept.get("marks", spikes)
    tensors = [current.contiguous(), spikes, total, marks, weights.rows(), weights.senders()]
    return spikes, [*tensors, weights.past.contiguous()]


def _joined(parts: Sequence[Tensor], dim: int) -> Tensor:
    """Matrices below or beside one another, contiguous."""
    return parts[0].contiguous() if len(parts) == 1 else torch.cat(list(parts), dim)
