"""The operators `torch.ops.snn_neuromod.sequence` and its backward pass, for traced graphs and for autocast."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Optional

import torch
from torch import Tensor

from snn_neuromod.errors import ConfigError
from snn_neuromod.kernels import backends
from snn_neuromod.kernels.call import Call, call_of
from snn_neuromod.kernels.gradients import gradients

__all__ = ["Shape", "saved", "sequence_backward", "shape_of"]


class Shape(NamedTuple):
    """What the backward pass knows of a call besides its tensors."""

    call: Call
    name: str
    counts: tuple[int, int, int, int]

    def call_of(self, tensors: Sequence[Tensor]) -> tuple[Call, Tensor, list[Tensor]]:
        """The call, its spikes, and what its forward pass kept."""
        params, state, recurrent, sources = self.counts
        current, *rest = tensors
        a, b, c = params, params + state, params + state + recurrent
        d = c + sources
        call = self.call._replace(
            current=current,
            params=rest[:a],
            state=rest[a:b],
            recurrent=rest[b:c],
            sources=rest[c:d],
        )
        return call, rest[d], rest[d + 1 :]


def shape_of(call: Call, name: str) -> Shape:
    """What the backward pass has to know of a call, without its tensors."""
    counts = (len(call.params), len(call.state), len(call.recurrent), len(call.sources))
    bare = call._replace(current=call.current.new_empty(0), params=(), state=(), recurrent=())
    return Shape(bare._replace(sources=()), name, counts)


def saved(call: Call, name: str, spikes: Tensor, tracks: Sequence[Tensor]) -> list[Tensor]:
    """Tensors for the backward pass; an input of which only the shape is read can be freed."""
    current = call.current if backends.REGISTRY[name][Call].reads(call) else spikes
    return [current, *call.params, *call.state, *call.recurrent, *call.sources, spikes, *tracks]


def _swept(backend: str) -> str:
    """The backend asked for, with a backward pass of its own: autograd sees no step inside an operator."""
    return "eager" if backend == "reference" else backend


@torch.library.custom_op("snn_neuromod::sequence", mutates_args=())
def _sequence(
    neuron: str,
    current: Tensor,
    params: list[Tensor],
    state: list[Tensor],
    recurrent: list[Tensor],
    delays: list[int],
    sources: list[Tensor],
    rule: str,
    keep: bool,
    needed: list[bool],
    backend: str,
) -> list[Tensor]:
    call = call_of(neuron, current, params, state, recurrent, delays, sources, rule, keep, needed)
    spikes, last, tracks = backends.serving(call, _swept(backend)).forward(call)
    return [spikes, *last, *tracks]


@_sequence.register_fake
def _(
    neuron: str,
    current: Tensor,
    params: list[Tensor],
    state: list[Tensor],
    recurrent: list[Tensor],
    delays: list[int],
    sources: list[Tensor],
    rule: str,
    keep: bool,
    needed: list[bool],
    backend: str,
) -> list[Tensor]:
    call = call_of(neuron, current, params, state, recurrent, delays, sources, rule, keep, needed)
    tracks = backends.serving(call, _swept(backend)).kept(call)
    spikes = torch.empty_like(current, memory_format=torch.contiguous_format)
    return [spikes, *(torch.empty_like(s) for s in state), *tracks.values()]


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: list[Tensor]) -> None:
    *given, backend = inputs
    call = call_of(*given)
    ctx.neuron = inputs[0]
    ctx.shape = shape_of(call, backends.choose(call, _swept(backend)))
    ctx.set_materialize_grads(False)
    tracks = output[1 + len(call.state) :]
    ctx.save_for_backward(*saved(call, ctx.shape.name, output[0], tracks))


def _backward(ctx: Any, grads: list[Tensor | None]) -> tuple[Any, ...]:
    call, spikes, tracks = ctx.shape.call_of(ctx.saved_tensors)
    count = len(call.state)
    found = sequence_backward(
        ctx.neuron,
        torch.zeros_like(spikes) if grads[0] is None else grads[0],
        list(grads[1 : 1 + count]),
        call.current,
        list(call.params),
        list(call.state),
        list(call.recurrent),
        list(call.delays),
        list(call.sources),
        spikes,
        tracks,
        call.paths.encode(),
        list(call.needed),
        ctx.shape.name,
    )
    grad_current, rest = found[0], found[1:]
    a = len(call.params)
    grad_params = [grad if need else None for grad, need in zip(rest, call.needed, strict=False)]
    grad_recurrent = rest[a + count :]
    none = [None] * len(call.sources)
    return (
        None, grad_current, grad_params, rest[a : a + count], grad_recurrent, None, none, None, None, None, None,
    )  # fmt: skip


@torch.library.custom_op("snn_neuromod::sequence_backward", mutates_args=())
def sequence_backward(
    neuron: str,
    grad_spikes: Tensor,
    grad_state: Sequence[Optional[Tensor]],  # noqa: UP045  (operator schemas know this form)
    current: Tensor,
    params: list[Tensor],
    state: list[Tensor],
    recurrent: list[Tensor],
    delays: list[int],
    sources: list[Tensor],
    spikes: Tensor,
    tracks: list[Tensor],
    rule: str,
    needed: list[bool],
    backend: str,
) -> list[Tensor]:
    """Gradients of input, parameters, initial state, past spikes and recurrent weights; arguments as of `sequence`."""
    call = call_of(neuron, current, params, state, recurrent, delays, sources, rule, True, needed)
    _check_backward(call, backend, grad_spikes, grad_state, spikes, tracks)
    wanted = [True] * len(recurrent)
    found = gradients(call, backend, grad_spikes, grad_state, spikes, tracks, wanted)
    like = [current, *params, *state, *recurrent]
    return [torch.zeros_like(x) if g is None else g for g, x in zip(found, like, strict=True)]


def _check_backward(
    call: Call,
    backend: str,
    grad_spikes: Tensor,
    grad_state: Sequence[Tensor | None],
    spikes: Tensor,
    tracks: Sequence[Tensor],
) -> None:
    """Compare what comes from the forward pass, and the gradients, with what would come.

    Raises:
        ValueError: If something does not fit.
    """
    if backends.choose(call, backend) != backend:
        raise ConfigError(
            f"sequence_backward: backend must be that of the forward pass, got {backend!r}"
        )
    like = call.current
    pairs = [("spikes", spikes, like), ("grad_spikes", grad_spikes, like)]
    pairs += [
        ("grad_state", g, s) for g, s in zip(grad_state, call.state, strict=True) if g is not None
    ]
    expected = backends.REGISTRY[backend][Call].kept(call)
    if len(expected) != len(tracks):
        raise ConfigError(
            f"sequence_backward: tracks must be {', '.join(expected) or 'none'}, got {len(tracks)} tensors"
        )
    pairs += [(name, x, e) for (name, e), x in zip(expected.items(), tracks, strict=True)]
    for name, x, e in pairs:
        if x.shape != e.shape or x.dtype != like.dtype or x.device != like.device:
            raise ConfigError(
                f"sequence_backward: {name} must be {like.dtype} of shape {tuple(e.shape)} on {like.device}, "
                f"got {x.dtype} of shape {tuple(x.shape)} on {x.device}"
            )


@sequence_backward.register_fake
def _(
    neuron: str,
    grad_spikes: Tensor,
    grad_state: Sequence[Optional[Tensor]],  # noqa: UP045
    current: Tensor,
    params: list[Tensor],
    state: list[Tensor],
    recurrent: list[Tensor],
    delays: list[int],
    sources: list[Tensor],
    spikes: Tensor,
    tracks: list[Tensor],
    rule: str,
    needed: list[bool],
    backend: str,
) -> list[Tensor]:
    return [torch.empty_like(tensor) for tensor in (spikes, *params, *state, *recurrent)]


_sequence.register_autograd(_backward, setup_context=_setup_context)
for _device in ("cpu", "cuda"):
    # Under autocast inputs of half precision come as float32, and nothing inside is autocast.
    _sequence.register_autocast(_device, torch.float32)
    sequence_backward.register_autocast(_device, torch.float32)
