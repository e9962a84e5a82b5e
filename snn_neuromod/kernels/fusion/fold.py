"""Constant folding, and operations that need not be done.

0 x = 0 and x - x = 0 hold here also where x is not finite: such terms come from gradients that are blocked and from
`x - x.detach()`, which are meant so. Everything else gives the very value that PyTorch gives.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch

from snn_neuromod import surrogate
from snn_neuromod.kernels.fusion.operations import LOGIC, OPERATIONS

if TYPE_CHECKING:
    from snn_neuromod.kernels.fusion.graph import Graph, Node


def fold(graph: Graph, op: str, args: tuple[Node, ...]) -> Node | None:
    """The node that stands for an operation that need not be done, else None."""
    numbers = [a.number for a in args]
    if all(x is not None for x in numbers):
        return graph.const(_computed(graph.dtype, op, numbers))
    if op in _RULES:
        return _RULES[op](graph, args, numbers)
    return None


def _computed(dtype: torch.dtype, op: str, numbers: list[float | bool | None]) -> float | bool:
    if op == "where":
        chosen = numbers[1 if numbers[0] else 2]
        return chosen if chosen is not None else math.nan
    if op == "real":
        return float(bool(numbers[0]))
    kind = torch.bool if op in LOGIC else dtype
    values = [torch.tensor(x, dtype=kind) for x in numbers]
    function = surrogate.heaviside if op == "spike" else getattr(torch, OPERATIONS[op].torch)
    found: float | bool = function(*values).item()
    return found


_Numbers = list[float | bool | None]


def _add(graph: Graph, args: tuple[Node, ...], numbers: _Numbers) -> Node | None:
    a, b = args
    if numbers[1] == 0:
        return a
    for x, y in ((a, b), (b, a)):
        if y.op == "neg":
            return graph.make("sub", x, y.args[0])
        if x.op == y.op == "where" and x.args[0] is y.args[0]:  # [c] p + [not c] q
            if x.args[1].number != 0 or y.args[2].number != 0:
                continue
            return graph.make("where", x.args[0], y.args[1], x.args[2])
    return None


def _sub(graph: Graph, args: tuple[Node, ...], numbers: _Numbers) -> Node | None:
    if args[0] is args[1]:
        return graph.const(0.0)
    if numbers[1] == 0:
        return args[0]
    if numbers[0] == 0:
        return graph.make("neg", args[1])
    return graph.make("add", args[0], args[1].args[0]) if args[1].op == "neg" else None


def _mul(graph: Graph, args: tuple[Node, ...], numbers: _Numbers) -> Node | None:
    if numbers[1] == 0:
        return graph.const(0.0)
    if numbers[1] == 1:
        return args[0]
    if numbers[1] == -1:
        return graph.make("neg", args[0])
    if args[0].op == args[1].op == "real":
        return graph.make("real", graph.make("and", args[0].args[0], args[1].args[0]))
    return None


def _div(graph: Graph, args: tuple[Node, ...], numbers: _Numbers) -> Node | None:
    if numbers[0] == 0:
        return graph.const(0.0)
    if numbers[1] == 1:
        return args[0]
    return graph.make("neg", args[0]) if numbers[1] == -1 else None


def _ne(graph: Graph, args: tuple[Node, ...], numbers: _Numbers) -> Node | None:
    return args[0].args[0] if args[0].op == "real" and numbers[1] == 0 else None


def _undone(graph: Graph, args: tuple[Node, ...], numbers: _Numbers) -> Node | None:
    """Negation and "not" of themselves."""
    op = "not" if args[0].is_bool else "neg"
    return args[0].args[0] if args[0].op == op else None


def _ceil(graph: Graph, args: tuple[Node, ...], numbers: _Numbers) -> Node | None:
    """Of what is held between 0 and 1."""
    low = args[0].args[0] if args[0].op == "min" and args[0].args[1].number == 1 else None
    if low is None or low.op != "max" or low.args[1].number != 0:
        return None
    return graph.make("spike", low.args[0])


def _either(graph: Graph, args: tuple[Node, ...], numbers: _Numbers, decides: bool) -> Node | None:
    """Logic in which one value of one argument decides: False in "and", True in "or"."""
    if numbers[1] is not None:
        return graph.const(decides) if numbers[1] == decides else args[0]
    return args[0] if args[0] is args[1] else None


def _where(graph: Graph, args: tuple[Node, ...], numbers: _Numbers) -> Node | None:
    condition, a, b = args
    if numbers[0] is not None:
        return a if numbers[0] else b
    if a is b:
        return a
    if condition.op == "not":
        return graph.make("where", condition.args[0], b, a)
    if not a.is_bool and numbers[1:] == [1.0, 0.0]:
        return graph.make("real", condition)
    if a.op == "where" and a.args[0] is condition:
        return graph.make("where", condition, a.args[1], b)
    if b.op == "where" and b.args[0] is condition:
        return graph.make("where", condition, a, b.args[2])
    return None


_RULES: dict[str, Callable[[Graph, tuple[Node, ...], _Numbers], Node | None]] = {
    "add": _add,
    "sub": _sub,
    "mul": _mul,
    "div": _div,
    "ne": _ne,
    "ceil": _ceil,
    "neg": _undone,
    "not": _undone,
    "and": lambda graph, args, numbers: _either(graph, args, numbers, False),
    "or": lambda graph, args, numbers: _either(graph, args, numbers, True),
    "where": _where,
}
