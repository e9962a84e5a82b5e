"""Algebra that changes values by rounding only: fewer operations in every step, more of them once for all steps.

- a product is one coefficient that does not change with time, made once, times what does change;
- a division by what does not change is a product with its inverse;
- where c, q x, else p x, is x times one of q and p, chosen once, where c does not change;
- a x + (1 - a) y = y + a (x - y), where a changes.

Only what needs no exact forward pass is rewritten, see `plan`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from snn_neuromod.kernels.fusion.graph import Graph, Node, live


class _Product(NamedTuple):
    """const times above over below, none of which change with time, times varying; nodes of the new graph."""

    const: float
    above: tuple[Node, ...] = ()
    below: tuple[Node, ...] = ()
    varying: tuple[Node, ...] = ()

    def times(self, other: _Product) -> _Product:
        return _Product(
            self.const * other.const, *(a + b for a, b in zip(self[1:], other[1:], strict=True))
        )


def rewrite(
    graph: Graph,
    roots: Sequence[Node],
    given: Mapping[Node, Node],
    invariant: Callable[[Node], bool],
) -> list[Node]:
    """The same values from other operations.

    Args:
        graph: Where the result is made.
        roots: Nodes of any graph.
        given: Nodes of `graph` that stand in the place of others.
        invariant: Whether a node of `graph` does not change with time.

    Returns:
        Nodes of `graph` in the place of `roots`.
    """
    order = live(roots, stop=given)
    made = {node: given[node] for node in order if node in given}
    uses = Counter(a for node in order if node not in given for a in node.args)
    uses.update(roots)
    rewriter = _Rewriter(graph, invariant, made, frozenset(made), uses)
    for node in order:
        if node not in made:
            made[node] = rewriter.rewritten(node)
    return [made[root] for root in roots]


@dataclass
class _Rewriter:
    graph: Graph
    invariant: Callable[[Node], bool]
    made: dict[Node, Node]
    given: Collection[Node]
    uses: Mapping[Node, int]

    def rewritten(self, node: Node) -> Node:
        graph = self.graph
        if node.op == "input":
            return graph.input(str(node.value))
        if node.number is not None:
            return graph.const(node.number)
        args = [self.made[a] for a in node.args]
        if self._is_product(node) and not all(map(self.invariant, args)):
            return self._joined(self._factors(node, top=True))
        if node.op == "where" and self.invariant(args[0]) and not self.invariant(args[1]):
            first, second = map(self._factors, node.args[1:])
            if Counter(first.varying) == Counter(second.varying):
                shares = [self._joined(x._replace(varying=())) for x in (first, second)]
                share = graph.make("where", args[0], *shares)
                return self._all(Counter(first.varying), share)
        blended = _blend(graph, self.invariant, *args) if node.op == "add" else None
        return blended or graph.make(node.op, *args)

    def _is_product(self, node: Node) -> bool:
        if node.op == "div":
            return self.invariant(self.made[node.args[1]])
        return node.op in ("mul", "neg")

    def _factors(self, node: Node, top: bool = False) -> _Product:
        """Factors of a node; those of an argument only if nothing else reads it."""
        if node not in self.given and (top or self.uses[node] == 1) and self._is_product(node):
            first = self._factors(node.args[0])
            if node.op == "neg":
                return first._replace(const=-first.const)
            if node.op == "mul":
                return first.times(self._factors(node.args[1]))
            return first.times(_Product(1.0, below=(self.made[node.args[1]],)))
        made = self.made[node]
        if made.number is not None:
            return _Product(float(made.number))
        return _Product(1.0, (made,)) if self.invariant(made) else _Product(1.0, varying=(made,))

    def _joined(self, product: _Product) -> Node:
        above, below = Counter(product.above), Counter(product.below)
        coefficient = self._all(above - below, self.graph.const(product.const))
        if below - above:
            one = self.graph.const(1.0)
            coefficient = self.graph.make("div", coefficient, self._all(below - above, one))
        return self._all(Counter(product.varying), coefficient)

    def _all(self, factors: Counter[Node], start: Node) -> Node:
        for node in sorted(factors.elements(), key=lambda node: node.index):
            start = self.graph.make("mul", start, node)
        return start


def _blend(graph: Graph, invariant: Callable[[Node], bool], *terms: Node) -> Node | None:
    """Y + a (x - y) for a x + (1 - a) y where a changes, else None: with 1 - a at hand it would only round more."""
    if any(term.op != "mul" for term in terms):
        return None
    for first, second in (terms, terms[::-1]):
        for share, y in (second.args, second.args[::-1]):
            if share.op != "sub" or share.args[0].number != 1:
                continue
            a = share.args[1]
            if a in first.args and not invariant(a):
                x = first.args[1 - first.args.index(a)]
                return graph.make("add", y, graph.make("mul", a, graph.make("sub", x, y)))
    return None
