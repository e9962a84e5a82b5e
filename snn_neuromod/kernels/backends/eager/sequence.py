"""Sequences in plain PyTorch, forwards and backwards, printed from the neuron's step.

Both passes work on segments small enough to stay in cache. The backward pass finds the derivatives of a segment's steps
(`reverse`), then sweeps through them (`adjoint`). A step that cannot be traced, or whose reverse pass is not linear, is
run by `dynamics.scan` and differentiated by autograd (`unprinted`).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from snn_neuromod.kernels.backends.eager.adjoint import Adjoints, accumulate, sweep
from snn_neuromod.kernels.backends.eager.forward import Forward
from snn_neuromod.kernels.backends.eager.known import Known, Reads, general, known, linear
from snn_neuromod.kernels.backends.eager.reverse import Derivatives, Reverse
from snn_neuromod.kernels.call import Call
from snn_neuromod.kernels.fusion.trace import apart

__all__ = ["backward", "forward", "kept", "reads", "unable"]

SEGMENT_ELEMENTS = 1 << 18
"""Neurons times steps of a segment: its arrays stay in cache, and the interpreter's share of the time stays small."""

DEVICE_ELEMENTS = 1 << 24
"""The same on other devices, which have no such cache and where each operation costs a launch."""


def unable(call: Call) -> str | None:
    """Why a step cannot be printed, None if it can."""
    try:
        linear(call)
    except ValueError as error:
        return str(error)
    return None


def _reads(call: Call) -> Reads:
    """What the reverse pass reads; where a graph is traced that does not depend on values of parameters."""
    return (known(call) if call.plain else general(call)).reads(_needed(call))


def _read_by(call: Call, step: Known) -> Reads:
    """The same in terms of this form of the step."""
    found = _reads(call)
    if call.plain:
        return found
    return found._replace(saved=tuple(apart(lambda: step.image(found.saved))))


def _needed(call: Call) -> tuple[str, ...]:
    names = call.neuron.module.Params._fields
    return tuple(name for name, need in zip(names, call.needed, strict=True) if need)


def reads(call: Call) -> bool:
    """Whether the backward pass reads the input."""
    return _reads(call).current


def kept(call: Call) -> dict[str, Tensor]:
    """Empty tensors for what the forward pass keeps: states "s0", (T + 1, batch, neuron), results "c0", (T, ...)."""
    if not call.keep:
        return {}
    found, shape = _reads(call), call.current.shape
    sizes = {f"s{k}": (shape[0] + 1, *shape[1:]) for k in found.states}
    sizes |= {f"c{j}": tuple(shape) for j in range(len(found.saved))}
    return {name: call.current.new_empty(size) for name, size in sizes.items()}


def _params(call: Call) -> dict[str, Tensor]:
    """Parameters by "p0", "p1", ..., with an axis of steps only where they change."""
    ndim = call.current.ndim
    return {
        f"p{k}": p[0] if p.ndim == ndim and p.shape[0] == 1 else p
        for k, p in enumerate(call.params)
    }


def _length(current: Tensor) -> int:
    """Steps of a segment."""
    most = SEGMENT_ELEMENTS if current.device.type == "cpu" else DEVICE_ELEMENTS
    return max(1, min(current.shape[0], most // max(1, current[0].numel())))


def forward(call: Call) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """Run a sequence; results as of `backends.c.prepared.Prepared.forward`."""
    step, recurrent, bits = known(call), bool(call.recurrent), call.current.device.type == "cpu"
    saved = _read_by(call, step).saved if call.keep else ()
    run = step.once(
        ("forward", saved, recurrent, bits),
        lambda: Forward(step, saved, recurrent=recurrent, bits=bits),
    )
    tracks = kept(call)
    spikes = torch.empty_like(call.current, memory_format=torch.contiguous_format)
    with torch.no_grad():
        last = run(call, _params(call), spikes, tracks, longest=_length(call.current))
    return spikes, [s.clone() for s in last], [*tracks.values()]


def backward(
    call: Call,
    grad_spikes: Tensor,
    grad_state: Sequence[Tensor | None],
    spikes: Tensor,
    tracks: Sequence[Tensor],
) -> tuple[Tensor, list[Tensor | None], list[Tensor]]:
    """Gradients of a sequence; arguments and results as of `backends.c.prepared.Prepared.backward`."""
    step, ndim = known(call), spikes.ndim
    carry: Adjoints = {
        name: g for name, g in zip(step.names, grad_state, strict=True) if g is not None
    }
    derivatives = _derivatives(call, step, grad_state, spikes, tracks)
    through = call.synapses if call.recurrent and call.paths.hops is None else []
    reach = max((group.delay for group in through), default=0)
    grad_current, params = torch.empty_like(spikes), call.params_by_name()
    grads = {name: torch.zeros_like(params[name]) for name in _needed(call)}
    length = _length(spikes)
    for stop in range(spikes.shape[0], 0, -length):
        start = max(0, stop - length)
        lin = derivatives.segment(start, stop)
        onwards = grad_current[start : stop + reach]
        adjoints, carry = sweep(lin, grad_spikes[start:stop], carry, onwards, recurrent=through)
        for (variable, name), coefficient in lin.params.items():
            target = grads[name]
            if target.ndim == ndim and target.shape[0] > 1:
                target = target[start:stop]
            if variable in adjoints:
                found = accumulate(None, coefficient, adjoints[variable])
                target += found.sum_to_size(target.shape)
    grad_initial = [
        torch.zeros_like(s) if carry.get(name) is None else carry[name].expand_as(s).clone()
        for name, s in zip(step.names, call.state, strict=True)
    ]
    return grad_current, [grads.get(name) for name in params], grad_initial


def _derivatives(
    call: Call,
    step: Known,
    grad_state: Sequence[Tensor | None],
    spikes: Tensor,
    tracks: Sequence[Tensor],
) -> Derivatives:
    read, needed, bits = _read_by(call, step), _needed(call), spikes.device.type == "cpu"
    seeded = tuple(k for k, grad in enumerate(grad_state) if grad is not None)
    reverse = step.once(
        ("reverse", read, needed, seeded, bits),
        lambda: Reverse(step, read, needed, seeded, bits=bits),
    )
    names = [*(f"s{k}" for k in read.states), *(f"c{j}" for j in range(len(read.saved)))]
    fixed = {f"s{k}": s for k, s in enumerate(call.state) if k not in step.moving}
    by_name = dict(zip(names, tracks, strict=True))
    return Derivatives(call, reverse, fixed | _params(call), spikes, by_name)
