"""The operators `torch.ops.snn_neuromod.sequence` and its backward pass, for traced graphs and for autocast."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Optional

import torch
from torch import Tensor

from snn_neuromod.errors import ConfigError
from snn_neuromod.kernels import backends
from snn_neuromod.kernels.call import Call, Outline, call_of
from snn_neuromod.kernels.gradients import gradients, product_of

__all__ = ["sequence", "sequence_backward"]


def _swept(backend: str) -> str:
    """The backend asked for, with a backward pass of its own: autograd sees no step inside an operator."""
    return "eager" if backend == "reference" else backend


@torch.library.custom_op("snn_neuromod::sequence", mutates_args=())
def sequence(
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
    """Spikes, last state and what is kept; arguments as of `call.call_of`."""
    call = call_of(neuron, current, params, state, recurrent, delays, sources, rule, keep, needed)
    spikes, last, tracks = backends.serving(call, _swept(backend)).forward(call)
    return [spikes, *last, *tracks]


@sequence.register_fake
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
    ctx.neuron, ctx.outline = inputs[0], Outline.of(call)
    ctx.name = backends.choose(call, _swept(backend))
    ctx.set_materialize_grads(False)
    spikes, tracks = output[0], output[1 + len(call.state) :]
    reads = backends.prepared(call, ctx.name).reads(call)
    current = call.current if reads else spikes
    ctx.save_for_backward(current, *call.tensors[1:], spikes, *tracks)


def _backward(ctx: Any, grads: list[Tensor | None]) -> tuple[Any, ...]:
    call, (spikes, *tracks) = ctx.outline.filled(ctx.saved_tensors)
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
        ctx.name,
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
    serves, product = backends.serving(call, backend), product_of(call, backend)
    found = gradients(call, serves, grad_spikes, grad_state, spikes, tracks, wanted, product)
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
    expected = backends.prepared(call, backend).kept(call)
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


sequence.register_autograd(_backward, setup_context=_setup_context)
for _device in ("cpu", "cuda"):
    # Under autocast inputs of half precision come as float32, and nothing inside is autocast.
    sequence.register_autocast(_device, torch.float32)
    sequence_backward.register_autocast(_device, torch.float32)
