"""A pass of a sequence, printed from a step: its parts in turn, a stretch of steps at once, in either direction."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, cached_property
from itertools import cycle, islice
from typing import Any, TypeAlias

import torch
from torch import Tensor

from snn_neuromod.kernels.backends.eager.blocks import Stages
from snn_neuromod.kernels.backends.eager.known import Known
from snn_neuromod.kernels.fusion.graph import Node, live
from snn_neuromod.kernels.fusion.pytorch.program import Program

__all__ = ["Pass", "Printed"]

Arriving: TypeAlias = "Callable[[int, int], Iterable[Tensor]] | None"
"""Whole inputs of the steps of a stretch, one after another, where they depend on results of steps before."""

# In elements: of an array that one thread does alone, of a round of the widest vectorised loop.
_ONE_THREAD, _VECTOR = 1 << 15, 32
_PLAIN = frozenset(["input", "const", "neg", "abs", "max", "min", "real", "spike", "where"])
_ROUNDED = frozenset(["add", "sub", "mul", "div"])


class Printed:
    """What is printed of a step for a pass.

    Args:
        known: The step.
        saved: Nodes whose values are kept at every step.
        results: Nodes whose values a pass returns.
        recurrent: Whether the input of a step depends on the results of those before it.
        bits: Whether it is for a CPU.
        back: Whether the last step comes first; such a pass need not round as the step does.
    """

    def __init__(
        self,
        known: Known,
        saved: Sequence[Node],
        results: Sequence[Node] = (),
        *,
        recurrent: bool,
        bits: bool,
        back: bool = False,
    ) -> None:
        self.known, self.back, self.saved = known, back, [f"c{j}" for j in range(len(saved))]
        self.exact = known.exact and not back
        stages = Stages(known, saved, results, recurrent, self.exact)
        self.stages, self.results = stages.found, stages.results
        parts = [stage.part for stage in self.stages]
        self.program = Program(parts, known.fixed, known.number, exact=self.exact, bits=bits)
        self.whole = {
            int(name[1:])
            for stage, reads in zip(self.stages, self.program.reads, strict=True)
            for name in reads
            if name[0] in "sn" and int(name[1:]) not in (stage.states or ())
        }

    @cached_property
    def _alike(self) -> bool:
        """Whether what is computed for many steps at once is rounded alike wherever it lies in memory."""
        simple = _PLAIN | (_ROUNDED if self.exact else frozenset())
        roots = [r for stage in self.stages if stage.states is None for r in stage.part.roots]
        return all(n.op in simple or n.is_bool or self.known.fixed(n) for n in live(roots))

    def stretch(self, longest: int, like: Tensor) -> int:
        """Most steps at once so that results do not depend on where a step lies in memory.

        Args:
            longest: Most steps that may be computed at once.
            like: A tensor of one step.
        """
        if self._alike or like.device.type != "cpu":
            return longest
        return _reproducible(longest, like.numel(), torch.get_num_threads())


class Pass:
    """One pass, with its memory.

    Args:
        printed: What is printed for it.
        current: Input, (T, batch, neuron).
        state: State before the first step that is taken.
        params: Parameters by "p0", "p1", ...; those per step with as many steps as the input.
        out: Spikes, written here.
        tracks: What is kept of all steps, written here: states "s0", (T + 1, batch, neuron), and saved nodes "c0",
            (T, batch, neuron).
        stretch: Most steps that are computed at once.
        arriving: Whole input of a recurrent layer.

    Attributes:
        state: The state after the last step that was taken, which may share memory with anything.
    """

    def __init__(
        self,
        printed: Printed,
        current: Tensor,
        state: Sequence[Tensor],
        params: Mapping[str, Tensor],
        out: Tensor,
        tracks: Mapping[str, Tensor],
        stretch: int,
        arriving: Arriving = None,
    ) -> None:
        known, like = printed.known, out[0]
        self.printed, self.arriving, self.tracks = printed, arriving, tracks
        self.state, self.out = [*state], out
        self.given = {"x": current, "z": out}
        self.given |= {name: tracks[name] for name in printed.saved if name in tracks}
        fixed = {f"s{k}": s for k, s in enumerate(state) if k not in known.moving}
        for (name, p), kind in zip(params.items(), known.kinds, strict=True):
            if kind == "steps":
                self.given[name] = p.expand(out.shape)
            else:
                fixed[name] = p
        self.functions = printed.program.bind(like, fixed)
        self.passing = {
            name: like.new_empty(stretch, *like.shape)
            for name in printed.saved
            if name not in tracks
        }
        self.scratch: dict[int, Any] = {}
        for k in known.moving:
            if f"s{k}" in tracks:
                tracks[f"s{k}"][0] = self.state[k]
            elif k != known.spiking:
                count = stretch + 1 if k in printed.whole else 2
                scratch = like.new_empty((count, *like.shape))
                self.scratch[k] = scratch if k in printed.whole else scratch.unbind(0)

    def advance(self, start: int, stop: int) -> list[Any]:
        """A stretch of steps; what `Printed` calls results, of all its steps."""
        printed = self.printed
        values: dict[str, Any] = {name: value[start:stop] for name, value in self.given.items()}
        values |= {name: value[: stop - start] for name, value in self.passing.items()}
        rows: dict[str, Any] = {"x": self.arriving(start, stop)} if self.arriving else {}
        reads = printed.program.reads
        for stage, names, function in zip(printed.stages, reads, self.functions, strict=True):
            arguments = [*names, *stage.part.targets]
            if stage.states is None:
                found = function(values["z"], *(values[name] for name in arguments))
                values |= dict(zip(stage.results, found, strict=True))
                continue
            for k in stage.states:
                self._place(k, values, rows, start, stop)
            for name in arguments:
                if name not in rows:
                    rows[name] = self._in_turn(values[name])
            function(*(rows[name] for name in arguments))
            for k in stage.states:
                self.state[k] = rows["z" if k == printed.known.spiking else f"n{k}"][-1]
        return [values[name] for name in printed.results]

    def _in_turn(self, values: Tensor) -> Sequence[Tensor]:
        """Values of each step in the order in which these are taken."""
        return values.unbind(0)[:: -1 if self.printed.back else 1]

    def _place(
        self, k: int, values: dict[str, Any], rows: dict[str, Any], start: int, stop: int
    ) -> None:
        """Where a state is before and after each step."""
        before, after, count, back = f"s{k}", f"n{k}", stop - start, self.printed.back
        state = self.state[k]
        if k == self.printed.known.spiking:
            rows["z"] = emitted = self._in_turn(values["z"])
            rows[before] = [state, *emitted[:-1]]
            if k in self.printed.whole:
                others = self.out[start + 1 : stop] if back else self.out[start : stop - 1]
                parts = [others, state[None]] if back else [state[None], others]
                values[before] = torch.cat(parts)
        elif before in self.tracks or k in self.printed.whole:
            if before in self.tracks:
                whole = self.tracks[before][start : stop + 1]
            else:
                whole = self.scratch[k][: count + 1]
                whole[count if back else 0].copy_(state)
            ends = whole[:-1], whole[1:]
            values[before], values[after] = ends[::-1] if back else ends
        else:
            turns = sorted(self.scratch[k], key=lambda s: s is state)  # not over the state
            rows[after] = [*islice(cycle(turns), count)]
            rows[before] = [state, *rows[after][:-1]]


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
