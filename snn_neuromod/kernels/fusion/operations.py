"""The operations of a graph, each in one line: what kind it is, and how it is written in PyTorch, in C and in Triton.

This is all there is to say of a new one, beside what PyTorch calls it in a trace (`aten`), if that is another name.
"""

from __future__ import annotations

from typing import NamedTuple


class Operation(NamedTuple):
    """One operation.

    Attributes:
        kind: "binary", "unary", "rounding", "function" (costly), "compare", "logic", or "other".
        torch: A function of tensors that takes `out`, by its name.
        c: Text for its arguments.
        triton: The same.
    """

    kind: str
    torch: str
    c: str
    triton: str


def _sign(kind: str, name: str, c: str, triton: str = "") -> Operation:
    return Operation(kind, name, f"({{0}} {c} {{1}})", f"({{0}} {triton or c} {{1}})")


def _function(kind: str, name: str, c: str, triton: str) -> Operation:
    return Operation(kind, name, f"{c}({{0}})", f"{triton}({{0}})")


_NAN = "propagate_nan=tl.PropagateNan.ALL"
OPERATIONS = {
    "add": _sign("binary", "add", "+"),
    "sub": _sign("binary", "sub", "-"),
    "mul": _sign("binary", "mul", "*"),
    "div": _sign("binary", "div", "/"),
    "max": Operation("binary", "maximum", "<", f"tl.maximum({{0}}, {{1}}, {_NAN})"),
    "min": Operation("binary", "minimum", ">", f"tl.minimum({{0}}, {{1}}, {_NAN})"),
    "pow": Operation("binary", "pow", "MATH(pow)({0}, {1})", "libdevice.pow({0}, {1})"),
    "neg": Operation("unary", "neg", "(-{0})", "(-{0})"),
    "abs": _function("unary", "abs", "MATH(fabs)", "tl.abs"),
    "sqrt": _function("unary", "sqrt", "MATH(sqrt)", "tl.sqrt"),
    "floor": _function("rounding", "floor", "MATH(floor)", "tl.floor"),
    "ceil": _function("rounding", "ceil", "MATH(ceil)", "tl.ceil"),
    "trunc": _function("rounding", "trunc", "MATH(trunc)", "libdevice.trunc"),
    "round": _function("rounding", "round", "MATH(rint)", "libdevice.rint"),
    "exp": Operation("function", "exp", "NAME(exp)({0})", "_exp({0}, EMULATED)"),
    "tanh": Operation("function", "tanh", "NAME(tanh)({0})", "_tanh({0}, EMULATED)"),
    "sigmoid": Operation("function", "sigmoid", "NAME(sigmoid)({0})", "_sigmoid({0}, EMULATED)"),
    "expm1": _function("function", "expm1", "MATH(expm1)", "libdevice.expm1"),
    "log": _function("function", "log", "MATH(log)", "tl.log"),
    "log1p": _function("function", "log1p", "MATH(log1p)", "libdevice.log1p"),
    "sin": _function("function", "sin", "MATH(sin)", "tl.sin"),
    "cos": _function("function", "cos", "MATH(cos)", "tl.cos"),
    "tan": _function("function", "tan", "MATH(tan)", "libdevice.tan"),
    "erf": _function("function", "erf", "MATH(erf)", "tl.erf"),
    "atan": _function("function", "atan", "MATH(atan)", "libdevice.atan"),
    "gt": _sign("compare", "gt", ">"),
    "ge": _sign("compare", "ge", ">="),
    "lt": _sign("compare", "lt", "<"),
    "le": _sign("compare", "le", "<="),
    "eq": _sign("compare", "eq", "=="),
    "ne": _sign("compare", "ne", "!="),
    "and": _sign("logic", "logical_and", "&"),
    "or": _sign("logic", "logical_or", "|"),
    "xor": _sign("logic", "logical_xor", "!=", "^"),
    "not": Operation("logic", "logical_not", "(!{0})", "({0} == 0)"),
    "where": Operation("other", "where", "({0} ? {1} : {2})", "tl.where({0}, {1}, {2})"),
    "real": Operation("other", "", "((REAL){0})", "{0}.to(REAL)"),
    "spike": Operation("other", "", "({0} > 0 ? 1 : {0} < 0 ? 0 : {0})", "_spike({0})"),
}


def _of(*kinds: str) -> frozenset[str]:
    return frozenset(name for name, operation in OPERATIONS.items() if operation.kind in kinds)


COMPARISONS, LOGIC = _of("compare"), _of("logic")
UNARY = _of("unary", "rounding", "function")
COSTLY = _of("function") | {"pow"}
JUMPS = _of("compare", "rounding") | {"spike"}
"""Operations whose result jumps where an argument is moved by a rounding error."""
COMMUTATIVE = frozenset(["add", "mul", "and", "or", "xor", "eq", "ne"])
