"""What of a step is computed when: the parts of a printed pass.

States that feed one another from step to step form a block, and only within a block must the steps follow one another:
what it reads of the input and of earlier blocks is computed for a stretch of steps at once, and so is what nothing in a
block reads, the spikes of graded neurons for one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from snn_neuromod.kernels.backends.eager.known import Known
from snn_neuromod.kernels.fusion.algebra import rewrite
from snn_neuromod.kernels.fusion.graph import Graph, Node, live
from snn_neuromod.kernels.fusion.pytorch.program import Part

__all__ = ["Stage", "Stages"]


class Stage(NamedTuple):
    """One part.

    Attributes:
        part: Its nodes. Inputs are "x", "p0", "s0" a state before the step, "n0" after it, "z" the spikes, "c0" what is
            saved, and results of earlier parts.
        results: Names of what it returns.
        states: Numbers of the states that it advances step by step; None: it takes all steps at once.
    """

    part: Part
    results: tuple[str, ...]
    states: tuple[int, ...] | None


class Stages:
    """The parts of a pass of a step.

    Args:
        known: The step.
        saved: Nodes whose values are kept at every step.
        results: Nodes whose values are returned.
        recurrent: Whether the input of a step depends on the spikes before it.
        exact: Whether the step is computed operation by operation.

    Attributes:
        found: The parts, in order.
        results: Names of the results among what they return.
    """

    def __init__(
        self,
        known: Known,
        saved: Sequence[Node],
        results: Sequence[Node],
        recurrent: bool,
        exact: bool,
    ) -> None:
        self.known, self.recurrent = known, recurrent
        self.found: list[Stage] = []
        self._exact, self._graph = exact, Graph(known.step.graph.dtype)
        self._levels: dict[Node, int] = {}
        self._done = dict[Node, None]()  # in the order in which they are made: so is the text
        self._blocks = self._make_blocks()
        self._inputs = {f"s{k}": j for j, block in enumerate(self._blocks) for k in block}
        self._inputs |= {"x": 0} if recurrent else {}
        self.spikes, self.after, self.saved = known.step.spikes, known.step.after, saved
        self._names = known.leaves() | {node: f"c{j}" for j, node in enumerate(saved)}
        for number, block in enumerate(self._blocks):
            self._advance(number, block)
        rest = {"z": self.spikes, **{self._names[node]: node for node in self.saved}}
        rest = {name: n for name, n in rest.items() if not recurrent and n not in self._done}
        if rest or results:
            self._add(rest, results, None)
        self.results = self.found[-1].results

    def _make_blocks(self) -> list[list[int]]:
        """Numbers of the moving states, those that feed others first."""
        step, moving = self.known.step, self.known.moving
        if self.recurrent:
            return [list(moving)]
        old = step.inputs("s")
        cones = {k: set(live([step.after[k]])) for k in moving}
        reads = {k: {m for m in moving if old[m] in cones[k]} for k in moving}
        sources = {k: _reached(k, reads) for k in moving}
        blocks: list[list[int]] = []
        for k in sorted(moving, key=lambda k: len(sources[k])):
            if not any(k in block for block in blocks):
                mutual = [m for m in moving if m in sources[k] and k in sources[m]]
                blocks.append(mutual or [k])
        return blocks

    def _level(self, node: Node) -> int:
        """Number of the last block that a node needs; -1 for none."""
        if node not in self._levels:
            if node.op == "input":
                self._levels[node] = self._inputs.get(str(node.value), -1)
            else:
                self._levels[node] = max((self._level(a) for a in node.args), default=-1)
        return self._levels[node]

    def _advance(self, number: int, block: Sequence[int]) -> None:
        """A block: first what it reads of earlier ones, then its loop."""
        known, outputs = self.known, [self.spikes, *self.saved]
        roots = [self.after[k] for k in block] + (outputs if self.recurrent else [])
        inside = {n for n in live(roots) if self._level(n) == number and not known.fixed(n)}
        inside |= set(outputs) if self.recurrent else set()
        edges, todo = dict[Node, None](), sorted(inside, key=lambda node: node.index)
        while todo:
            for a in todo.pop(0).args:
                if a in inside or a in self._done or known.fixed(a) or not a.args:
                    continue
                if a.is_bool:  # tensors hold reals
                    inside.add(a)
                    todo.append(a)
                else:
                    edges[a] = None
        named = [n for n in live(edges) if n in self._names and n not in self._done]
        others = [n for n in edges if n not in self._names]
        if named or others:
            self._add({self._names[n]: n for n in named}, others, None)
        targets = {f"n{k}": self.after[k] for k in block if k != known.spiking}
        targets |= {self._names.get(n, "z"): n for n in outputs if n in inside}
        self._add(targets, [], tuple(block))

    def _add(
        self, targets: Mapping[str, Node], results: Sequence[Node], states: tuple[int, ...] | None
    ) -> None:
        """One part over what was computed before."""
        given = {node: self._graph.input(self._names[node]) for node in self._done}
        roots = [*targets.values(), *results]
        if self._exact:
            made = self._graph.substitute(roots, given)
        else:
            made = rewrite(self._graph, roots, given, self.known.fixed)
        count = len(targets)
        part = Part(dict(zip(targets, made[:count], strict=True)), made[count:], states is not None)
        names = tuple(f"e{node.index}" for node in results)
        self.found.append(Stage(part, names, states))
        self._names |= dict(zip(results, names, strict=True))
        self._done |= dict.fromkeys(node for node in roots if node in self._names)


def _reached(start: int, reads: Mapping[int, set[int]]) -> set[int]:
    """States that a state depends on, after any number of steps."""
    found, todo = set[int](), [start]
    while todo:
        more = reads[todo.pop()] - found
        found |= more
        todo += more
    return found
