"""Expressions as C loops over a tile of neurons: one loop per costly function, cheap operations inside it.

A loop with two costly functions runs out of registers; loops of cheap operations alone wait for memory. So each costly
function has a loop of its own, in which what it reads is found again, unless that is long: then it is kept in a row.
What does not change with time is computed once for a tile, into rows of its own.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from snn_neuromod.kernels.fusion.graph import Node, live

COSTLY = frozenset(
    ["exp", "expm1", "log", "log1p", "sin", "cos", "tan", "tanh", "sigmoid", "erf", "atan", "pow"]
)
KEEP_FROM = 3
"""Operations from which on a value that two loops read is kept."""

MERGE_UP_TO = 24
"""Operations up to which results are computed in the loop of the last costly function."""

_OPERATORS = {"add": "+", "sub": "-", "mul": "*", "div": "/", "and": "&", "or": "|"}
_OPERATORS |= {"gt": ">", "ge": ">=", "lt": "<", "le": "<=", "eq": "==", "ne": "!=", "xor": "!="}
_OWN = frozenset(["exp", "tanh", "sigmoid"])
_NAMES = {"abs": "fabs", "round": "rint"}


class Sink(NamedTuple):
    """Where a value goes.

    Attributes:
        target: An element of an array.
        node: The value.
        add: Whether it is added to what is there.
        early: Whether it may be written, and read again, before all values are computed.
    """

    target: str
    node: Node
    add: bool = False
    early: bool = False


@dataclass
class Work:
    """Rows of a tile, and what is computed once for it.

    Attributes:
        invariant: Whether a node does not change with time.
        rows: Names of rows, and how many there are of each.
        fixed: Names of rows that do not change with time.
        once: Statements of a loop over the tile.
        params: Numbers of the parameters that are read.
    """

    invariant: Callable[[Node], bool]
    rows: dict[str, str] = field(default_factory=dict)
    fixed: list[str] = field(default_factory=list)
    once: list[str] = field(default_factory=list)
    params: set[int] = field(default_factory=set)
    _hoisted: dict[Node, str] = field(default_factory=dict)

    def row(self, name: str, many: str = "") -> str:
        """An element of a row of this name."""
        self.rows[name] = many
        return f"w->{name}[n]"

    def hoisted(self, node: Node) -> str:
        """An element of the row of a value that does not change with time."""
        if node.number is not None:
            return literal(node.number)
        if node not in self._hoisted:
            if node.op == "input":
                self.params.add(int(str(node.value)[1:]))
                self._hoisted[node] = self._fixed(str(node.value))
            else:
                text = expression(node, [self.hoisted(a) for a in node.args])
                self._hoisted[node] = self._fixed(f"q{len(self.once)}")
                self.once.append(f"{self._hoisted[node]} = {text};")
        name = self._hoisted[node]
        return f"({name} != 0)" if node.is_bool else name

    def _fixed(self, name: str) -> str:
        self.fixed.append(name)
        return f"w->fixed->{name}[n]"


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
    if node.op in _OPERATORS:
        return f"({args[0]} {_OPERATORS[node.op]} {args[1]})"
    if node.op in ("max", "min"):
        (x, a), (y, b) = zip(args, node.args, strict=True)
        if a.number is not None:
            (x, a), (y, b) = (y, b), (x, a)
        nan = "" if b.number is not None else f" || {y} != {y}"
        return f"({x} {'<' if node.op == 'max' else '>'} {y}{nan} ? {y} : {x})"
    if node.op == "where":
        return f"({args[0]} ? {args[1]} : {args[2]})"
    if node.op in ("neg", "not", "real"):
        return {"neg": "(-{})", "not": "(!{})", "real": "((REAL){})"}[node.op].format(args[0])
    kind = "NAME" if node.op in _OWN else "MATH"
    return f"{kind}({_NAMES.get(node.op, node.op)})({', '.join(args)})"


def body(
    sinks: Sequence[Sink],
    names: Mapping[Node, str],
    work: Work,
    costly_names: Mapping[Node, str] | None = None,
) -> list[str]:
    """Loops that compute values for a tile.

    Args:
        sinks: What is computed, and where it goes.
        names: Elements of arrays that hold values already.
        work: Rows for what is kept.
        costly_names: Elements of arrays for results of costly functions that are wanted afterwards; others are kept
            in rows of `work` as long as the loops run.

    Returns:
        Lines of C.
    """
    return _Body(sinks, names, work, costly_names or {}).lines


class _Stage(NamedTuple):
    """A loop: what it needs, and where its results go."""

    roots: list[Node]
    sinks: list[Sink]


class _Body:
    def __init__(
        self,
        sinks: Sequence[Sink],
        names: Mapping[Node, str],
        work: Work,
        costly_names: Mapping[Node, str],
    ) -> None:
        self.work, self.lines = work, list[str]()
        self.names, self._rows = dict(names), 0
        roots = [sink.node for sink in sinks] + list(costly_names)
        nodes = [node for node in live(roots, stop=names) if node not in self.names]
        fixed = [node for node in nodes if work.invariant(node)]
        self.names |= dict.fromkeys(fixed, "")  # hoisted where they are read
        nodes = [node for node in nodes if node not in self.names]
        stages = self._stages(sinks, [n for n in nodes if n.op in COSTLY], costly_names)
        kept = self._kept(nodes, stages)
        have: set[Node] = set()
        for stage in stages:
            cone = self._cone(stage.roots, have)
            self._loop(cone, stage.sinks, kept, have)
            have |= kept.keys() & set(cone)

    def _stages(
        self, sinks: Sequence[Sink], costly: list[Node], names: Mapping[Node, str]
    ) -> list[_Stage]:
        """A loop for each costly function and one for the results; short ones share that of the last function."""
        targets = {node: names[node] for node in costly if node in names}
        last = [*sinks, *(Sink(targets[node], node) for node in costly[-1:] if node in targets)]
        results = _Stage([sink.node for sink in last], last)
        merged = bool(costly and sinks)
        if merged:
            named = self.names.keys() | set(costly)
            merged = (
                len([n for n in live(results.roots, stop=named) if n not in named]) <= MERGE_UP_TO
            )
        stages = []
        for node in costly[:-1] if merged else costly:
            self.names[node] = targets.get(node) or self._row()
            stages.append(_Stage([*node.args], [Sink(self.names[node], node)]))
        if not merged:
            results = _Stage([sink.node for sink in sinks], list(sinks))
        return [*stages, results] if results.sinks else stages

    def _kept(self, nodes: Sequence[Node], stages: Sequence[_Stage]) -> dict[Node, str]:
        """Rows for long expressions that two loops read."""
        count = Counter(node for stage in stages for node in self._cone(stage.roots, ()))
        kept: dict[Node, str] = {}
        places = {sink.node: sink.target for stage in stages for sink in stage.sinks if sink.early}
        for node in nodes:
            if count[node] > 1 and node in places:
                kept[node] = places[node]
            elif (
                count[node] > 1 and not node.is_bool and len(self._cone([node], kept)) >= KEEP_FROM
            ):
                kept[node] = self._row()
        return kept

    def _row(self) -> str:
        self._rows += 1
        return self.work.row(f"u{self._rows}")

    def _cone(self, roots: Sequence[Node], stop: Collection[Node]) -> list[Node]:
        """What has to be computed for the roots, without what has a name or is kept."""
        ends = self.names.keys() | set(stop)
        return [node for node in live(roots, stop=ends) if node not in ends]

    def _loop(
        self, cone: Sequence[Node], sinks: Sequence[Sink], kept: Mapping[Node, str], have: set[Node]
    ) -> None:
        local: dict[Node, str] = {}

        def read(node: Node) -> str:
            if node in local:
                return local[node]
            if node in have:
                return kept[node]
            return self.names[node] or self.work.hoisted(node)

        lines = []
        for node in cone:
            kind = "int" if node.is_bool else "REAL"
            text = expression(node, [read(a) for a in node.args])
            local[node] = f"v{len(local)}"
            lines.append(f"const {kind} {local[node]} = {text};")
            if node in kept:
                lines.append(f"{kept[node]} = {local[node]};")
        values = []
        for k, sink in enumerate(sinks):
            if kept.get(sink.node) == sink.target:
                continue  # written above, or by a loop before
            own = self.names.get(sink.node) == sink.target and sink.node.op in COSTLY
            text = (
                expression(sink.node, [read(a) for a in sink.node.args]) if own else read(sink.node)
            )
            lines.append(f"const REAL r{k} = {text};")
            values.append(f"{sink.target} {'+=' if sink.add else '='} r{k};")
        self.lines += ["SIMD for (int64_t n = 0; n < wide; n++) {"]
        self.lines += [f"    {line}" for line in [*lines, *values]] + ["}"]
