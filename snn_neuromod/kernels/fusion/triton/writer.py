"""What the kernels over time have in common: what is fixed when they are printed, their arguments, their values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from snn_neuromod.kernels.fusion.graph import Graph, Node, inputs, live
from snn_neuromod.kernels.fusion.trace import Step, invariants
from snn_neuromod.kernels.fusion.triton.expressions import Body
from snn_neuromod.kernels.fusion.triton.gates import gates

__all__ = ["Plan", "Writer", "decision", "load", "whole"]


@dataclass(frozen=True, eq=False)
class Plan:
    """What is fixed when a kernel is printed.

    Attributes:
        step: The neuron.
        needed: Which parameters get a gradient.
        per_step: Which parameters are given per step.
        chunk: Steps K of a chunk.
    """

    step: Step
    needed: tuple[bool, ...]
    per_step: tuple[bool, ...]
    chunk: int = 8

    @property
    def moving(self) -> list[int]:
        """States that a step changes."""
        return self.step.moving

    @cached_property
    def read(self) -> list[int]:
        """Parameters that a step or its reverse pass reads."""
        names = inputs(self.step.roots)
        return [k for k in range(len(self.step.params)) if f"p{k}" in names]

    @cached_property
    def wanted(self) -> list[int]:
        """Parameters whose gradient is asked for and not zero throughout."""
        return [k for k in self.read if self.needed[k] and self.step.grad_params[k].number != 0.0]

    @cached_property
    def gates(self) -> list[Node]:
        """What is zero where the gradient of a spike has no effect, or nothing."""
        return gates(self.step)

    @cached_property
    def num_steady(self) -> int:
        """How many values that depend on parameters alone a step reads."""
        roots, invariant = self.step.roots, invariants()
        read = {*roots, *(a for node in live(roots) if not invariant(node) for a in node.args)}
        return sum(node.op != "const" and invariant(node) for node in read)

    @property
    def graded(self) -> bool:
        """Whether nothing is decided by what a neuron's state or input is, so that another rounding flips nothing."""
        return not self.step.jumps


_BLOCK = (
    "    e = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)",
    "    m = e < E",
    "    row = e // N",
    "    col = e % N",
)


class Writer:
    """What both kernels have in common.

    Args:
        plan: What is printed.
        name: Of the kernel.
        pointers: Arguments that are tensors, beside the parameters.
        flags: Arguments that are known when it is compiled, beside the common ones.
        numbers: Arguments that are numbers, beside the common ones.
        place: Statements that say which neurons the program has.
        fixed: Arguments of which the compiler may know whether they are multiples of 16.
    """

    def __init__(
        self,
        plan: Plan,
        name: str,
        pointers: Sequence[str],
        flags: Sequence[str],
        *,
        numbers: Sequence[str] = (),
        place: Sequence[str] = _BLOCK,
        fixed: Sequence[str] = (),
    ) -> None:
        self.plan, self.lines = plan, list[str]()
        params = [f"p{k}" for k in plan.read]
        numbers = [f"p{k}{axis}" for k in plan.read for axis in "rct"] + ["T", "E", "N", *numbers]
        constants = [*flags, "BLOCK", "REAL", "EMULATED"]
        tensors = [*pointers, *params]
        general = [
            ", ".join(f'"{n}"' for n in names if n not in fixed) for names in (numbers, tensors)
        ]
        self.lines += [
            "@triton.jit(",
            f"    do_not_specialize=[{general[0]}],",
            f"    do_not_specialize_on_alignment=[{general[1]}],",
            ")",
            f"def {name}({', '.join([*tensors, *numbers, *(f'{c}: tl.constexpr' for c in constants)])}):",
            *place,
            "    wide = E.to(tl.int64)",
            "    nothing = tl.zeros([BLOCK], REAL)",
            *(f"    o{k} = {k} * wide" for k in range(plan.chunk + 1)),
        ]
        for k in plan.read:
            self.lines.append(f"    p{k}_at = p{k} + row.to(tl.int64) * p{k}r")
            if plan.per_step[k]:
                self.lines.append(f"    p{k}w = p{k}t.to(tl.int64)")
            else:
                self.lines.append(f"    p{k}_v = {load(f'p{k}_at + col * p{k}c', other='1.0')}")
        self.head: list[str] = []
        self.after_head: list[str] = []

    def finish(self) -> list[str]:
        return [*self.lines, *self.head, *self.after_head]

    def body(self) -> tuple[Body, Graph, list[Node], list[Node]]:
        """Statements of a chunk: with the graph, the steady parameters and the states that it begins with."""
        graph, body = Graph(self.plan.step.graph.dtype), Body(self.head, self.after_head)
        params = [graph.input(f"p{k}") for k in range(len(self.plan.step.params))]
        for k in self.plan.read:
            if not self.plan.per_step[k]:
                body.name(params[k], f"p{k}_v", steady=True)
        state = [graph.input(f"s{k}") for k in range(len(self.plan.step.states))]
        for k, node in enumerate(state):
            body.name(node, f"s{k}_v")
        return body, graph, params, state

    def params_at(
        self, graph: Graph, body: Body, params: Sequence[Node], k: int, ind: str
    ) -> list[Node]:
        """Parameters of step k of a chunk that begins at step `now`."""
        own = list(params)
        for j in self.plan.read:
            if self.plan.per_step[j]:
                own[j] = body.name(graph.input(f"p{j}_{k}"), f"p{j}_{k}")
                self.after_head.append(
                    f"{ind}p{j}_{k} = {load(f'p{j}_at + (now + {k}) * p{j}w + col * p{j}c', f'm{k}', '1.0')}"
                )
        return own


def load(address: str, mask: str = "m", other: str = "0.0") -> str:
    """Read values to calculate with."""
    return f"tl.load({address}, mask={mask}, other={other}).to(REAL)"


def whole(body: Body, node: Node) -> str:
    """A value for each neuron, also where it is a constant."""
    return f"{body.text(node)} + nothing" if node.op == "const" else body.text(node)


def decision(spikes: Node) -> list[Node]:
    """What decides about spikes, which has to round as it did forwards."""
    if spikes.op == "mul":
        return [node for factor in spikes.args for node in decision(factor)]
    return [spikes.args[0]] if spikes.op in ("real", "spike") else []
