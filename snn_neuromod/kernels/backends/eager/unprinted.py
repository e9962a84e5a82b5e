"""Sequences of a step that cannot be printed: run by its own loop, and differentiated by autograd.

Where autograd sees the loop it needs nothing else. Inside an operator it does not: the loop is run again for gradients,
with the random numbers of the first run.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from snn_neuromod.kernels.backends import reference
from snn_neuromod.kernels.call import Adjoint, Call
from snn_neuromod.kernels.fusion.once import apart

__all__ = ["backward", "forward", "kept"]


def _generators(device: torch.device) -> list[Tensor]:
    """Where the generators stand that a step on this device may draw from; 0 while a CUDA graph is captured."""
    states = [torch.random.get_rng_state()]
    if device.type == "cuda":
        capturing = torch.cuda.is_current_stream_capturing()
        states.append(states[0].new_zeros(16) if capturing else torch.cuda.get_rng_state(device))
    return states


@contextmanager
def _drawing_again(states: Sequence[Tensor], device: torch.device) -> Iterator[None]:
    """Random numbers as they were drawn from these states on, and afterwards as if nothing had been drawn."""
    first, *others = states
    others = [state for state in others if state.any()]
    with torch.random.fork_rng([device] if others else []):
        torch.random.set_rng_state(first)
        for state in others:
            torch.cuda.set_rng_state(state, device)
        yield


def kept(call: Call) -> dict[str, Tensor]:
    """Empty tensors for what the forward pass keeps: where the generators stood."""
    states = _generators(call.current.device) if call.keep else []
    return {f"generator {k}": torch.empty(len(s), dtype=s.dtype) for k, s in enumerate(states)}


def forward(call: Call) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """Run a sequence; results as of the other backends, no two in the same memory."""
    states = _generators(call.current.device) if call.keep else []
    # One copy of the neurons draws what the loop over the whole input does.
    spikes, last, _ = reference.forward(call._replace(paths=call.paths._replace(hops=None)))
    return spikes, [s.clone() for s in last], states


def backward(call: Call, given: Adjoint) -> tuple[Tensor, list[Tensor | None], list[Tensor]]:
    """Gradients of a sequence; arguments and results as of `backends.c.prepared.Prepared.backward`."""
    grad_spikes, grad_state, spikes, tracks = given
    if call.recurrent and call.paths.hops is not None:
        call = call._replace(current=call.whole_input(spikes), recurrent=(), sources=())
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

    with _drawing_again(tracks, call.current.device):
        grads = apart(found)
    delta, *rest = (
        torch.zeros_like(x) if g is None else g
        for x, g in zip((call.current, *call.params, *call.state), grads, strict=True)
    )
    return delta, [g if need else None for g, need in zip(rest, call.needed)], rest[count:]  # noqa: B905
