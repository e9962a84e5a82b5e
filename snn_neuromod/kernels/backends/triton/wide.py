"""Neurons with weights among them that are too many for one program, a step at a time."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from snn_neuromod.kernels.backends.triton import launch
from snn_neuromod.kernels.backends.triton.launch import Gradients, Passes, above, like
from snn_neuromod.kernels.backends.triton.recurrent import Weights, given
from snn_neuromod.kernels.fusion.triton import wide
from snn_neuromod.kernels.fusion.triton.writer import Plan

__all__ = ["Wide"]

_BLOCK, _GROUP, _ROWS, _LANES = 128, 16, 4, 256
_WARPS = {"forward": 4, "backward": 8}


class Wide(Passes):
    """Each step is one kernel, forwards and backwards.

    Args:
        plan: The neuron, with a chunk of one step.
    """

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan, wide)

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
        tensors += [weights.kept.get("alive", spikes), *last]
        arguments, flags = self._arguments(tensors, params, shape, numbers)
        flags |= {"LIVE": "alive" in weights.kept, "DELAYED": weights.delayed, "KEEP": every > 0}
        flags |= {"BLOCK": _BLOCK, "GROUP": _GROUP}
        grid = (shape[1:-1].numel(), -(-shape[-1] // _BLOCK))
        for now in range(len(current)):
            launch.start(self._forward, grid, *arguments, now, num_warps=_WARPS["forward"], **flags)
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
        kept, (delta, adjoints, sums) = weights.kept, self._gradients(grad_spikes, state)
        last = any(g is not None for g in grad_state)
        if last:
            for adjoint, grad in zip(adjoints, above(grad_state, state), strict=True):
                adjoint.copy_(grad)
        shape = delta.shape
        grid = (shape[1:-1].numel(), -(-shape[-1] // _BLOCK))
        listed = torch.empty(*grid, _LANES, dtype=torch.int32, device=delta.device)
        tensors = [kept["total"], grad_spikes.contiguous(), delta, kept["marks"], weights.rows()]
        tensors += [weights.senders(), kept.get("alive", delta), listed, *self._steady(state)]
        tensors += [*adjoints, *sums.values()]
        arguments, flags = self._arguments(tensors, params, shape, [weights.num_senders])
        flags |= {"LIVE": "alive" in kept, "DELAYED": weights.delayed, "LANES": _LANES}
        flags |= {"LAST": last, "BLOCK": _BLOCK, "GROUP": _ROWS}
        for now in range(len(delta) - 1, -1, -1):
            launch.start(
                self._backward, grid, *arguments, now, num_warps=_WARPS["backward"], **flags
            )
        return delta, adjoints, sums
