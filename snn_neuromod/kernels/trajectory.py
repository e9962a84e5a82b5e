"""What the forward pass of a sequence keeps for its backward pass, and how it is cut into segments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from snn_neuromod.kernels import src_forward
from snn_neuromod.kernels.linearisation import Coefficient
from snn_neuromod.kernels.neurons import Neuron
from snn_neuromod.kernels.src import READS

SEGMENT_ELEMENTS = 1 << 18
"""Neurons times steps of a segment: its arrays stay in cache, and the interpreter's share of the time stays small."""


def fused(neuron: Neuron, params: list[Tensor], recurrent: list[Tensor], ndim: int) -> bool:
    """Whether the forward pass of the SRC family serves."""
    names = neuron.module.Params._fields
    return neuron.src_family and not recurrent and src_forward.serves(names, params, ndim)


def kept(neuron: Neuron, needed: list[bool], fused: bool) -> list[str]:
    """Names of the tracks that the backward pass reads; the spikes it has."""
    if neuron.described:
        return list(neuron.module.State._fields)
    unread = {"z"} if neuron.options.get("refractory") else {"z", "held"}
    states = [name for name in neuron.module.State._fields if name not in unread]
    if not fused:
        return states
    names = neuron.module.Params._fields
    read = {READS.get(name, "h") for name, need in zip(names, needed, strict=True) if need} | {"h"}
    if not neuron.options["detach_recurrence"]:
        read.add("h_s")
    return [name for name in states if name in read] + ["drive_slope"]


def new_tracks(
    names: list[str], neuron: Neuron, current: Tensor, state: list[Tensor]
) -> dict[str, Tensor]:
    """Empty tracks, (T + 1, batch, neuron) for states, (T, batch, neuron) for others."""
    num_steps = current.shape[0]
    sizes = {
        name: (num_steps + 1, *s.shape)
        for name, s in zip(neuron.module.State._fields, state, strict=True)
    }
    return {name: current.new_empty(sizes.get(name, tuple(current.shape))) for name in names}


class Trajectory(NamedTuple):
    """What the forward pass kept."""

    state_type: Any
    tracks: dict[str, Tensor]
    spikes: Tensor
    initial: list[Tensor]

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


def numbers(params: list[Tensor], neuron: Neuron | None = None) -> list[Coefficient]:
    """Parameters with single numbers as numbers, which are faster, where that costs no transfer.

    A step that is not the package's own gets the tensors: it may call their methods.
    """
    if neuron is not None and neuron.described:
        return [*params]
    return [p.item() if p.ndim == 0 and p.device.type == "cpu" else p for p in params]


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
    return max(1, min(current.shape[0], SEGMENT_ELEMENTS // per_step))
