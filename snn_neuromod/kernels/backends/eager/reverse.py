"""Derivatives of a neuron's step along a sequence, segment by segment, printed from its Jacobian."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from snn_neuromod.kernels.backends.eager.known import Known, Reads
from snn_neuromod.kernels.call import Call
from snn_neuromod.kernels.fusion.algebra import rewrite
from snn_neuromod.kernels.fusion.graph import Graph
from snn_neuromod.kernels.fusion.jacobian import Flow, Jacobian
from snn_neuromod.kernels.fusion.pytorch.program import Part, Program
from snn_neuromod.kernels.synapses import recurrent_input

__all__ = ["Derivatives", "Reverse", "whole_input"]


class Reverse:
    """Printed derivatives.

    Args:
        known: The step.
        reads: What the forward pass has kept.
        needed: Parameters whose gradients are asked for.
        seeded: Numbers of the states whose last ones have a gradient.
        bits: Whether it is for a CPU.

    Attributes:
        jacobian: The derivatives that are computed.
        program: What computes them, in their order.
    """

    def __init__(
        self,
        known: Known,
        reads: Reads,
        needed: Sequence[str],
        seeded: Sequence[int],
        *,
        bits: bool,
    ) -> None:
        self.jacobian = Flow(known.step, needed, seeded).jacobian(known.fixed)
        there = {"z", *(f"n{k}" for k in reads.states)}
        names = {node: name for node, name in known.leaves().items() if name in there}
        names |= {node: f"c{j}" for j, node in enumerate(reads.saved)}
        graph = Graph(known.step.graph.dtype)
        given = {node: graph.input(name) for node, name in names.items()}
        roots = [node for edges in self.jacobian for node in edges.values()]
        part = Part({}, rewrite(graph, roots, given, known.fixed))
        self.program = Program([part], known.fixed, known.number, exact=False, bits=bits)


class Derivatives:
    """Derivatives of a sequence.

    Args:
        call: The sequence.
        reverse: What is printed for it.
        fixed: What does not change with time, by name.
        spikes: Of the forward pass.
        tracks: What it kept, by name.
    """

    def __init__(
        self,
        call: Call,
        reverse: Reverse,
        fixed: dict[str, Tensor],
        spikes: Tensor,
        tracks: dict[str, Tensor],
    ) -> None:
        self._call, self._reverse, self._spikes, self._tracks = call, reverse, spikes, tracks
        self._fixed = fixed
        (self._function,) = reverse.program.bind(spikes[0], fixed)

    def segment(self, start: int, stop: int) -> Jacobian:
        """Derivatives of the steps from `start` up to `stop`."""
        values = [self._value(name, start, stop) for name in self._reverse.program.reads[0]]
        return self._reverse.jacobian.of(self._function(self._spikes[start:stop], *values))

    def _value(self, name: str, start: int, stop: int) -> Tensor:
        """What the derivatives read, at these steps."""
        spikes, tracks = self._spikes, self._tracks
        if name == "x":
            return whole_input(self._call, spikes, start, stop)
        if name == "z":
            return spikes[start:stop]
        if name[0] == "p":
            return self._fixed[name][start:stop].expand_as(spikes[start:stop])
        if name[0] == "n":
            return tracks[f"s{name[1:]}"][start + 1 : stop + 1]
        if name in tracks:
            return tracks[name][start:stop]
        if start:  # the state that holds the spikes
            return spikes[start - 1 : stop - 1]
        return torch.cat([self._call.state[int(name[1:])][None], spikes[: stop - 1]])


def whole_input(call: Call, spikes: Tensor, start: int, stop: int) -> Tensor:
    """Input of some steps with what comes through recurrent weights, (steps, batch, neuron); all spikes are known."""
    total = call.current[start:stop]
    if not call.recurrent:
        return total
    return total + recurrent_input(call.synapses, call.recurrent[0], spikes, start, stop)
