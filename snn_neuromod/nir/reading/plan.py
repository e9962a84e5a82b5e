"""The order in which the nodes of a NIR graph run: graphs inside it spread out, loops found and delayed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any

import nir

from snn_neuromod.errors import DataError

Edge = tuple[str, str]
SPIKING = (nir.LIF, nir.CubaLIF, nir.IF, nir.Threshold)
STATEFUL = (nir.LI, nir.CubaLI, nir.I, nir.Delay, nir.NIRGraph, *SPIKING)


@dataclass(frozen=True)
class Loop:
    """Nodes that wait for one another.

    Attributes:
        order: The nodes in the order of one step.
        delayed: Edges that carry what their source sent one step before.
    """

    order: tuple[str, ...]
    delayed: frozenset[Edge]


@dataclass(frozen=True)
class Plan:
    """What runs when.

    Attributes:
        nodes: The nodes by name; those of a graph inside are named graph.node.
        sources: For each node those it listens to.
        stages: Nodes and loops in their order.
        input: Name of the input.
        output: Name of the output.
    """

    nodes: Mapping[str, Any]
    sources: Mapping[str, tuple[str, ...]]
    stages: tuple[str | Loop, ...]
    input: str
    output: str


def plan(graph: Any, keep: Callable[[Any], bool]) -> Plan:
    """Find the order.

    Args:
        graph: A `nir.NIRGraph`.
        keep: Whether a graph inside it stays one node.

    Raises:
        DataError: If the graph has no one input and output, an edge without a node, or a loop without a neuron.
    """
    nodes, edges = spread(graph, keep)
    ends = [
        _only(graph, kind, what) for kind, what in ((nir.Input, "input"), (nir.Output, "output"))
    ]
    sources = {name: tuple(sorted(a for a, b in edges if b == name)) for name in nodes}
    stages = [_stage(group, nodes, edges) for group in _groups(sources)]
    return Plan(nodes, sources, tuple(stages), *ends)


def _only(graph: Any, kind: type, what: str) -> str:
    found = [name for name, node in graph.nodes.items() if isinstance(node, kind)]
    if len(found) != 1:
        raise DataError(f"from_nir: graph must have one {what}, got {len(found)}")
    return str(found[0])


def spread(
    graph: Any, keep: Callable[[Any], bool], prefix: str = ""
) -> tuple[dict[str, Any], set[Edge]]:
    """Nodes and edges, those of graphs inside among them.

    Args:
        graph: A `nir.NIRGraph`.
        keep: Whether a graph inside it stays one node.
        prefix: Put before the names.

    Raises:
        DataError: If an edge has no node, or a graph inside not one input and output.
    """
    nodes: dict[str, Any] = {}
    first: dict[str, str] = {}
    last: dict[str, str] = {}
    edges: set[Edge] = set()
    for name, node in graph.nodes.items():
        full = first[name] = last[name] = prefix + name
        if isinstance(node, nir.NIRGraph) and not keep(node):
            inner, inner_edges = spread(node, keep, f"{full}.")
            nodes |= inner
            edges |= inner_edges
            first[name] = f"{full}.{_only(node, nir.Input, f'input in {full!r}')}"
            last[name] = f"{full}.{_only(node, nir.Output, f'output in {full!r}')}"
        else:
            nodes[full] = node
    for a, b in graph.edges:
        if a not in last or b not in first:
            raise DataError(
                f"from_nir: edges must join nodes of the graph, got ({prefix}{a}, {prefix}{b}); nodes are "
                f"{', '.join(sorted(graph.nodes))}"
            )
        edges.add((last[a], first[b]))
    return nodes, edges


def _groups(sources: Mapping[str, Iterable[str]]) -> list[tuple[str, ...]]:
    """Nodes that reach one another, in an order in which each group waits only for those before it."""
    reach = {name: _upstream(name, sources) for name in sources}
    group = {n: tuple(sorted({n, *(m for m in reach[n] if n in reach[m])})) for n in sources}
    waits = {
        mine: {group[a] for name in mine for a in sources[name]} - {mine}
        for mine in sorted(set(group.values()))
    }
    return list(TopologicalSorter(waits).static_order())


def _upstream(name: str, sources: Mapping[str, Iterable[str]]) -> set[str]:
    seen: set[str] = set()
    todo = [name]
    while todo:
        new = set(sources[todo.pop()]) - seen
        seen |= new
        todo += new
    return seen


def _stage(group: tuple[str, ...], nodes: Mapping[str, Any], edges: set[Edge]) -> str | Loop:
    """The node alone, or the loop: spikes, if need be all states, come back one step later."""
    inside = {(a, b) for a, b in edges if a in group and b in group}
    if not inside:
        return group[0]
    for kinds in (SPIKING, STATEFUL):
        delayed = frozenset((a, b) for a, b in inside if isinstance(nodes[a], kinds))
        prompt = {name: {a for a, b in inside - delayed if b == name} for name in group}
        try:
            return Loop(tuple(TopologicalSorter(prompt).static_order()), delayed)
        except CycleError as error:
            cycle = error.args[1]
    raise DataError(f"from_nir: loops must have a neuron in them, got {' -> '.join(cycle)}")
