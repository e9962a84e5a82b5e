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
from snn_neuromod.kernels.fusion.graph import Graph, Node, inputs, live
from snn_neuromod.kernels.fusion.operations import COSTLY
from snn_neuromod.kernels.fusion.trace import Step, invariants

EVERY = 16
"""Steps of a stretch, in `call.h` too."""


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

    @property
    def roots(self) -> list[Node]:
        """All of them."""
        return [self.current, *self.state.values(), *self.params.values()]


class Plan:
    """What is printed. All nodes are of one graph; "c0", "c1", ... are results of costly functions kept by `again`.

    Args:
        step: The traced step.
        exact: Whether both passes compute what PyTorch would, operation by operation.

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
    """

    def __init__(self, step: Step, *, exact: bool = False) -> None:
        self.step, self._exact, self._invariant = step, exact, invariants()
        self.graph, self.moving = Graph(step.graph.dtype), step.moving
        self._learned = range(len(step.params) - step.num_numbers)
        first, other = self._adjoints()
        costly = self._costly((first, other))
        self.exact = exact or step.jumps
        forward = [step.spikes, *(step.after[k] for k in self.moving), *costly]
        made = self.graph.substitute(forward, {}) if self.exact else self._rewritten(forward, {})
        num = 1 + len(self.moving)
        self.spikes, self.costly = made[0], made[num:]
        self.after = dict(zip(self.moving, made[1:num], strict=True))
        # What the reverse pass finds in rows: states after the step, and results of costly functions.
        rows = {
            step.after[k]: self.graph.input(f"n{k}") for k in self.moving if step.after[k].args
        } | {node: self.graph.input(f"c{j}") for j, node in enumerate(costly)}
        self.last, self.other, self.bare, alone = (
            self._in_rows(reverse, rows)
            for reverse in (first, other, replace(other, params={}), replace(first, params={}))
        )
        self.kept = self._kept(inputs([*self.last.roots, *self.other.roots]), costly)
        moving = {f"s{k}" for k in self.moving}
        read = inputs([*alone.roots, *self.bare.roots])
        self.reads = any(name[0] in "nxc" or name in moving for name in read)

    def _adjoints(self) -> tuple[Reverse, Reverse]:
        """Reverse passes of the last step and of all others, in which some gradients are constant."""
        first = other = self._reverse({})
        steady = {k: g for k, g in first.state.items() if g.number is not None}
        if steady:  # constant from the second step on, if they remain so
            after = self._reverse(steady)
            if all(after.state[k] is g for k, g in steady.items()):
                other = after
        return self._written(first, ()), self._written(other, () if other is first else steady)

    def _written(self, reverse: Reverse, without: Collection[int]) -> Reverse:
        """Without the gradients that stay in their rows as they are."""
        adjoints = self.step.inputs("a")
        state = {
            k: g for k, g in reverse.state.items() if k not in without and g is not adjoints[k]
        }
        return Reverse(reverse.current, state, reverse.params)

    def _reverse(self, constant: Mapping[int, Node]) -> Reverse:
        step, adjoints = self.step, self.step.inputs("a")
        given = {adjoints[k]: node for k, node in constant.items()}
        made = iter(step.graph.substitute(step.gradients(self._learned), given))
        current, state = next(made), {k: next(made) for k in range(len(adjoints))}
        return Reverse(current, state, dict(zip(self._learned, made, strict=True)))

    def _costly(self, reverses: Sequence[Reverse]) -> list[Node]:
        """Results of costly functions of the forward pass that the reverse pass reads."""
        step = self.step
        ahead = set(live([step.spikes, *step.after]))
        known = {step.after[k] for k in self.moving if step.after[k].args}
        found = set[Node]()
        for reverse in reverses:
            stop = known | {node for node in ahead if node.op in COSTLY}
            found |= set(live(reverse.roots, stop=stop)) & ahead
        wanted = [node for node in found if node.op in COSTLY and node not in known]
        wanted = [node for node in wanted if not self._invariant(node)]
        return sorted(wanted, key=lambda node: node.index)

    def _in_rows(self, reverse: Reverse, rows: Mapping[Node, Node]) -> Reverse:
        made = iter(self._rewritten(reverse.roots, rows))
        return Reverse(
            next(made),
            {k: next(made) for k in reverse.state},
            {k: next(made) for k in reverse.params},
        )

    def _rewritten(self, roots: Sequence[Node], rows: Mapping[Node, Node]) -> list[Node]:
        if self._exact:
            return self.graph.substitute(roots, rows)
        return rewrite(self.graph, roots, rows, self._invariant)

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
