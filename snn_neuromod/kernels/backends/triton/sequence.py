"""Sequences run by kernels that are printed from the neuron's step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from snn_neuromod.kernels.backends.triton import synaptic
from snn_neuromod.kernels.backends.triton.available import emulated, missing
from snn_neuromod.kernels.backends.triton.launch import Sequences
from snn_neuromod.kernels.backends.triton.recurrent import Recurrents, Weights
from snn_neuromod.kernels.backends.triton.wide import Wide
from snn_neuromod.kernels.call import Adjoint, Call, summed
from snn_neuromod.kernels.fusion.graph import live
from snn_neuromod.kernels.fusion.trace import NotElementwise, Step
from snn_neuromod.kernels.fusion.triton.expressions import MISSING
from snn_neuromod.kernels.fusion.triton.writer import Plan

MOST_NEURONS = 2048
"""Neurons, and senders of all delays, of a sample that one program can hold; above, each step is a kernel."""

SMALL = 50
"""Operations of a step and its reverse up to which a chunk is long: 16 steps, else 10. More steps take less memory
traffic, and more registers and time to compile."""


def unable(call: Call) -> str | None:
    """Why no kernel can serve a sequence, None if one can."""
    current = call.current
    reason = missing(current)
    if reason is not None:
        return reason
    if current.dtype not in (torch.float32, torch.float64):
        return f"it calculates in float32 and float64, not in {current.dtype}"
    if current.numel() == 0 or 16 * current[0].numel() >= 1 << 31:
        return f"it cannot serve an input of shape {tuple(current.shape)}"
    try:
        step = call.neuron.traced(current.dtype, call.paths.states)
    except NotElementwise as error:
        return str(error)
    if emulated():
        lacking = {n.op for n in live([step.spikes, *step.after])} & MISSING
        if lacking:
            return f"Triton's interpreter lacks {', '.join(sorted(lacking))}"
    return None


def reads(call: Call) -> bool:
    """Whether the reverse pass reads the input: with recurrent weights it reads what was kept of the total."""
    return not call.recurrent


def kept(call: Call) -> dict[str, Tensor]:
    """Empty tensors for what the forward pass keeps."""
    room = _room(call) if call.keep else {}
    made = call.current.new_empty
    return {name: made(shape, dtype=dtype) for name, (shape, dtype) in room.items()}


def _room(call: Call) -> dict[str, tuple[Sequence[int], torch.dtype]]:
    """Shapes and types of what the forward pass keeps."""
    plan, shape, through = _plan(call), call.current.shape, _through_weights(call)
    dtype = plan.step.graph.dtype
    steps = -(-shape[0] // (1 if through else plan.chunk))
    room: dict[str, tuple[Sequence[int], torch.dtype]] = {}
    room["marks"] = (steps, len(plan.moving), shape[1:].numel()), dtype
    if not call.recurrent:
        return room
    room["total"] = shape, dtype
    weights = Weights.of(call)
    if weights.delayed:
        room["senders"] = (weights.num_senders,), torch.int64
    if through and plan.gates:
        room["alive"] = shape, torch.uint8
    if call.paths.hops or "alive" in room:
        room["rows"] = (weights.num_senders, shape[-1]), dtype
    return room


def forward(call: Call) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """Run a sequence; results as of `backends.c.prepared.Prepared.forward`."""
    params, tracks = call.trimmed, kept(call)
    if not call.recurrent:
        marks = tracks.get("marks")
        spikes, last = _sequences(call).forward(call.current, params, call.state, marks)
        return spikes, last, [*tracks.values()]
    every = 0 if not tracks else 1 if _through_weights(call) else _plan(call).chunk
    given = (call.current, params, call.state, Weights.of(call, tracks), every)
    spikes, last = _recurrents(call).forward(*given)
    return spikes, last, [*tracks.values()]


def backward(call: Call, given: Adjoint) -> tuple[Tensor, list[Tensor | None], list[Tensor]]:
    """Gradients of a sequence; arguments and results as of `backends.c.prepared.Prepared.backward`."""
    grad_spikes, grad_state, _, tracks = given
    params = call.trimmed
    if _through_weights(call):
        through = (grad_spikes, grad_state, params, call.state, _weights(call, given))
        delta, first, sums = _recurrents(call).backward(*through)
    else:
        current = tracks[1] if call.recurrent else call.current
        alone = (grad_spikes, grad_state, current, params, call.state, tracks[0])
        delta, first, sums = _sequences(call).backward(*alone)
    grads = [
        None if not need else summed(sums[k], p) if k in sums else torch.zeros_like(p)
        for k, (need, p) in enumerate(zip(call.needed, call.params, strict=True))
    ]
    return delta, grads, first


def hop(call: Call, given: Adjoint, delta: Tensor) -> tuple[Tensor, Tensor]:
    """As `gradients.hop`."""
    return synaptic.sent_back(_weights(call, given), delta, given.grad_spikes)


def weights(call: Call, given: Adjoint, delta: Tensor) -> list[Tensor]:
    """As `gradients.weights`."""
    return synaptic.arrived(_weights(call, given), delta, given.spikes)


def _weights(call: Call, given: Adjoint) -> Weights:
    """Recurrent weights, with what was kept."""
    return Weights.of(call, dict(zip(_room(call), given.tracks, strict=True)))


def _through_weights(call: Call) -> bool:
    """Whether the sweep itself goes through the recurrent weights."""
    return bool(call.recurrent) and call.paths.hops is None


def _plan(call: Call) -> Plan:
    """What is fixed in the kernels of a call."""
    needed, per_step = tuple(call.needed), call.per_step
    dtype, states = call.dtype, call.paths.states
    step = call.neuron.traced(dtype, states)
    key = ("triton", dtype, states, needed, per_step)
    return call.neuron.once(key, lambda: Plan(step, needed, per_step, chunk(step)))


def chunk(step: Step) -> int:
    """Steps that are written out."""
    roots = [step.spikes, *step.after, *step.grad_before, step.grad_current]
    return 16 if len(live(roots)) <= SMALL else 10


def _sequences(call: Call) -> Sequences:
    """Kernels for neurons on their own."""
    plan = _plan(call)
    return call.neuron.once(("sequences", plan), lambda: Sequences(plan))


def _form(call: Call) -> type[Recurrents | Wide]:
    """How many neurons a program holds."""
    most = max(call.current.shape[-1], Weights.of(call).num_senders)
    return Wide if most > MOST_NEURONS else Recurrents


def _recurrents(call: Call) -> Recurrents | Wide:
    """Kernels for neurons with weights among them."""
    plan, form = _plan(call), _form(call)
    return call.neuron.once((form, plan), lambda: form(replace(plan, chunk=1)))
