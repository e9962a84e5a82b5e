"""Sequences of a step that cannot be printed: run by its own loop, and differentiated by autograd.

Where autograd sees the loop it needs nothing else. Inside an operator it does not: the loop is run again for gradients.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from snn_neuromod.kernels.backends import reference
from snn_neuromod.kernels.backends.eager.reverse import whole_input
from snn_neuromod.kernels.call import Call
from snn_neuromod.kernels.fusion.trace import apart

__all__ = ["backward", "forward"]


def forward(call: Call) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """Run a sequence; results as of the other backends, nothing kept, no two in the same memory."""
    spikes, last, _ = reference.forward(call)
    return spikes, [s.clone() for s in last], []


def backward(
    call: Call,
    grad_spikes: Tensor,
    grad_state: Sequence[Tensor | None],
    spikes: Tensor,
    tracks: Sequence[Tensor],
) -> tuple[Tensor, list[Tensor | None], list[Tensor]]:
    """Gradients of a sequence; arguments and results as of `backends.c.prepared.Prepared.backward`."""
    if call.recurrent and call.paths.hops is not None:
        total = whole_input(call, spikes, 0, len(spikes))
        call = call._replace(current=total, recurrent=(), sources=())
    count = len(call.params)

    def found() -> tuple[Tensor | None, ...]:
        leaves = [x.detach().requires_grad_() for x in (call.current, *call.params, *call.state)]
        again = call._replace(
            current=leaves[0], params=leaves[1 : 1 + count], state=leaves[1 + count :]
        )
        first, last, _ = reference.forward(again)
        pairs = zip([first, *last], [grad_spikes, *grad_state], strict=True)
        outputs, seeds = zip(
            *((y, g) for y, g in pairs if g is not None and y.requires_grad), strict=True
        )
        return torch.autograd.grad(outputs, leaves, seeds, allow_unused=True)

    delta, *rest = (
        torch.zeros_like(x) if g is None else g
        for x, g in zip((call.current, *call.params, *call.state), apart(found), strict=True)
    )
    return delta, [g if need else None for g, need in zip(rest, call.needed)], rest[count:]  # noqa: B905
