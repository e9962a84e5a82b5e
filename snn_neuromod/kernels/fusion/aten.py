"""The table of operations: PyTorch's own, as a trace records them, in those of `graph`.

What PyTorch takes apart itself (addcmul, lerp, square, silu, elu, derivatives of activations, ..., see
`trace.decompositions`) needs no line here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from snn_neuromod.kernels.fusion.graph import Graph, Node, Value
from snn_neuromod.kernels.fusion.operations import COMPARISONS, LOGIC, OPERATIONS, UNARY

ALIASES = frozenset(["alias", "detach", "view", "expand", "_unsafe_view", "reshape", "lift_fresh"])
"""Operations whose result shares memory with their argument."""

COPIES = frozenset(["clone", "contiguous", "lift_fresh_copy", "_to_copy"])
"""Operations whose result is their argument over again, but for its type."""

FILLED = frozenset(["full", "full_like", "scalar_tensor"])
"""Operations whose result is the same number everywhere, whatever their arguments are."""

_NAMES = {operation.torch: name for name, operation in OPERATIONS.items()} | {
    f"{form.format(op)}": op
    for op in ("and", "or", "xor", "not")
    for form in ("bitwise_{}", "__{}__")
}


def as_bool(graph: Graph, value: Value) -> Value:
    """Truth of a value: reals that are not 0."""
    if isinstance(value, Node):
        return value if value.is_bool else graph.make("ne", value, 0.0)
    return bool(value)


def as_real(graph: Graph, value: Value) -> Value:
    """A value to calculate with: True is 1."""
    if isinstance(value, Node):
        return graph.make("real", value) if value.is_bool else value
    return float(value)


def operation(graph: Graph, name: str, args: Sequence[Any], kwargs: dict[str, Any]) -> Node | None:
    """Result of an operation of PyTorch.

    Args:
        graph: Where it is made.
        name: The operation, without its overload.
        args: Its arguments: nodes, numbers, and what else it takes.
        kwargs: Its named arguments.

    Returns:
        The result, or None if the operation is not in the table.
    """
    if name in _SPECIAL:
        return _SPECIAL[name](graph, *args, **kwargs)
    op = _NAMES.get(name, name)
    if op in LOGIC:
        return _logic(graph, op, *args)
    if op in UNARY and op != "round":
        return graph.make(op, as_real(graph, args[0]))
    if op in COMPARISONS or op in ("mul", "max", "min"):
        return graph.make(op, as_real(graph, args[0]), as_real(graph, args[1]))
    return None


def _logic(graph: Graph, op: str, *args: Value) -> Node:
    return graph.make(op, *(as_bool(graph, a) for a in args))


def _scaled(graph: Graph, value: Value, alpha: float) -> Value:
    value = as_real(graph, value)
    return value if alpha == 1 else graph.make("mul", value, float(alpha))


def _add(graph: Graph, a: Value, b: Value, *, alpha: float = 1) -> Node:
    return graph.make("add", as_real(graph, a), _scaled(graph, b, alpha))


def _sub(graph: Graph, a: Value, b: Value, *, alpha: float = 1) -> Node:
    return graph.make("sub", as_real(graph, a), _scaled(graph, b, alpha))


def _div(graph: Graph, a: Value, b: Value, *, rounding_mode: str | None = None) -> Node | None:
    if rounding_mode is not None:
        return None
    return graph.make("div", as_real(graph, a), as_real(graph, b))


def _round(graph: Graph, a: Value, *, decimals: int = 0) -> Node | None:
    return None if decimals else graph.make("round", a)


def _clamp(graph: Graph, x: Value, low: Value | None = None, high: Value | None = None) -> Node:
    x = as_real(graph, x)
    if low is not None:
        x = graph.make("max", x, as_real(graph, low))
    if high is not None:
        x = graph.make("min", x, as_real(graph, high))
    return graph.make("add", x, 0.0)


def _sign(graph: Graph, x: Value) -> Node:
    return graph.make(
        "sub",
        graph.make("real", graph.make("gt", x, 0.0)),
        graph.make("real", graph.make("lt", x, 0.0)),
    )


def _pow(graph: Graph, x: Value, exponent: Value) -> Node:
    x = as_real(graph, x)
    power = exponent.number if isinstance(exponent, Node) else float(exponent)
    square = graph.make("mul", x, x)
    if power == 0:
        return graph.const(1.0)
    if power == 1:
        return graph.make("mul", x, 1.0)
    if power == 2:
        return square
    if power == 3:
        return graph.make("mul", square, x)
    if power == 0.5:
        return graph.make("sqrt", x)
    if power == -0.5:
        return graph.make("div", 1.0, graph.make("sqrt", x))
    if power == -1:
        return graph.make("div", 1.0, x)
    if power == -2:
        return graph.make("div", 1.0, square)
    return graph.make("pow", x, as_real(graph, exponent))


def _where(graph: Graph, condition: Value, a: Value, b: Value) -> Node:
    kinds = [x.is_bool if isinstance(x, Node) else isinstance(x, bool) for x in (a, b)]
    if not all(kinds):
        a, b = as_real(graph, a), as_real(graph, b)
    return graph.make("where", as_bool(graph, condition), a, b)


_SPECIAL: dict[str, Callable[..., Node | None]] = {
    "add": _add,
    "sub": _sub,
    "div": _div,
    "round": _round,
    "clamp": _clamp,
    "sign": _sign,
    "pow": _pow,
    "where": _where,
    "copy": lambda graph, x, source, **_: graph.make("add", as_real(graph, source), 0.0),
    "relu": lambda graph, x: graph.make("max", x, 0.0),
    "reciprocal": lambda graph, x: graph.make("div", 1.0, x),
    "rsqrt": lambda graph, x: graph.make("div", 1.0, graph.make("sqrt", x)),
    "isnan": lambda graph, x: graph.make("ne", x, x),
}
