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


def _served(call: Call, backend: str) -> tuple[Call, str, Any]:
    """A call with its input as what runs it takes it, the name of that, and it; it has a backward pass of its own."""
    own = "eager" if backend == "reference" else backend  # autograd sees no step inside an operator
    name = backends.choose(call.wide, own)
    serves = backends.prepared(call.wide, name)
    return call.brought(narrow=backends.REGISTRY[name][Call].narrow), name, serves


@torch.library.custom_op(
    "snn_neuromod::sequence", mutates_args=(), schema=f"({_CALL}, str backend) -> Tensor[]"
)
def sequence(*given: Any) -> list[Tensor]:
    """Spikes, last state and what is kept."""
    call, _, serves = _served(call_of(*given[:-1]), given[-1])
    with torch.autocast(call.current.device.type, enabled=False):
        spikes, last, tracks = serves.forward(call)
    return [spikes, *(s.contiguous() for s in last), *tracks]


@sequence.register_fake
def _(*given: Any) -> list[Tensor]:
    call, _, serves = _served(call_of(*given[:-1]), given[-1])
    tracks = serves.kept(call)
    return [*map(_promised, (call.current, *call.state)), *tracks.values()]


def _promised(like: Tensor) -> Tensor:
    """A result as a compiler is told of it: contiguous, whatever the strides of what it looks like."""
    return torch.empty_like(like, memory_format=torch.contiguous_format)


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: list[Tensor]) -> None:
    *given, backend = inputs
    call = call_of(*given)
    ctx.outline = Outline.of(call)
    _, ctx.name, serves = _served(call.wide, backend)
    ctx.set_materialize_grads(False)
    spikes, tracks = output[0], output[1 + len(call.state) :]
    reads = serves.reads(call)
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
    adjoint, backend = Adjoint(*given[:4]), given[-1]
    call, name, serves = _served(call_of(*given[4:-1]), backend)
    if name != backend:
        raise ConfigError(
            f"sequence_backward: backend must be that of the forward pass, got {backend!r}"
        )
    _check_backward(call, serves, adjoint)
    wanted = [True] * len(call.recurrent)
    with torch.autocast(call.current.device.type, enabled=False):
        found = gradients(call, serves, adjoint, wanted, through(call, backend))
    own = len(call.recurrent) - 1
    if own > 1:  # they may be parts of one tensor, which results of an operator must not be
        found[-own:] = [None if g is None else g.clone() for g in found[-own:]]
    like = [call.current, *call.params, *call.state, *call.recurrent]
    return [
        x.new_zeros(x.shape) if g is None else g.contiguous()
        for g, x in zip(found, like, strict=True)
    ]


@sequence_backward.register_fake
def _(*given: Any) -> list[Tensor]:
    _, _, spikes, _, _, _, params, state, recurrent, *_ = given
    return [*map(_promised, (spikes, *params, *state, *recurrent))]


def _check_backward(call: Call, serves: Any, given: Adjoint) -> None:
    """Compare what comes from the forward pass, and the gradients, with what would come.

    Raises:
        ValueError: If something does not fit.
    """
    grad_spikes, grad_state, spikes, tracks = given
    like, expected = call.current, serves.kept(call)
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
