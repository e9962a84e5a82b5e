"""Where the gradient of a spike has no effect: its factor, the pseudo-derivative, is exactly zero there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from snn_neuromod.kernels.fusion.graph import Node, live
from snn_neuromod.kernels.fusion.trace import Step

__all__ = ["gates"]

_FACTORS = {"mul": slice(2), "div": slice(1), "where": slice(1, 3)}
"""Arguments of which one that vanishes makes the result vanish, or one branch of it."""


def gates(step: Step) -> list[Node]:
    """Factors of which one is not zero wherever the gradient of the spikes has an effect.

    Args:
        step: The neuron.

    Returns:
        Nodes of its graph, or nothing where the gradient may always have an effect.
    """
    roots = [*step.grad_params, *step.grad_before, step.grad_current]
    users: dict[Node, list[Node]] = {}
    for node in live(roots):
        for a in node.args:
            users.setdefault(a, []).append(node)
    found = _gates(step.graph.input("gz"), users, roots)
    return sorted(found or (), key=lambda node: node.index)


def _gates(
    node: Node, users: Mapping[Node, Sequence[Node]], roots: Sequence[Node]
) -> set[Node] | None:
    """Those of all paths from a node to the roots, None if a path has none."""
    if node in roots:
        return None
    found = set[Node]()
    for user in users.get(node, ()):
        others = [a for a in user.args if a is not node]
        if user.op == "mul" and others and _vanishes(others[0]):
            found.add(others[0])
            continue
        more = _gates(user, users, roots) if user.op in ("add", "sub", "neg", "mul") else None
        if more is None:
            return None
        found |= more
    return found


def _vanishes(node: Node) -> bool:
    """Whether a value is exactly zero for more than single arguments; a refractory period does not count."""
    if node.op in ("max", "min"):
        return any(a.number == 0.0 for a in node.args)
    return node.op == "real" or any(map(_vanishes, node.args[_FACTORS.get(node.op, slice(0))]))
