"""How a sequence is cut into segments, and what a step of it takes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch import Tensor

from snn_neuromod.kernels.call import Call
from snn_neuromod.kernels.synapses import recurrent_input

SEGMENT_ELEMENTS = 1 << 18
"""Neurons times steps of a segment: its arrays stay in cache, and the interpreter's share of the time stays small."""

DEVICE_ELEMENTS = 1 << 24
"""The same on other devices, which have no such cache and where each operation costs a launch."""


def segment_length(current: Tensor) -> int:
    """Steps of a segment."""
    per_step = max(1, current[0].numel())
    most = SEGMENT_ELEMENTS if current.device.type == "cpu" else DEVICE_ELEMENTS
    return max(1, min(current.shape[0], most // per_step))


def received(call: Call, spikes: Tensor, start: int, stop: int) -> Iterator[Tensor]:
    """Whole input of one step after another in the forward pass of a recurrent layer; `spikes` come in meanwhile."""
    groups = [(group.weights.T, group) for group in call.synapses]
    past = call.recurrent[0]
    for t in range(start, stop):
        current = call.current[t]
        for w, group in groups:
            before = t - group.delay
            sent = spikes[before] if before >= 0 else past[before]
            current = current + group.select(sent) @ w
        yield current


def whole_input(call: Call, spikes: Tensor, start: int, stop: int) -> Tensor:
    """The same of a segment whose spikes are known, (steps, batch, neuron)."""
    total = call.current[start:stop]
    if not call.recurrent:
        return total
    groups = call.synapses
    return total + recurrent_input(groups, call.recurrent[0], spikes, start, stop)


def parameters(params: Sequence[Tensor], ndim: int, start: int, stop: int) -> list[Tensor]:
    """Parameters of some steps: those given per step cut, the others as they are."""
    return [p[start:stop] if p.ndim == ndim and p.shape[0] > 1 else p for p in params]
