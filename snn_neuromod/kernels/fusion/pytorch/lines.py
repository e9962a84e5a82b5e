"""Nodes that change with time as operations of PyTorch.

On a CPU truth is a number, 0 or 1, and what `where` chooses is chosen bit by bit: loops over booleans are many
times slower there than those over numbers.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from snn_neuromod.kernels.fusion.graph import Node, live
from snn_neuromod.kernels.fusion.operations import COMPARISONS, LOGIC, OPERATIONS
from snn_neuromod.kernels.fusion.pytorch.preamble import Preamble

__all__ = ["Line", "Lines", "Operand", "Part"]

Operand: TypeAlias = "str | int"
"""A name in the text, or the place of the line that computes it."""


class Part(NamedTuple):
    """One function that is printed.

    Attributes:
        targets: What it writes, by the name of the argument that it is written to.
        results: What it returns.
        loop: Whether its arguments are sequences of tensors, which it goes through.
    """

    targets: Mapping[str, Node]
    results: Sequence[Node] = ()
    loop: bool = False

    @property
    def roots(self) -> list[Node]:
        """All that it computes."""
        return [*self.targets.values(), *self.results]


class Line(NamedTuple):
    """One operation.

    Attributes:
        call: What it is called.
        args: What it reads.
        more: Further arguments.
        kind: Its result: "real", "bool", or "bits" for integers of the size of a real.
        viewed: Whether it takes reals for bits.
    """

    call: str
    args: tuple[Operand, ...]
    more: str = ""
    kind: str = "real"
    viewed: bool = False


class Lines:
    """Operations of one part.

    Args:
        part: What is wanted.
        preamble: Takes what does not change with time.
        exact: Whether results are rounded as the step rounds them; else a product that is added is added in one pass.
        bits: Whether to choose bit by bit.

    Attributes:
        lines: The operations.
        reads: Names of the inputs.
        targets: Where each target is found.
        results: Where each result is found.
    """

    def __init__(self, part: Part, preamble: Preamble, *, exact: bool, bits: bool) -> None:
        self._preamble, self._exact, self._bits = preamble, exact, bits
        self.lines: list[Line] = []
        self._made: dict[tuple[str, Node], Operand] = {}
        stop = filter(preamble.fixed, live(part.roots))
        order = [node for node in live(part.roots, stop) if not preamble.fixed(node)]
        self.reads = [str(n.value) for n in order if n.op == "input"]
        self._uses = Counter(a for n in order for a in n.args)
        self._uses.update(part.roots)
        self._added = {} if exact else self._products(order, part.roots)
        self.targets = {name: self.real(node) for name, node in part.targets.items()}
        self.results = [self._result(node) for node in part.results]

    def _result(self, node: Node) -> Operand:
        return self._preamble.number(node) if self._is_number(node) else self.real(node)

    def _products(
        self, order: Sequence[Node], roots: Sequence[Node]
    ) -> dict[Node, tuple[int, Node]]:
        """Sums with the place and the node of a product that is added in the same pass."""
        found: dict[Node, tuple[int, Node]] = {}
        taken = set(roots)
        for node in order:
            for k in {"add": (1, 0), "sub": (1,)}.get(node.op, ()):
                a = node.args[k]
                free = a.op == "mul" and a not in taken and self._uses[a] == 1
                if free and not self._preamble.fixed(a):
                    found[node] = k, a
                    taken.add(a)
                    break
        return found

    def _line(self, call: str, *args: Operand, **how: Any) -> int:
        self.lines.append(Line(call, args, **how))
        return len(self.lines) - 1

    def real(self, node: Node) -> Operand:
        """A value as a tensor of reals."""
        if self._preamble.fixed(node):
            return self._preamble.tensor(node)
        if node.op == "input":
            return str(node.value)
        key = ("real", node)
        if key not in self._made:
            self._made[key] = self._real(node)
        return self._made[key]

    def _real(self, node: Node) -> Operand:
        if node.op == "real":
            return self.mask(node.args[0])
        if node.op == "where":
            return self._chosen(*node.args)
        if node.op == "spike":
            return self._line("ceil", self._line("clamp", self.real(*node.args), more=", 0, 1"))
        if node in self._added:
            return self._sum(node, *self._added[node])
        scaled = None if self._exact else self._scaled(node)
        if scaled is not None:
            return scaled
        return self._line(OPERATIONS[node.op].torch, *map(self.real, node.args))

    def _sum(self, node: Node, place: int, product: Node) -> Operand:
        """Value a + u v, a - u v or y + p (x - y) in one pass."""
        other, preamble = node.args[1 - place], self._preamble
        first, second = sorted(product.args, key=preamble.fixed)  # what is fixed comes second
        for p, difference in ((first, second), (second, first)):
            blend = node.op == "add" and difference.op == "sub" and difference.args[1] is other
            if blend and self._uses[difference] == 1 and not preamble.fixed(other):
                return self._line("lerp", *map(self.real, (other, difference.args[0], p)))
        minus = node.op == "sub"
        if self._is_number(second):
            more = f", alpha={'-' if minus else ''}{preamble.number(second)}"
            return self._line("add", self.real(other), self.real(first), more=more)
        more = ", value=-1" if minus else ""
        return self._line("addcmul", *map(self.real, (other, first, second)), more=more)

    def _scaled(self, node: Node) -> Operand | None:
        """Value k (x + c) or k (x - c) of numbers k and c in one pass, k x + k c; None if it is none of these."""
        preamble = self._preamble
        for moved, k in (node.args, node.args[::-1]) if node.op == "mul" else ():
            if moved.op not in ("add", "sub") or self._uses[moved] > 1 or not self._is_number(k):
                continue
            for place, c in enumerate(moved.args):
                x = moved.args[1 - place]
                if not self._is_number(c) or preamble.fixed(x):
                    continue
                start = k if c.number == 1 else Node("mul", (c, k), None, -1)
                if moved.op == "sub" and place == 1:
                    start = Node("neg", (start,), None, -1)
                sign = "-" if moved.op == "sub" and place == 0 else ""
                more = f", alpha={sign}{preamble.number(k)}"
                return self._line("add", preamble.tensor(start), self.real(x), more=more)
        return None

    def _is_number(self, node: Node) -> bool:
        return self._preamble.fixed(node) and self._preamble.is_number(node)

    def mask(self, node: Node) -> Operand:
        """A truth as 0 or 1."""
        if self._preamble.fixed(node):
            return self._preamble.mask(node)
        key = ("mask", node)
        if key not in self._made:
            self._made[key] = self._mask(node)
        return self._made[key]

    def _mask(self, node: Node) -> Operand:
        if node.op in COMPARISONS:
            return self._line(OPERATIONS[node.op].torch, *map(self.real, node.args))
        if node.op == "where" or not self._bits:
            return self._line("copy", self.truth(node))
        return self._logic(node.op, [self.mask(a) for a in node.args])

    def _logic(self, op: str, args: list[Operand]) -> Operand:
        if op == "not":
            return self._line("sub", self._preamble.tensor(_ONE), *args)
        return self._line({"and": "mul", "or": "maximum", "xor": "ne"}[op], *args)

    def truth(self, node: Node) -> Operand:
        """A truth as booleans."""
        if self._preamble.fixed(node):
            return self._preamble.tensor(node)
        key = ("truth", node)
        if key not in self._made:
            get = self.truth if node.op in LOGIC or node.op == "where" else self.real
            self._made[key] = self._line(
                OPERATIONS[node.op].torch, *map(get, node.args), kind="bool"
            )
        return self._made[key]

    def _chosen(self, condition: Node, a: Node, b: Node) -> Operand:
        """`where` of reals."""
        if a.number == 0 and b.number == 1:
            return self._logic("not", [self.mask(condition)])
        # Between two of what does not change there is no difference of the shape of a step.
        if not self._bits or (self._preamble.fixed(a) and self._preamble.fixed(b)):
            return self._line("where", self.truth(condition), self.real(a), self.real(b))
        key = ("bits", condition)
        if key not in self._made:  # 0 and 1 become no bit and every bit
            copied = self._line("copy", self.mask(condition), kind="bits")
            self._made[key] = self._line("neg", copied, kind="bits")
        chosen = self._made[key]
        if _is_zero(b):
            return self._line("bitwise_and", self.real(a), chosen, viewed=True)
        if _is_zero(a):
            others = self._line("bitwise_not", chosen, kind="bits")
            return self._line("bitwise_and", self.real(b), others, viewed=True)
        y = self.real(b)
        differ = self._line("bitwise_xor", self.real(a), y, kind="bits", viewed=True)
        differ = self._line("bitwise_and", differ, chosen, kind="bits")
        return self._line("bitwise_xor", differ, y, viewed=True)


_ONE = Node("const", (), 1.0, 0)


def _is_zero(node: Node) -> bool:
    return node.number == 0 and math.copysign(1.0, float(node.number or 0.0)) > 0
