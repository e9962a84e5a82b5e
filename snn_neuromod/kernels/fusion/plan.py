"""What the kernels of a step compute, keep and find again.

The forward pass goes through time and keeps the states every `EVERY` steps. The reverse pass takes these stretches
from the last to the first: it finds the states of a stretch again, with the results of costly functions that both
passes need, and goes back through it. What it does not read is not kept.

Where spikes jump, a rounding error may move one: the forward pass of such a step computes exactly what the step does.
All else may be rewritten, see `algebra`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from snn_neuromod.kernels.fusion.algebra import rewrite
from snn_neuromod.kernels.fusion.graph import Graph, Node, every, inputs, live
from snn_neuromod.kernels.fusion.operations import COSTLY
from snn_neuromod.kernels.fusion.trace import Step

EVERY = 16


@dataclass(frozen=True)
class Reverse:
    """One step of the reverse pass.

    Attributes:
        current: Gradient of the input.
        state: Gradients of the states before the step that have to be written, by number.
        params: Gradients of the needed parameters, by number.
    """

    current: Node
    state: Mapping[int, Node]
    params: Mapping[int, Node]


@dataclass(frozen=True)
class Plan:
    """What is printed. All nodes are of one graph; "c0", "c1", ... are results of costly functions kept by `again`.

    Attributes:
        graph: The graph.
        exact: Whether the forward pass computes what the step does, operation by operation.
        moving: Numbers of the states that change.
        kept: Those that the reverse pass reads, or that are needed to find what it reads.
        reads: Whether the reverse pass reads states or results of costly functions where no parameter needs a gradient.
        spikes: Spikes of a step.
        after: The moving states after it.
        costly: Nodes of the forward pass whose results the reverse pass reads.
        last: The first step that the reverse pass takes.
        other: All others, in which gradients of some states may be constant.
        bare: The same without gradients of parameters.
        zero: Numbers of the states whose gradient is always 0.
    """

    graph: Graph
    exact: bool
    moving: tuple[int, ...]
    kept: tuple[int, ...]
    reads: bool
    spikes: Node
    after: Mapping[int, Node]
    costly: tuple[Node, ...]
    last: Reverse
    other: Reverse
    bare: Reverse
    zero: frozenset[int]


def invariant(node: Node, memo: dict[Node, bool]) -> bool:
    """Whether a value depends on parameters alone, and so does not change with time."""
    return every(node, lambda name: name[0] == "p", memo)


def plan(step: Step, *, seeded: bool = True, exact: bool = False) -> Plan:
    """What the kernels of a step compute.

    Args:
        step: The traced step.
        seeded: Whether gradients of the last state are given; else they are 0.
        exact: Whether both passes compute what PyTorch would, operation by operation.
    """
    return _Planner(step, seeded, exact).plan()


class _Planner:
    def __init__(self, step: Step, seeded: bool, exact: bool) -> None:
        self.step, self.seeded, self.exact = step, seeded, exact
        self.moving, self.learned = step.moving, range(len(step.params) - step.num_numbers)
        self.memo: dict[Node, bool] = {}
        self.graph = Graph(step.graph.dtype)

    def plan(self) -> Plan:
        step = self.step
        first, other, zero = self._adjoints(self.seeded)
        widest = self._adjoints(True)[:2] if not self.seeded else (first, other)
        costly = self._costly(widest)
        exact = self.exact or step.jumps
        forward = [step.spikes, *(step.after[k] for k in self.moving), *costly]
        made = self.graph.substitute(forward, {}) if exact else self._rewritten_nodes(forward, {})
        num = 1 + len(self.moving)
        # What the reverse pass finds in rows: states after the step, and results of costly functions.
        rows = {
            step.after[k]: self.graph.input(f"n{k}") for k in self.moving if step.after[k].args
        } | {node: self.graph.input(f"c{j}") for j, node in enumerate(costly)}
        bare = replace(other, params={})
        reverses = [self._rewritten(reverse, rows) for reverse in (first, other, bare)]
        alone = self._rewritten(replace(first, params={}), rows), reverses[2]
        read = {name for reverse in widest for name in self._names(self._rewritten(reverse, rows))}
        return Plan(
            self.graph,
            exact,
            tuple(self.moving),
            self._kept(read, costly),
            any(name[0] in "nxc" or self._moves(name) for r in alone for name in self._names(r)),
            made[0],
            dict(zip(self.moving, made[1:num], strict=True)),
            tuple(made[num:]),
            reverses[0],
            reverses[1],
            reverses[2],
            zero,
        )

    def _invariant(self, node: Node) -> bool:
        return invariant(node, self.memo)

    def _adjoints(self, seeded: bool) -> tuple[Reverse, Reverse, frozenset[int]]:
        """Reverse passes of the last step and of all others, in which some gradients are constant."""
        zero = frozenset() if seeded else self.step.silent()
        first = other = self._reverse({k: self.step.graph.const(0.0) for k in zero})
        steady = {k: g for k, g in first.state.items() if g.number is not None}
        if steady.keys() > zero:  # constant from the second step on, if they remain so
            after = self._reverse(steady)
            if all(after.state[k] is g for k, g in steady.items()):
                other = after
        without = zero if other is first else steady.keys()
        return self._written(first, zero), self._written(other, without), zero

    def _written(self, reverse: Reverse, without: Collection[int]) -> Reverse:
        """Without the gradients that stay in their rows as they are."""
        adjoints = self.step.inputs("a")
        state = {
            k: g for k, g in reverse.state.items() if k not in without and g is not adjoints[k]
        }
        return Reverse(reverse.current, state, reverse.params)

    def _reverse(self, constant: Mapping[int, Node]) -> Reverse:
        step, graph = self.step, self.step.graph
        given = dict(zip(step.inputs("a"), step.inputs("a"), strict=True))
        given |= {step.inputs("a")[k]: node for k, node in constant.items()}
        roots = [
            step.grad_current,
            *step.grad_before,
            *(step.grad_params[k] for k in self.learned),
        ]
        made = graph.substitute(roots, given)
        num = len(step.states) + 1
        return Reverse(
            made[0],
            dict(enumerate(made[1:num])),
            dict(zip(self.learned, made[num:], strict=True)),
        )

    def _roots(self, reverse: Reverse) -> list[Node]:
        return [reverse.current, *reverse.state.values(), *reverse.params.values()]

    def _costly(self, reverses: Sequence[Reverse]) -> list[Node]:
        """Results of costly functions of the forward pass that the reverse pass reads."""
        step = self.step
        ahead = set(live([step.spikes, *step.after]))
        known = {step.after[k] for k in self.moving if step.after[k].args}
        found = set[Node]()
        for reverse in reverses:
            stop = known | {node for node in ahead if node.op in COSTLY}
            found |= set(live(self._roots(reverse), stop=stop)) & ahead
        wanted = [node for node in found if node.op in COSTLY and node not in known]
        wanted = [node for node in wanted if not self._invariant(node)]
        return sorted(wanted, key=lambda node: node.index)

    def _rewritten(self, reverse: Reverse, rows: Mapping[Node, Node]) -> Reverse:
        made = iter(self._rewritten_nodes(self._roots(reverse), rows))
        return Reverse(
            next(made),
            {k: next(made) for k in reverse.state},
            {k: next(made) for k in reverse.params},
        )

    def _rewritten_nodes(self, roots: Sequence[Node], rows: Mapping[Node, Node]) -> list[Node]:
        if self.exact:
            return self.graph.substitute(roots, rows)
        return rewrite(self.graph, roots, rows, self._invariant)

    def _names(self, reverse: Reverse) -> set[str]:
        return inputs(self._roots(reverse))

    def _kept(self, read: set[str], costly: Sequence[Node]) -> tuple[int, ...]:
        """Moving states that are read, and those that are read to find them again."""
        kept, todo = set[int](), set(read)
        while todo:
            name = todo.pop()
            if name[0] == "c":
                todo |= inputs([costly[int(name[1:])]])
            elif name[0] in "sn" and int(name[1:]) in self.moving and int(name[1:]) not in kept:
                kept.add(int(name[1:]))
                todo |= inputs([self.step.after[int(name[1:])]])
        return tuple(sorted(kept))

    def _moves(self, name: str) -> bool:
        return name[0] == "s" and int(name[1:]) in self.moving
