"""Neurons with weights among them that are too many for one program, a step at a time."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from snn_neuromod.kernels.backends.triton import launch
from snn_neuromod.kernels.backends.triton.launch import Gradients, Passes, Sequences, like
from snn_neuromod.kernels.backends.triton.recurrent import Weights, given
from snn_neuromod.kernels.fusion.triton import wide
from snn_neuromod.kernels.fusion.triton.writer import Plan
from snn_neuromod.kernels.synapses import Synapses

__all__ = ["Wide"]

_BLOCK, _GROUP, _WARPS = 128, 16, 4


class Wide(Passes):
    """Each step one kernel forwards; backwards one, and a product of matrices for each delay.

    Args:
        plan: The neuron, with a chunk of one step.
    """

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan, wide)
        self._alone = Sequences(plan)

    def forward(
        self,
        current: Tensor,
        params: Sequence[Tensor],
        state: Sequence[Tensor],
        weights: Weights,
        every: int,
    ) -> tuple[Tensor, list[Tensor]]:
        """Spikes and last states; arguments as of `Recurrents.forward`."""
        shape, (spikes, tensors) = current.shape, given(current, weights)
        last = [like(s).copy_(s) for s in state]
        numbers = [weights.num_senders, len(weights.past), max(every, 1)]
        arguments, flags = self._arguments([*tensors, *last], params, shape, numbers)
        flags |= {"KEEP": every > 0, "DELAYED": weights.delayed, "BLOCK": _BLOCK, "GROUP": _GROUP}
        grid = (shape[1:-1].numel(), -(-shape[-1] // _BLOCK))
        for now in range(len(current)):
            launch.start(self._forward, grid, *arguments, now, num_warps=_WARPS, **flags)
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
        delta, longest = like(grad_spikes), len(weights.past)
        by_step = [k for k in self.plan.wanted if self.plan.per_step[k]]
        sums = {k: like(total) for k in by_step}
        arriving = torch.cat([torch.zeros_like(weights.past), grad_spikes])
        adjoints, count = [*grad_state], len(weights.parts)
        sources: Sequence[Tensor | None] = weights.sources or [None] * count
        groups = [*map(Synapses, weights.parts, weights.delays, sources)]
        for now in range(len(total) - 1, -1, -1):
            here, at = slice(now, now + 1), now + longest
            own = [
                p[here] if each else p for p, each in zip(params, self.plan.per_step, strict=True)
            ]
            found, adjoints[:], parts = self._alone.backward(
                arriving[at : at + 1], adjoints, total[here], own, state, marks[here]
            )
            delta[here] = found
            for k, part in parts.items():
                if k in by_step:
                    sums[k][here] = part
                else:
                    sums[k] = part if k not in sums else sums[k].add_(part)
            for group in groups:
                arriving[at - group.delay] += group.back(found[0])
        return delta, [a for a in adjoints if a is not None], sums
