"""Sequences in plain PyTorch, forwards and backwards, printed from the neuron's step.

Both passes (`passes`) work on stretches of steps small enough to stay in cache. A step that cannot be traced is run by
`dynamics.scan` and differentiated by autograd (`unprinted`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from snn_neuromod.kernels.backends.eager.known import Known, Reads, general, known
from snn_neuromod.kernels.backends.eager.passes import Pass, Printed
from snn_neuromod.kernels.backends.eager.reverse import reverse
from snn_neuromod.kernels.call import Adjoint, Call
from snn_neuromod.kernels.fusion.once import apart
from snn_neuromod.kernels.fusion.trace import NotElementwise

__all__ = ["backward", "forward", "kept", "reads", "unable"]

SEGMENT_ELEMENTS = 1 << 18
"""Neurons times steps of a stretch: its arrays stay in cache, and the interpreter's share of the time stays small."""

DEVICE_ELEMENTS = 1 << 24
"""The same on other devices, which have no such cache and where each operation costs a launch."""


def unable(call: Call) -> str | None:
    """Why a step cannot be printed, None if it can."""
    try:
        general(call)
    except NotElementwise as error:
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


def _needed(call: Call) -> tuple[int, ...]:
    return tuple(k for k, need in enumerate(call.needed) if need)


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
    return {f"p{k}": p for k, p in enumerate(call.trimmed)}


def _length(current: Tensor) -> int:
    """Steps of a stretch."""
    most = SEGMENT_ELEMENTS if current.device.type == "cpu" else DEVICE_ELEMENTS
    return max(1, min(current.shape[0], most // max(1, current[0].numel())))


@torch.no_grad()
def forward(call: Call) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """Run a sequence; results as of `backends.c.prepared.Prepared.forward`."""
    step, recurrent, bits = known(call), bool(call.recurrent), call.current.device.type == "cpu"
    saved = _read_by(call, step).saved if call.keep else ()
    printed = step.once(
        ("forward", saved, recurrent, bits),
        lambda: Printed(step, saved, recurrent=recurrent, bits=bits),
    )
    current, tracks = call.current, kept(call)
    spikes = torch.empty_like(current, memory_format=torch.contiguous_format)
    length = printed.stretch(_length(current), current[0])
    groups = call.synapses if recurrent else []

    def arriving(start: int, stop: int) -> Iterator[Tensor]:
        weights = [group.weights.T for group in groups]
        for t in range(start, stop):
            total = current[t]
            for group, w in zip(groups, weights, strict=True):
                before = t - group.delay
                sent = spikes[before] if before >= 0 else call.recurrent[0][before]
                total = total + group.select(sent) @ w
            yield total

    made = Pass(
        printed, current, call.state, _params(call), spikes, tracks, length,
        arriving if groups else None,
    )  # fmt: skip
    for start in range(0, len(current), length):
        made.advance(start, min(start + length, len(current)))
    return spikes, [s.clone() for s in made.state], [*tracks.values()]


@torch.no_grad()
def backward(call: Call, given: Adjoint) -> tuple[Tensor, list[Tensor | None], list[Tensor]]:
    """Gradients of a sequence; arguments and results as of `backends.c.prepared.Prepared.backward`."""
    grad_spikes, grad_state, spikes, tracks = given
    step, needed, bits = known(call), _needed(call), spikes.device.type == "cpu"
    read = _read_by(call, step)
    groups = call.synapses if call.recurrent and call.paths.hops is None else []
    seeded = tuple(k for k, grad in enumerate(grad_state) if grad is not None)
    printed, names = step.once(
        ("reverse", read, needed, seeded, bool(groups), bits),
        lambda: reverse(step, read, needed, seeded, recurrent=bool(groups), bits=bits),
    )
    grad_current, length = torch.empty_like(spikes), _length(spikes)
    params, per_step = _params(call), call.per_step
    left = [_left(name, call, step, read.states, spikes, tracks) for name in names]
    params |= {f"p{len(params) + j}": values for j, values in enumerate(left)}
    seeds = [torch.zeros_like(spikes[0]) if grad is None else grad for grad in grad_state]

    def arriving(start: int, stop: int) -> Iterator[Tensor]:
        for t in range(stop - 1, start - 1, -1):
            total = grad_spikes[t]
            for group in groups:
                if t + group.delay < len(spikes):
                    total = total + group.back(grad_current[t + group.delay])
            yield total

    made = Pass(
        printed, grad_spikes, seeds, params, grad_current, {}, length, arriving if groups else None
    )
    grads = {k: torch.zeros_like(call.params[k]) for k in needed}
    for stop in range(len(spikes), 0, -length):
        start = max(0, stop - length)
        for (k, grad), found in zip(grads.items(), made.advance(start, stop), strict=True):
            target = grad[start:stop] if per_step[k] else grad
            whole = torch.as_tensor(found).to(grad).expand_as(spikes[start:stop])
            target += whole.sum_to_size(target.shape)
    found = [grads.get(k) for k in range(len(call.params))]
    return grad_current, found, [s.clone() for s in made.state]


def _left(
    name: str,
    call: Call,
    step: Known,
    states: Sequence[int],
    spikes: Tensor,
    tracks: Sequence[Tensor],
) -> Tensor:
    """What the forward pass left behind, of all steps, by its name in `reverse`; `states` are those that are kept."""
    if name in ("x", "z"):
        return spikes if name == "z" else call.whole_input(spikes)
    letter, number = name[0], int(name[1:])
    if letter == "c":
        return tracks[len(states) + number]
    if number in states:
        track = tracks[states.index(number)]
        return track[:-1] if letter == "s" else track[1:]
    if number not in step.moving:
        return call.state[number]
    return torch.cat([call.state[number][None], spikes[:-1]])  # it holds the spikes
