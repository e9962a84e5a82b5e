"""What of a step is computed when: the parts of a printed pass.

States that feed one another from step to step form a block, and only within a block must the steps follow one another:
what it reads of the input and of earlier blocks is computed for a stretch of steps at once, and so is what nothing in a
block reads, the spikes of graded neurons for one.
"""

from __future__ import annotations

from collections import Counter
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
        self._done = set[Node]()
        self._blocks = self._make_blocks()
        leaves = known.leaves() | {node: f"c{j}" for j, node in enumerate(saved)}
        roots = [known.step.spikes, *known.step.after, *saved, *results]
        made = roots if exact else self._ordered(roots)
        states, last = 1 + len(known.step.after), len(roots) - len(results)
        self.spikes, self.after, self.saved = made[0], made[1:states], made[states:last]
        pairs = zip(roots, made, strict=True)
        self._names = {new: leaves[old] for old, new in pairs if old in leaves}
        for number, block in enumerate(self._blocks):
            self._advance(number, block)
        rest = {"z": self.spikes, **{self._names[node]: node for node in self.saved}}
        rest = {name: node for name, node in rest.items() if node not in self._done}
        if rest or results:
            self._add(rest, made[last:], None)
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
                self._levels[node] = self._level_of_input(str(node.value))
            else:
                self._levels[node] = max((self._level(a) for a in node.args), default=-1)
        return self._levels[node]

    def _level_of_input(self, name: str) -> int:
        if name == "x":
            return 0 if self.recurrent else -1
        states = [int(name[1:])] if name[0] == "s" else []
        return next((j for j, block in enumerate(self._blocks) for k in states if k in block), -1)

    def _ordered(self, roots: Sequence[Node]) -> list[Node]:
        """The same values where in sums what is known first comes first: it is added for all steps at once."""
        graph, made = self.known.step.graph, dict[Node, Node]()
        order = live(roots)
        uses = Counter(a for node in order for a in node.args)
        uses.update(roots)
        for node in order:
            made[node] = node
            if node.op in ("add", "sub"):
                terms = _terms(node, uses)
                ranks = [(-2 if self.known.fixed(n) else self._level(n)) for _, n in terms]
                if len(ranks) > 2 and len(set(ranks)) > 1:
                    pairs = sorted(zip(ranks, terms, strict=True), key=lambda pair: pair[0])
                    made[node] = _total(graph, [(sign, made[n]) for _, (sign, n) in pairs])
                    continue
            if any(made[a] is not a for a in node.args):
                made[node] = graph.make(node.op, *(made[a] for a in node.args))
        return [made[root] for root in roots]

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
        self._done |= {node for node in roots if node in self._names}


def _terms(node: Node, uses: Mapping[Node, int]) -> list[tuple[int, Node]]:
    """Signs and terms of a sum and of the sums in it that nothing else reads."""
    found = []
    for place, a in enumerate(node.args):
        sign = -1 if node.op == "sub" and place == 1 else 1
        inner = _terms(a, uses) if a.op in ("add", "sub") and uses[a] == 1 else [(1, a)]
        found += [(sign * s, n) for s, n in inner]
    return found


def _total(graph: Graph, terms: Sequence[tuple[int, Node]]) -> Node:
    (sign, total), *rest = terms
    total = total if sign == 1 else graph.make("neg", total)
    for sign, term in rest:
        total = graph.make("add" if sign == 1 else "sub", total, term)
    return total


def _reached(start: int, reads: Mapping[int, set[int]]) -> set[int]:
    """States that a state depends on, after any number of steps."""
    found, todo = set[int](), [start]
    while todo:
        more = reads[todo.pop()] - found
        found |= more
        todo += more
    return found
