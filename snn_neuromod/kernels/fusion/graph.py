"""One expression graph with value numbering: what a step and its reverse pass compute, for one neuron and one step.

A `Graph` makes each `Node` once: equal operations on equal arguments are the same object, so nodes are compared with
`is`, and nodes of one graph in the order of `Node.index` are in an order of evaluation. Constants are folded, in the
precision of the graph's type, and what needs no operation is left out (`fold`).

| operations | arguments -> result |
|---|---|
| input, const | a name; a float or bool |
| add sub mul div max min pow | two reals -> real; NaN wins in max and min |
| neg abs exp expm1 log log1p sqrt sin cos tan tanh sigmoid erf atan floor ceil trunc round | real -> real |
| spike | real -> 1 above 0, else 0; NaN stays |
| gt ge lt le eq ne | two reals -> bool; false with NaN, but for ne |
| and or xor not | bools -> bool |
| where | bool, two of one kind -> that kind |
| real | bool -> 0 or 1 |
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch

from snn_neuromod.kernels.fusion import fold
from snn_neuromod.kernels.fusion.operations import COMMUTATIVE, COMPARISONS, LOGIC


@dataclass(frozen=True, eq=False, slots=True)
class Node:
    """One value.

    Attributes:
        op: "input", "const" or one of `OPERATIONS`.
        args: What it is computed from.
        value: The name of an input, the value of a constant, else None.
        index: Place in its graph; arguments come before what reads them.
    """

    op: str
    args: tuple[Node, ...]
    value: str | float | bool | None
    index: int

    @property
    def is_bool(self) -> bool:
        if self.op == "const":
            return isinstance(self.value, bool)
        return (
            self.op in COMPARISONS
            or self.op in LOGIC
            or (self.op == "where" and self.args[1].is_bool)
        )

    @property
    def number(self) -> float | bool | None:
        """Value of a constant, else None."""
        return None if isinstance(self.value, str) else self.value

    def __repr__(self) -> str:
        if self.op in ("input", "const"):
            return str(self.value)
        return f"{self.op}({', '.join(map(repr, self.args))})"


Value: TypeAlias = "Node | float | bool"


class Graph:
    """Nodes, each made once.

    Args:
        dtype: Type in which constants are folded.
    """

    def __init__(self, dtype: torch.dtype = torch.float64) -> None:
        self.dtype = dtype
        self._nodes: dict[tuple[object, ...], Node] = {}

    def input(self, name: str) -> Node:
        """The input of this name."""
        return self._node("input", (), name)

    def const(self, value: float) -> Node:
        """A constant; int counts as float, bool does not."""
        return self._node("const", (), value if isinstance(value, bool) else float(value))

    def make(self, op: str, *args: Value) -> Node:
        """Result of an operation, simplified; numbers are made constants."""
        nodes = tuple(a if isinstance(a, Node) else self.const(a) for a in args)
        if op in COMMUTATIVE:  # constants last
            nodes = tuple(sorted(nodes, key=lambda node: (node.op == "const", node.index)))
        found = fold.fold(self, op, nodes)
        return found if found is not None else self._node(op, nodes, None)

    def substitute(self, roots: Sequence[Node], given: Mapping[Node, Value]) -> list[Node]:
        """The same expressions over other values: nodes of any graph, made in this one.

        Args:
            roots: What is wanted, nodes of any graph.
            given: What stands in the place of nodes; what only they read is not made. Inputs that are not given keep
                their names.

        Returns:
            The nodes of this graph in the place of `roots`.
        """
        made: dict[Node, Node] = {}
        for node in live(roots, stop=given):
            if node in given:
                value = given[node]
                made[node] = value if isinstance(value, Node) else self.const(value)
            elif node.op in ("input", "const"):
                made[node] = self._node(node.op, (), node.value)
            else:
                made[node] = self.make(node.op, *(made[a] for a in node.args))
        return [made[root] for root in roots]

    def _node(self, op: str, args: tuple[Node, ...], value: str | float | bool | None) -> Node:
        # 1, 1.0 and True are equal in Python, and so are 0.0 and -0.0; their texts are not.
        key = (op, *(a.index for a in args), repr(value))
        if key not in self._nodes:
            self._nodes[key] = Node(op, args, value, len(self._nodes))
        return self._nodes[key]


def live(roots: Iterable[Node], stop: Iterable[Node] = ()) -> list[Node]:
    """All that the roots are computed from, themselves included, in an order of evaluation.

    Args:
        roots: Nodes of one graph.
        stop: Nodes whose arguments do not count; they themselves do.
    """
    stopped, seen, todo = set(stop), set[Node](), list(roots)
    while todo:
        node = todo.pop()
        if node not in seen:
            seen.add(node)
            todo += () if node in stopped else node.args
    return sorted(seen, key=lambda node: node.index)


def every(test: Callable[[str], bool]) -> Callable[[Node], bool]:
    """What tells whether a test holds of the names of all inputs that a node is computed from."""
    found: dict[Node, bool] = {}

    def holds(node: Node) -> bool:
        if node not in found:
            if node.op == "input":
                found[node] = test(str(node.value))
            else:
                found[node] = all(map(holds, node.args))
        return found[node]

    return holds


def inputs(roots: Iterable[Node]) -> set[str]:
    """Names of the inputs that the roots read."""
    return {str(node.value) for node in live(roots) if node.op == "input"}
