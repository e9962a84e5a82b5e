"""Expressions in C: rows of a tile of neurons for their values, and what is computed once for all steps."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from snn_neuromod.kernels.fusion.graph import Node
from snn_neuromod.kernels.fusion.operations import OPERATIONS


@dataclass
class Work:
    """Rows of a tile, and what is computed once for it.

    Attributes:
        invariant: Whether a node does not change with time.
        num_params: How many parameters of the neuron there are; behind them stand numbers.
        rows: Names of rows that hold values while a step is computed.
        fixed: Names of rows that do not change with time.
        once: Statements of loops over the tile, and the parameters that they depend on.
        params: Numbers of the parameters that are read.
        numbers: Statements for numbers that are the same for the whole tile, by name.
    """

    invariant: Callable[[Node], bool]
    num_params: int
    rows: dict[str, None] = field(default_factory=dict)
    fixed: list[str] = field(default_factory=list)
    once: list[tuple[frozenset[int], str]] = field(default_factory=list)
    params: set[int] = field(default_factory=set)
    numbers: dict[str, str] = field(default_factory=dict)
    _hoisted: dict[Node, str] = field(default_factory=dict)
    _numbers: dict[Node, str] = field(default_factory=dict)
    _reads: dict[Node, frozenset[int]] = field(default_factory=dict)

    def is_number(self, node: Node) -> bool:
        """Whether a node is the same for all neurons and steps."""
        return self.invariant(node) and not self.reads(node)

    def reads(self, node: Node) -> frozenset[int]:
        """The parameters of the neuron that a node depends on, one that does not change with time."""
        if node not in self._reads:
            if node.op == "input":
                number = int(str(node.value)[1:])
                self._reads[node] = frozenset([number] if number < self.num_params else [])
            else:
                self._reads[node] = frozenset[int]().union(*map(self.reads, node.args))
        return self._reads[node]

    def row(self, name: str) -> str:
        """An element of a row of this name."""
        self.rows[name] = None
        return f"w->scratch->{name}[n]"

    def hoisted(self, node: Node) -> str:
        """An element of the row of a value that does not change with time, or the name of a number.

        What a number decides is a row too: compilers do not vectorise loops in which one condition is the same for all.
        """
        if node.number is not None:
            return literal(node.number)
        if self.is_number(node) and not node.is_bool:
            return self.number(node)
        if node not in self._hoisted:
            self._hoisted[node] = self._made(node)
        return f"({self._hoisted[node]} != 0)" if node.is_bool else self._hoisted[node]

    def _made(self, node: Node) -> str:
        if node.op == "input":
            self.params.add(int(str(node.value)[1:]))
            return self._fixed(str(node.value))
        text = self.number(node) if self.is_number(node) else self._text(node, self.hoisted)
        row = self._fixed(f"q{len(self.once)}")
        self.once.append((self.reads(node), f"{row} = {text};"))
        return row

    def _fixed(self, name: str) -> str:
        self.fixed.append(name)
        return f"w->fixed->{name}[n]"

    def number(self, node: Node) -> str:
        """The name of a value that is the same for all neurons and steps."""
        if node.number is not None:
            return literal(node.number)
        if node not in self._numbers:
            place = f"*call->p[{str(node.value)[1:]}]"
            text = place if node.op == "input" else self._text(node, self.number)
            name = self._numbers[node] = f"o{len(self.numbers)}"
            self.numbers[name] = f"const {'int' if node.is_bool else 'REAL'} {name} = {text};"
        return self._numbers[node]

    def _text(self, node: Node, read: Callable[[Node], str]) -> str:
        return expression(node, [read(a) for a in node.args])

    def declared(self, lines: Sequence[str]) -> list[str]:
        """What declares the numbers that some lines read."""
        found, todo = set[str](), list(lines)
        while todo:
            new = set(re.findall(r"\bo\d+\b", todo.pop())) & self.numbers.keys() - found
            found |= new
            todo += [self.numbers[name] for name in new]
        return [text for name, text in self.numbers.items() if name in found]


def literal(value: float) -> str:
    """A constant in C."""
    if isinstance(value, bool):
        return str(int(value))
    if math.isnan(value):
        return "(REAL)NAN"
    if math.isinf(value):
        return "(REAL)INFINITY" if value > 0 else "-(REAL)INFINITY"
    return f"(REAL){value!r}" if math.copysign(1, value) > 0 else f"(-(REAL){-value!r})"


def expression(node: Node, args: Sequence[str]) -> str:
    """An operation in C; NaN wins in max and min, as in PyTorch."""
    text = OPERATIONS[node.op].c
    if node.op not in ("max", "min"):
        return text.format(*args)
    (x, a), (y, b) = zip(args, node.args, strict=True)
    if a.number is not None:
        (x, a), (y, b) = (y, b), (x, a)
    nan = "" if b.number is not None else f" || {y} != {y}"
    return f"({x} {text} {y}{nan} ? {y} : {x})"
