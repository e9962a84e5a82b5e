r"""The sparse local Jacobian of a step, from its traced reverse pass.

A vector-Jacobian product is linear in the adjoints that it takes. Its nodes that depend on them are a flow graph: from
the adjoints of spikes and states after the step to those of the input, the states before it and the parameters, with a
coefficient on each edge that reads values alone. An adjoint whose only edge is 1 is one with the vertex it feeds; a
vertex is left out where products of coefficients cost no more passes over memory than it does; what stays are the
variables and edges of a `Jacobian`: zeros are absent, ones and constants are numbers.

A rule that cuts paths leaves edges out. A reverse pass that is not linear (a gradient that is clamped in it) is refused
by the name of its operation.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from snn_neuromod.kernels.fusion.graph import Graph, Node, live
from snn_neuromod.kernels.fusion.trace import Step

__all__ = ["Edge", "Flow", "Jacobian", "NotLinear", "variables"]

SPIKES, INPUT = "z", "I"
"""Names of the spikes and of the input among the variables."""

Sink: TypeAlias = "tuple[str, str]"
"""What a gradient goes to: "lagged" and a variable, "input", or "param" and a name."""

Vertex: TypeAlias = "Node | Sink"

Edge: TypeAlias = "tuple[str, str]"


class NotLinear(ValueError):  # noqa: N818 - what is wrong with the step
    """A reverse pass that no Jacobian describes; the text says why."""


class Jacobian(NamedTuple):
    r"""Derivatives of a step, as nodes or as what these come to; (y, x) is that of y by x.

    Attributes:
        lagged: $\partial y_t / \partial x_{t-1}$, by variables of the step before.
        within: $\partial y_t / \partial x_t$, by variables of the same step, the input "I" among them.
        params: By each parameter that was asked for, of the variables that it feeds: keys (y, parameter).
    """

    lagged: dict[Edge, Any]
    within: dict[Edge, Any]
    params: dict[Edge, Any]

    def of(self, values: Sequence[Any]) -> Jacobian:
        """The same edges with these derivatives, in their order."""
        rest = iter(values)
        return Jacobian(*({edge: next(rest) for edge in edges} for edges in self))


def variables(step: Step) -> tuple[str, ...]:
    """Name of each state among the variables: "z" for the first one that holds the spikes, else its own."""
    found: list[str] = []
    for name, after in zip(step.states, step.after, strict=True):
        if after is step.spikes and SPIKES not in found:
            found.append(SPIKES)
        else:
            found.append(f"state {name}" if name in (SPIKES, INPUT) else name)
    return tuple(found)


class Flow:
    """Flow graph of a step's reverse pass: coefficients at (from, to).

    Args:
        step: A traced step.
        needed: Parameters whose gradients are asked for.
        seeded: Numbers of the states whose adjoints after the last step may differ from zero; None: all. What reaches
            neither them nor the spikes is left out.

    Raises:
        NotLinear: If the reverse pass is not linear.
    """

    def __init__(
        self, step: Step, needed: Sequence[str], seeded: Collection[int] | None = None
    ) -> None:
        self.graph, self.needed = step.graph, needed
        self.names = variables(step)
        sinks, sources = self._ends(step)
        self.variable: dict[Vertex, str] = dict(sources.items())
        self.edges = _edges(self.graph, sinks, sources)
        every = range(len(self.names))
        seeds = {SPIKES, *(self.names[k] for k in (every if seeded is None else seeded))}
        self._leave_out(seeds)

    def _ends(self, step: Step) -> tuple[dict[Sink, Node], dict[Node, str]]:
        """Where gradients go to and where they come from. The adjoint of a state that is the spikes is theirs."""
        adjoints, zero = step.inputs("a"), step.graph.const(0.0)
        sources = {step.graph.input("gz"): SPIKES}
        given: dict[Node, Node] = {}
        for name, adjoint in zip(self.names, adjoints, strict=True):
            if name == SPIKES:
                given[adjoint] = zero
            else:
                sources[adjoint] = name
        sinks: dict[Sink, Node] = {
            ("lagged", name): node for name, node in zip(self.names, step.grad_before, strict=True)
        }
        sinks["input", INPUT] = step.grad_current
        for name, node in zip(step.params, step.grad_params, strict=True):
            if name in self.needed:
                sinks["param", name] = node
        made = step.graph.substitute([*sinks.values()], given)
        return dict(zip(sinks, made, strict=True)), sources

    def _leave_out(self, seeds: set[str]) -> None:
        """Only what variables feed that are seeded, or that feed those."""
        alive, todo = set[Vertex](), [v for v, name in self.variable.items() if name in seeds]
        source = {name: v for v, name in self.variable.items()}
        while todo:
            vertex = todo.pop()
            if vertex in alive:
                continue
            alive.add(vertex)
            todo += [y for y, _ in self.outgoing(vertex)]
            if isinstance(vertex, tuple) and vertex[0] == "lagged" and vertex[1] in source:
                todo.append(source[vertex[1]])
        self.edges = {(a, b): c for (a, b), c in self.edges.items() if a in alive}

    def incoming(self, vertex: Vertex) -> list[tuple[Vertex, Node]]:
        return [(a, c) for (a, b), c in self.edges.items() if b == vertex]

    def outgoing(self, vertex: Vertex) -> list[tuple[Vertex, Node]]:
        return [(b, c) for (a, b), c in self.edges.items() if a == vertex]

    def jacobian(self, invariant: Callable[[Node], bool]) -> Jacobian:
        """The edges between variables that are left when it is simplified.

        Args:
            invariant: Whether a node does not change with time.
        """
        _Simplified(self, invariant)
        lagged, within, params = found = Jacobian({}, {}, {})
        for (a, b), c in self.edges.items():
            y = self.variable[a]
            if not isinstance(b, tuple):
                within[y, self.variable[b]] = c
            elif b[0] == "input":
                within[y, INPUT] = c
            elif b[0] == "lagged":
                lagged[y, b[1]] = c
            else:
                params[y, b[1]] = c
        if not _reaches(INPUT, SPIKES, [*lagged, *within]):
            # Spikes and input stay in one block of the sweep, whatever recurrent weights add.
            within[SPIKES, INPUT] = self.graph.const(0.0)
        return found


def _edges(
    graph: Graph, sinks: Mapping[Sink, Node], sources: Mapping[Node, str]
) -> dict[tuple[Vertex, Vertex], Node]:
    """Coefficients between the linear nodes."""
    edges: dict[tuple[Vertex, Vertex], Node] = {}

    def add(a: Vertex, b: Vertex, c: Node) -> None:
        edges[a, b] = graph.make("add", edges[a, b], c) if (a, b) in edges else c

    order, linear = live(sinks.values()), set[Node]()
    for node in order:
        if node in sources or any(a in linear for a in node.args):
            linear.add(node)
    for node in order:
        if node in linear and node not in sources:
            for a, coefficient in _terms(graph, node, linear):
                add(a, node, coefficient)
    for sink, node in sinks.items():
        if node in linear:
            add(node, sink, graph.const(1.0))
        elif node.number != 0:
            raise NotLinear(
                f"the gradient of {sink[1]} does not depend on those of the step's results"
            )
    return {pair: c for pair, c in edges.items() if c.number != 0}


def _terms(graph: Graph, node: Node, linear: Collection[Node]) -> list[tuple[Node, Node]]:
    """What a linear node is the sum of: linear nodes and their coefficients."""
    args, one = node.args, graph.const(1.0)
    which = [a in linear for a in args]
    if node.op in ("add", "sub") and all(which):
        return [(args[0], one), (args[1], one if node.op == "add" else graph.const(-1.0))]
    if node.op == "neg":
        return [(args[0], graph.const(-1.0))]
    if node.op == "mul" and not all(which):
        return [args if which[0] else args[::-1]]  # type: ignore[list-item]
    if node.op == "div" and not which[1]:
        return [(args[0], graph.make("div", 1.0, args[1]))]
    chosen = [k for k in (1, 2) if node.op == "where" and which[k]]
    if chosen and not which[0] and all(which[k] or args[k].number == 0 for k in (1, 2)):
        masks = {1: (1.0, 0.0), 2: (0.0, 1.0)}
        return [(args[k], graph.make("where", args[0], *masks[k])) for k in chosen]
    raise NotLinear(f"the step's reverse pass is not linear: {node.op} of a gradient")


class _Simplified:
    """Takes vertices out of a flow and names those that stay."""

    def __init__(self, flow: Flow, invariant: Callable[[Node], bool]) -> None:
        self.flow, self.invariant = flow, invariant
        self._join_chains()
        self._join_variables()
        while (vertex := self._cheapest()) is not None:
            self._eliminate(vertex)
        for vertex in self._inner():
            flow.variable[vertex] = f"_{len(flow.variable)}"
            self._turn(vertex)

    def _inner(self) -> list[Node]:
        """Vertices that are no variable yet."""
        vertices = dict.fromkeys(v for pair in self.flow.edges for v in pair)
        return [v for v in vertices if isinstance(v, Node) and v not in self.flow.variable]

    def _join_chains(self) -> None:
        """Sums written as chains, and what is passed on as it is."""

        def passed_on(vertex: Node) -> bool:
            onwards, before = self.flow.outgoing(vertex), self.flow.incoming(vertex)
            return (_is_one(onwards) and isinstance(onwards[0][0], Node)) or (
                _is_one(before) and before[0][0] not in self.flow.variable
            )

        while (found := next(filter(passed_on, self._inner()), None)) is not None:
            self._eliminate(found)

    def _join_variables(self) -> None:
        """A variable that feeds one vertex alone, by 1, is that vertex."""
        flow = self.flow
        for source, name in sorted(flow.variable.items(), key=lambda item: item[1] == SPIKES):
            onwards = flow.outgoing(source)
            if not _is_one(onwards):
                continue
            vertex = onwards[0][0]
            if isinstance(vertex, Node) and vertex not in flow.variable:
                flow.variable[vertex] = name
                del flow.variable[source], flow.edges[source, vertex]

    def _cheapest(self) -> Node | None:
        """The vertex without which there are fewest passes over memory, if not more than with it."""
        costs = [(self._cost(v), v.index, v) for v in self._inner()]
        return min(costs)[2] if costs and min(costs)[0] <= 0 else None

    def _cost(self, vertex: Node) -> int:
        """Passes that elimination adds: edges, and products and sums of coefficients that change with time."""
        before, onwards = self.flow.incoming(vertex), self.flow.outgoing(vertex)
        cost = -len(before) - len(onwards)
        for a, c in before:
            for b, d in onwards:
                varies = not (self.invariant(c) and self.invariant(d))
                cost += varies and abs(c.number or 0) != 1 and abs(d.number or 0) != 1
                cost += varies if (a, b) in self.flow.edges else 1
        return cost

    def _eliminate(self, vertex: Node) -> None:
        flow = self.flow
        before, onwards = flow.incoming(vertex), flow.outgoing(vertex)
        for a, _ in before:
            del flow.edges[a, vertex]
        for b, _ in onwards:
            del flow.edges[vertex, b]
        for a, c in before:
            for b, d in onwards:
                product = flow.graph.make("mul", c, d)
                if (a, b) in flow.edges:
                    product = flow.graph.make("add", flow.edges[a, b], product)
                flow.edges[a, b] = product
                if product.number == 0:
                    del flow.edges[a, b]

    def _turn(self, vertex: Node) -> None:
        """The other sign for a vertex whose inputs are negative and whose outputs it costs nothing."""
        flow = self.flow
        before, onwards = flow.incoming(vertex), flow.outgoing(vertex)
        if all(c.op == "neg" for _, c in before) and all(self.invariant(c) for _, c in onwards):
            for a, c in before:
                flow.edges[a, vertex] = c.args[0]
            for b, c in onwards:
                flow.edges[vertex, b] = flow.graph.make("neg", c)


def _is_one(edges: Sequence[tuple[Vertex, Node]]) -> bool:
    return len(edges) == 1 and edges[0][1].number == 1


def _reaches(start: str, end: str, edges: Iterable[tuple[str, str]]) -> bool:
    found, pairs, size = {start}, list(edges), 0
    while size != len(found):
        size = len(found)
        found |= {y for y, x in pairs if x in found}
    return end in found
