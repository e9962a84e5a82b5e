"""The forward pass of a sequence, printed from the neuron's step: its parts in turn, a stretch of steps at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import cycle, islice
from typing import Any

import torch
from torch import Tensor

from snn_neuromod.kernels.backends.eager.blocks import stages
from snn_neuromod.kernels.backends.eager.known import Known
from snn_neuromod.kernels.call import Call
from snn_neuromod.kernels.fusion.graph import Node, live
from snn_neuromod.kernels.fusion.pytorch.program import Program

__all__ = ["Forward"]

# In elements: of an array that one thread does alone, of a round of the widest vectorised loop.
_ONE_THREAD, _VECTOR = 1 << 15, 32
_PLAIN = frozenset(["input", "const", "neg", "abs", "max", "min", "real", "spike", "where"])
_ROUNDED = frozenset(["add", "sub", "mul", "div"])


class Forward:
    """Printed forward pass.

    Args:
        known: The step.
        saved: Nodes that are kept for the reverse pass.
        recurrent: Whether the input of a step depends on the spikes before it.
        bits: Whether it is for a CPU.
    """

    def __init__(self, known: Known, saved: Sequence[Node], *, recurrent: bool, bits: bool) -> None:
        self.known = known
        self.stages = stages(known, saved, recurrent=recurrent)
        parts = [stage.part for stage in self.stages]
        self.program = Program(parts, known.fixed, known.number, exact=known.exact, bits=bits)
        self.whole = {
            int(name[1:])
            for stage, reads in zip(self.stages, self.program.reads, strict=True)
            for name in reads
            if name[0] in "sn" and int(name[1:]) not in (stage.states or ())
        }
        self._simple = self._is_simple()

    def _is_simple(self) -> bool:
        """Whether what is computed for many steps at once is rounded alike wherever it lies in memory."""
        simple = _PLAIN | (_ROUNDED if self.known.exact else frozenset())
        roots = [r for stage in self.stages if stage.states is None for r in stage.part.roots]
        return all(n.op in simple or n.is_bool or self.known.fixed(n) for n in live(roots))

    def __call__(
        self,
        call: Call,
        params: Mapping[str, Tensor],
        spikes: Tensor,
        tracks: Mapping[str, Tensor],
        *,
        longest: int,
    ) -> list[Tensor]:
        """Run a sequence.

        Args:
            call: The sequence.
            params: Parameters by "p0", "p1", ...; those per step with as many steps as the input.
            spikes: Spikes, written here.
            tracks: What is kept, written here: states "s0", (T + 1, batch, neuron), and saved nodes "c0",
                (T, batch, neuron).
            longest: Most steps that may be computed at once.

        Returns:
            The state after the last step, which may share memory with anything.
        """
        current, stretch = call.current, longest
        if not self._simple and current.device.type == "cpu":
            stretch = _reproducible(longest, current[0].numel(), torch.get_num_threads())
        run = _Run(self, call, params, spikes, tracks, stretch)
        for start in range(0, len(current), stretch):
            run.advance(start, min(start + stretch, len(current)))
        return run.state


class _Run:
    """One call, with its memory."""

    def __init__(
        self,
        forward: Forward,
        call: Call,
        params: Mapping[str, Tensor],
        spikes: Tensor,
        tracks: Mapping[str, Tensor],
        stretch: int,
    ) -> None:
        known, like = forward.known, spikes[0]
        self.forward, self.call, self.spikes, self.tracks = forward, call, spikes, tracks
        self.state = [*call.state]
        self.given = {"x": call.current, "z": spikes} | {
            name: track for name, track in tracks.items() if name[0] == "c"
        }
        fixed = {f"s{k}": s for k, s in enumerate(self.state) if k not in known.moving}
        for (name, p), kind in zip(params.items(), known.kinds, strict=True):
            if kind == "steps":
                self.given[name] = p.expand(spikes.shape)
            else:
                fixed[name] = p
        self.functions = forward.program.bind(like, fixed)
        self.scratch: dict[int, Any] = {}
        for k in known.moving:
            if f"s{k}" in tracks:
                tracks[f"s{k}"][0] = self.state[k]
            elif k != known.spiking:
                count = stretch + 1 if k in forward.whole else 2
                scratch = like.new_empty((count, *like.shape))
                self.scratch[k] = scratch if k in forward.whole else scratch.unbind(0)

    def advance(self, start: int, stop: int) -> None:
        """A stretch of steps."""
        values: dict[str, Tensor] = {name: value[start:stop] for name, value in self.given.items()}
        rows: dict[str, Any] = {"x": self._received(start, stop)} if self.call.recurrent else {}
        reads = self.forward.program.reads
        for stage, names, function in zip(self.forward.stages, reads, self.functions, strict=True):
            arguments = [*names, *stage.part.targets]
            if stage.states is None:
                found = function(self.spikes[start:stop], *(values[name] for name in arguments))
                values |= dict(zip(stage.results, found, strict=True))
                continue
            for k in stage.states:
                self._place(k, values, rows, start, stop)
            for name in arguments:
                if name not in rows:
                    rows[name] = values[name].unbind(0)
            function(*(rows[name] for name in arguments))
            for k in stage.states:
                last = rows["z" if k == self.forward.known.spiking else f"n{k}"]
                self.state[k] = last[-1]

    def _received(self, start: int, stop: int) -> Iterator[Tensor]:
        """Whole input of one step after another of a recurrent layer; the spikes come in meanwhile."""
        groups, past = (
            [(group.weights.T, group) for group in self.call.synapses],
            self.call.recurrent[0],
        )
        for t in range(start, stop):
            current = self.call.current[t]
            for w, group in groups:
                before = t - group.delay
                sent = self.spikes[before] if before >= 0 else past[before]
                current = current + group.select(sent) @ w
            yield current

    def _place(
        self,
        k: int,
        values: dict[str, Tensor],
        rows: dict[str, Any],
        start: int,
        stop: int,
    ) -> None:
        """Where a state is before and after each step."""
        before, after, count = f"s{k}", f"n{k}", stop - start
        if k == self.forward.known.spiking:
            rows["z"] = emitted = self.spikes[start:stop].unbind(0)
            rows[before] = [self.state[k], *emitted[:-1]]
            if k in self.forward.whole:
                values[before] = torch.cat([self.state[k][None], self.spikes[start : stop - 1]])
        elif before in self.tracks:
            track = self.tracks[before][start : stop + 1]
            values[before], values[after] = track[:-1], track[1:]
        elif k in self.forward.whole:
            scratch = self.scratch[k][: count + 1]
            scratch[0].copy_(self.state[k])
            values[before], values[after] = scratch[:-1], scratch[1:]
        else:
            turns = sorted(self.scratch[k], key=lambda s: s is self.state[k])  # not over the state
            rows[after] = [*islice(cycle(turns), count)]
            rows[before] = [self.state[k], *rows[after][:-1]]


@cache
def _reproducible(longest: int, per_step: int, threads: int) -> int:
    """Longest stretch in which results do not depend on where a step lies, so that segments give the same run.

    On a CPU, PyTorch's loops round the last elements of an array, and of the part of it that goes to one thread, in
    another way than the rest, unless they fill a whole vector.
    """

    def steady(total: int) -> bool:
        parts = min(threads, -(-total // _ONE_THREAD))
        return per_step % _VECTOR == 0 and (parts <= 1 or total % (parts * _VECTOR) == 0)

    found = 1
    while found < longest and steady((found + 1) * per_step):
        found += 1
    return found
