"""What the forward pass of a sequence keeps for its backward pass, and how it is cut into segments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from snn_neuromod.kernels.backends.eager import src_forward
from snn_neuromod.kernels.backends.eager.linearisation import Coefficient
from snn_neuromod.kernels.backends.eager.src import READS
from snn_neuromod.kernels.call import Call

SEGMENT_ELEMENTS = 1 << 18
"""Neurons times steps of a segment: its arrays stay in cache, and the interpreter's share of the time stays small."""

DEVICE_ELEMENTS = 1 << 24
"""The same on other devices, which have no such cache and where each operation costs a launch."""

SRC_FAMILY = ("src", "msrc", "bsrc")


def fused(call: Call) -> bool:
    """Whether the forward pass of the SRC family serves."""
    names = call.neuron.module.Params._fields
    known = call.neuron.name in SRC_FAMILY and not call.recurrent
    return known and src_forward.serves(names, call.params, call.current.ndim)


def kept(call: Call) -> list[str]:
    """Names of the tracks that the backward pass reads; the spikes it has."""
    neuron, fields = call.neuron, call.neuron.module.State._fields
    if neuron.described:
        return list(fields)
    unread = {"z"} if neuron.options.get("refractory") else {"z", "held"}
    states = [name for name in fields if name not in unread]
    if not fused(call):
        return states
    names = neuron.module.Params._fields
    read = {READS.get(name, "h") for name, need in zip(names, call.needed, strict=True) if need}
    read.add("h")
    if not neuron.options["detach_recurrence"]:
        read.add("h_s")
    return [name for name in states if name in read] + ["drive_slope"]


def new_tracks(call: Call) -> dict[str, Tensor]:
    """Empty tracks, (T + 1, batch, neuron) for states, (T, batch, neuron) for others."""
    if not call.keep:
        return {}
    num_steps, current = call.current.shape[0], call.current
    sizes = {
        name: (num_steps + 1, *s.shape)
        for name, s in zip(call.neuron.module.State._fields, call.state, strict=True)
    }
    return {name: current.new_empty(sizes.get(name, tuple(current.shape))) for name in kept(call)}


class Trajectory(NamedTuple):
    """What the forward pass kept."""

    state_type: Any
    tracks: dict[str, Tensor]
    spikes: Tensor
    initial: Sequence[Tensor]

    def segment(self, start: int, stop: int) -> tuple[Any, Any]:
        """States before and after each step; None for those not kept."""
        before: dict[str, Tensor | None] = {}
        after: dict[str, Tensor | None] = {}
        for name, first in zip(self.state_type._fields, self.initial, strict=True):
            track = self.tracks.get(name)
            if name == "z":  # the spikes themselves
                after[name] = self.spikes[start:stop]
                earlier = self.spikes[max(start - 1, 0) : stop - 1]
                before[name] = earlier if start else torch.cat([first[None], earlier])
            else:
                before[name] = None if track is None else track[start:stop]
                after[name] = None if track is None else track[start + 1 : stop + 1]
        return self.state_type(**before), self.state_type(**after)

    def extra(self, start: int, stop: int) -> dict[str, Tensor]:
        """Tracks that are no states."""
        fields = self.state_type._fields
        return {
            name: track[start:stop] for name, track in self.tracks.items() if name not in fields
        }


def numbers(call: Call) -> list[Coefficient]:
    """Parameters with single numbers as numbers, which are faster, where that costs no transfer.

    A step that is not the package's own gets the tensors: it may call their methods.
    """
    if call.neuron.described:
        return [*call.params]
    return [p.item() if p.ndim == 0 and p.device.type == "cpu" else p for p in call.params]


def between(
    params: Sequence[Coefficient], ndim: int, start: int, stop: int, *, squeeze: bool = False
) -> list[Coefficient]:
    """Parameters of some steps: those given per step cut, the others as they are."""
    cut: list[Coefficient] = []
    for p in params:
        if isinstance(p, Tensor) and p.ndim == ndim:
            p = p[start:stop] if p.shape[0] > 1 else p
            p = p[0] if squeeze else p
        cut.append(p)
    return cut


def segment_length(current: Tensor) -> int:
    """Steps of a segment."""
    per_step = max(1, current[0].numel())
    most = SEGMENT_ELEMENTS if current.device.type == "cpu" else DEVICE_ELEMENTS
    return max(1, min(current.shape[0], most // per_step))
