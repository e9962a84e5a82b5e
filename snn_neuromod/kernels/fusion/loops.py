"""Expressions as C loops over a tile of neurons: one loop per costly function, cheap operations inside.

A loop with two costly functions runs out of registers; loops of cheap operations alone wait for memory. So each costly
function has a loop of its own, in which what it reads is found again, unless that is long: then it is kept in a row.
What does not change with time is computed once for a tile, into rows of its own; what is the same for all neurons too,
a number. Where such a number chooses between values that are costly, each of them has a loop, of which one runs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from snn_neuromod.kernels.fusion.graph import Node, live
from snn_neuromod.kernels.fusion.operations import COSTLY
from snn_neuromod.kernels.fusion.work import Work, expression

KEEP_FROM = 3
"""Operations from which on a value that two loops read is kept."""

MERGE_UP_TO = 24
"""Operations up to which results are computed in the loop of the last costly function."""


class Sink(NamedTuple):
    """Where a value goes.

    Attributes:
        target: An element of an array.
        node: The value.
        add: Whether it is added to what is there.
        early: Whether it may be written, and read again, before all values are computed.
        guard: Condition under which it is wanted; all of one condition have a loop of their own, after the others.
        then: What follows that loop.
    """

    target: str
    node: Node
    add: bool = False
    early: bool = False
    guard: str = ""
    then: str = ""


class _Stage(NamedTuple):
    """A loop: what it needs, and where its results go.

    Attributes:
        roots: What it computes.
        sinks: Where that goes.
        choice: A node whose value is chosen by numbers: a loop for each case.
    """

    roots: list[Node]
    sinks: list[Sink]
    choice: Node | None = None

    @property
    def always(self) -> bool:
        """Whether all of it is computed whatever the numbers are."""
        return self.choice is None and not any(sink.guard for sink in self.sinks)


class Body:
    """Loops that compute values for a tile.

    Args:
        sinks: What is computed, and where it goes.
        names: Elements of arrays that hold values already.
        work: Rows for what is kept.
        costly_names: Elements of arrays for results of costly functions that are wanted afterwards; others are kept
            in rows of `work` as long as the loops run.

    Attributes:
        lines: C.
    """

    def __init__(
        self,
        sinks: Sequence[Sink],
        names: Mapping[Node, str],
        work: Work,
        costly_names: Mapping[Node, str] = MappingProxyType({}),
    ) -> None:
        self.work, loops = work, list[str]()
        self.names, self._rows = dict(names), 0
        roots = [sink.node for sink in sinks] + list(costly_names)
        nodes = [node for node in live(roots, stop=names) if node not in self.names]
        fixed = [node for node in nodes if work.invariant(node)]
        self.names |= dict.fromkeys(fixed, "")  # hoisted where they are read
        nodes = [node for node in nodes if node not in self.names]
        self.choices = _choices(nodes, self.names, work)
        stages = self._stages(sinks, self._costly(nodes, roots), costly_names)
        kept = self._kept(nodes, stages)
        self.saved = self._saved(stages, kept)
        have: set[Node] = set()
        for stage in stages:
            if stage.choice is not None:
                loops += self._cases(stage.choice, stage.sinks[0], kept, have)
                continue
            cone = self._cone(stage.roots, have)
            loops += self._loop(cone, stage.sinks, kept if stage.always else {}, kept, have)
            have |= kept.keys() & set(cone) if stage.always else set()
        self.lines = [*work.declared(loops), *loops]

    def _costly(self, nodes: Sequence[Node], roots: Sequence[Node]) -> list[Node]:
        """Costly functions and choices, without those inside of choices."""
        outside = set(live(roots, stop=self.names.keys() | self.choices))
        return [n for n in nodes if n in outside and (n.op in COSTLY or n in self.choices)]

    def _stages(
        self, sinks: Sequence[Sink], costly: list[Node], names: Mapping[Node, str]
    ) -> list[_Stage]:
        """A loop for each costly function and one for the results; short ones share that of the last function."""
        by_guard: dict[str, list[Sink]] = {}
        for sink in sinks:
            by_guard.setdefault(sink.guard, []).append(sink)
        guarded = [_Stage([s.node for s in part], part) for g, part in by_guard.items() if g]
        sinks = by_guard.get("", [])
        targets = {node: names[node] for node in costly if node in names}
        last = [*sinks, *(Sink(targets[node], node) for node in costly[-1:] if node in targets)]
        results = _Stage([sink.node for sink in last], last)
        merged = bool(costly and sinks and costly[-1] not in self.choices)
        if merged:
            named = self.names.keys() | set(costly)
            merged = (
                len([n for n in live(results.roots, stop=named) if n not in named]) <= MERGE_UP_TO
            )
        stages = []
        for node in costly[:-1] if merged else costly:
            self.names[node] = targets.get(node) or self._row()
            choice = node if node in self.choices else None
            roots = [node] if choice else [*node.args]
            stages.append(_Stage(roots, [Sink(self.names[node], node)], choice))
        if not merged:
            results = _Stage([sink.node for sink in sinks], list(sinks))
        return [*stages, *([results] if results.sinks else []), *guarded]

    def _kept(self, nodes: Sequence[Node], stages: Sequence[_Stage]) -> dict[Node, str]:
        """Rows for long expressions that two loops read, of which one always runs."""
        cones = [self._cone(stage.roots, ()) for stage in stages]
        count = Counter(node for cone in cones for node in cone)
        always = {
            n for cone, stage in zip(cones, stages, strict=True) if stage.always for n in cone
        }
        kept: dict[Node, str] = {}
        places = {sink.node: sink.target for stage in stages for sink in stage.sinks if sink.early}
        for node in nodes:
            if count[node] < 2 or node not in always:
                continue
            if node in places:
                kept[node] = places[node]
            elif not node.is_bool and len(self._cone([node], kept)) >= KEEP_FROM:
                kept[node] = self._row()
        return kept

    def _saved(self, stages: Sequence[_Stage], kept: Mapping[Node, str]) -> dict[Node, str]:
        """Rows for what is written over by the results' loop and read by those after it."""
        targets = {sink.target for stage in stages if stage.always for sink in stage.sinks}
        over = {node for node, name in self.names.items() if name in targets}
        saved: dict[Node, str] = {}
        for stage in stages:
            if stage.sinks[0].guard:
                cone = self._cone(stage.roots, kept)
                read = {*stage.roots, *(a for node in cone for a in node.args)} & over
                read = {node for node in read - saved.keys() if node.op == "input"}
                saved |= {n: self._row() for n in sorted(read, key=lambda node: node.index)}
        results = next((s for s in stages[::-1] if s.always), None)
        if results is not None:
            results.sinks.extend(Sink(row, node) for node, row in saved.items())
        return saved

    def _row(self) -> str:
        self._rows += 1
        return self.work.row(f"u{self._rows}")

    def _cone(self, roots: Sequence[Node], stop: Collection[Node]) -> list[Node]:
        """What has to be computed for the roots, without what has a name or is kept."""
        ends = self.names.keys() | set(stop)
        return [node for node in live(roots, stop=ends) if node not in ends]

    def _cases(
        self, node: Node, sink: Sink, kept: Mapping[Node, str], have: set[Node]
    ) -> list[str]:
        """A loop for each case of a choice."""
        condition, *values = node.args
        first, second = (
            self._cases(x, sink, kept, have)
            if x in self.choices and x not in self.names
            else self._loop(self._cone([x], have), [sink._replace(node=x)], {}, kept, have)
            for x in values
        )
        return [f"if ({self.work.number(condition)}) {{", *first, "} else {", *second, "}"]

    def _loop(
        self,
        cone: Sequence[Node],
        sinks: Sequence[Sink],
        keeps: Mapping[Node, str],
        kept: Mapping[Node, str],
        have: set[Node],
    ) -> list[str]:
        local: dict[Node, str] = dict(self.saved) if sinks[0].guard else {}

        def read(node: Node) -> str:
            if node in local:
                return local[node]
            if node in have:
                return kept[node]
            return self.names[node] or self.work.hoisted(node)

        lines: list[str] = []
        for node in cone:
            kind = "int" if node.is_bool else "REAL"
            text = expression(node, [read(a) for a in node.args])
            local[node] = f"v{len(lines)}"
            lines.append(f"const {kind} {local[node]} = {text};")
            if node in keeps:
                lines.append(f"{kept[node]} = {local[node]};")
        values = []
        for k, sink in enumerate(sinks):
            if kept.get(sink.node) == sink.target and (sink.node in keeps or sink.node in have):
                continue  # written above, or by a loop before
            own = self.names.get(sink.node) == sink.target and sink.node.op in COSTLY
            text = (
                expression(sink.node, [read(a) for a in sink.node.args]) if own else read(sink.node)
            )
            lines.append(f"const REAL r{k} = {text};")
            values.append(f"{sink.target} {'+=' if sink.add else '='} r{k};")
        loop = ["SIMD for (int64_t n = 0; n < full; n++) {"]
        loop += [f"    {line}" for line in [*lines, *values]] + ["}"]
        guard = sinks[0].guard
        if not guard:
            return loop
        return [f"if ({guard}) {{", *loop, *filter(None, [sinks[0].then]), "}"]


def _choices(nodes: Sequence[Node], names: Mapping[Node, str], work: Work) -> set[Node]:
    """Values chosen by a number, of which one is costly; one that only another reads belongs to that."""
    users = Counter(a for node in nodes for a in node.args)
    found: set[Node] = set()
    for node in nodes:
        if node.op != "where" or not work.is_number(node.args[0]):
            continue
        inner = {a for a in node.args[1:] if a in found and users[a] == 1}
        stop = names.keys() | found
        within = [n for n in live(node.args[1:], stop=stop) if n not in stop]
        if inner or any(n.op in COSTLY or n.op == "div" for n in within):
            found.add(node)
    return found
