"""The operators `torch.ops.snn_neuromod.sequence` and its backward pass, for traced graphs."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from snn_neuromod.errors import ConfigError
from snn_neuromod.kernels import backends
from snn_neuromod.kernels.call import Adjoint, Call, Outline, call_of, fit
from snn_neuromod.kernels.gradients import gradients, through

__all__ = ["sequence", "sequence_backward"]

_CALL = (
    "str neuron, Tensor current, Tensor[] params, Tensor[] state, Tensor[] recurrent, SymInt[] delays, "
    "Tensor[] sources, str rule, bool keep, bool[] needed"
)
"""Arguments of `call.call_of`, behind which both operators take the name of a backend."""
_GRADS = "Tensor grad_spikes, Tensor?[] grad_state, Tensor spikes, Tensor[] tracks"


def _swept(backend: str) -> str:
    """The backend asked for, with a backward pass of its own: autograd sees no step inside an operator."""
    return "eager" if backend == "reference" else backend


@torch.library.custom_op(
    "snn_neuromod::sequence", mutates_args=(), schema=f"({_CALL}, str backend) -> Tensor[]"
)
def sequence(*given: Any) -> list[Tensor]:
    """Spikes, last state and what is kept."""
    call = call_of(*given[:-1])
    spikes, last, tracks = backends.serving(call, _swept(given[-1])).forward(call)
    return [spikes, *last, *tracks]


@sequence.register_fake
def _(*given: Any) -> list[Tensor]:
    call = call_of(*given[:-1])
    tracks = backends.serving(call, _swept(given[-1])).kept(call)
    spikes = torch.empty_like(call.current, memory_format=torch.contiguous_format)
    return [spikes, *(torch.empty_like(s) for s in call.state), *tracks.values()]


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: list[Tensor]) -> None:
    *given, backend = inputs
    call = call_of(*given)
    ctx.outline = Outline.of(call)
    ctx.name = backends.choose(call, _swept(backend))
    ctx.set_materialize_grads(False)
    spikes, tracks = output[0], output[1 + len(call.state) :]
    reads = backends.prepared(call, ctx.name).reads(call)
    ctx.save_for_backward(call.current if reads else spikes, *call.tensors[1:], spikes, *tracks)


def _backward(ctx: Any, grads: list[Tensor | None]) -> tuple[Any, ...]:
    call, (spikes, *tracks) = ctx.outline.filled(ctx.saved_tensors)
    parts = [[*part] for part in (call.params, call.state, call.recurrent)]
    grad_spikes = torch.zeros_like(spikes) if grads[0] is None else grads[0]
    grad_current, *rest = sequence_backward(
        grad_spikes, list(grads[1 : 1 + len(call.state)]), spikes, tracks, call.neuron.key, call.current, *parts,
        [*call.delays], [*call.sources], call.paths.encode(), True, [*call.needed], ctx.name,
    )  # fmt: skip
    found = iter(rest)
    grad_params, grad_state, grad_recurrent = ([next(found) for _ in part] for part in parts)
    grad_params = [g if need else None for g, need in zip(grad_params, call.needed, strict=True)]
    none = [None] * len(call.sources)
    return (
        None, grad_current, grad_params, grad_state, grad_recurrent, None, none, None, None, None, None,
    )  # fmt: skip


@torch.library.custom_op(
    "snn_neuromod::sequence_backward",
    mutates_args=(),
    schema=f"({_GRADS}, {_CALL}, str backend) -> Tensor[]",
)
def sequence_backward(*given: Any) -> list[Tensor]:
    """Gradients of input, parameters, initial state, past spikes and recurrent weights."""
    adjoint, call, backend = Adjoint(*given[:4]), call_of(*given[4:-1]), given[-1]
    _check_backward(call, backend, adjoint)
    wanted = [True] * len(call.recurrent)
    serves = backends.prepared(call, backend)
    found = gradients(call, serves, adjoint, wanted, through(call, backend))
    like = [call.current, *call.params, *call.state, *call.recurrent]
    if (
        len(call.recurrent) > 2
    ):  # they may be parts of one tensor, which results of an operator must not be
        found[-len(call.delays) :] = [
            None if g is None else g.clone() for g in found[-len(call.delays) :]
        ]
    return [torch.zeros_like(x) if g is None else g for g, x in zip(found, like, strict=True)]


@sequence_backward.register_fake
def _(*given: Any) -> list[Tensor]:
    _, _, spikes, _, _, _, params, state, recurrent, *_ = given
    return [torch.empty_like(tensor) for tensor in (spikes, *params, *state, *recurrent)]


def _check_backward(call: Call, backend: str, given: Adjoint) -> None:
    """Compare what comes from the forward pass, and the gradients, with what would come.

    Raises:
        ValueError: If something does not fit.
    """
    if backends.choose(call, backend) != backend:
        raise ConfigError(
            f"sequence_backward: backend must be that of the forward pass, got {backend!r}"
        )
    grad_spikes, grad_state, spikes, tracks = given
    like, expected = call.current, backends.prepared(call, backend).kept(call)
    if len(expected) != len(tracks):
        raise ConfigError(
            f"sequence_backward: tracks must be {', '.join(expected) or 'none'}, got {len(tracks)} tensors"
        )
    pairs = [("spikes", spikes, like), ("grad_spikes", grad_spikes, like)]
    pairs += [
        ("grad_state", g, s) for g, s in zip(grad_state, call.state, strict=True) if g is not None
    ]
    pairs += [(name, x, e) for (name, e), x in zip(expected.items(), tracks, strict=True)]
    for name, x, e in pairs:
        fit("sequence_backward", name, x, e, e.shape)


sequence.register_autograd(_backward, setup_context=_setup_context)
for _device in ("cpu", "cuda"):
    # Under autocast inputs of half precision come as float32, and nothing inside is autocast.
    sequence.register_autocast(_device, torch.float32)
    sequence_backward.register_autocast(_device, torch.float32)
