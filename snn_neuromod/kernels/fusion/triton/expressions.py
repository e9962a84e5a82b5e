"""Expressions in Triton: statements for the nodes of a graph, and the functions they call.

Two ways to round. Exact: as PyTorch does, every operation on its own; what decides about spikes is printed so, and what
the reverse pass recomputes with it. Loose: multiply-add in one operation, and a product with the reciprocal in the
place of a division by what depends on parameters alone; gradients and graded neurons are printed so.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence

from snn_neuromod.kernels.fusion.graph import Node, live
from snn_neuromod.kernels.fusion.operations import OPERATIONS

__all__ = ["FUNCTIONS", "MISSING", "Body", "literal"]

_EXACT = {"div": "_divided({0}, {1})", "sqrt": "_root({0})"}
MISSING = frozenset(["expm1", "log1p", "tan", "atan", "trunc", "round", "pow"])
"""Operations that Triton's interpreter lacks."""

FUNCTIONS = '''
import triton
import triton.language as tl
from triton.language.extra import libdevice


@triton.jit
def _exp(x, EMULATED: tl.constexpr):
    if EMULATED:
        y = tl.exp(x)
    else:
        y = libdevice.exp(x)
    return y


@triton.jit
def _inverse(x, EMULATED: tl.constexpr):
    """1 / x for x >= 1, to one unit in the last place."""
    if EMULATED or x.dtype == tl.float64:
        y = 1.0 / x
    else:
        y = tl.inline_asm_elementwise(
            "rcp.approx.ftz.f32 $0, $1;", "=f,f", [x], dtype=tl.float32, is_pure=True, pack=1
        )
    return y


@triton.jit
def _sigmoid(x, EMULATED: tl.constexpr):
    if x.dtype == tl.float64:
        y = 1.0 / (1.0 + _exp(-x, EMULATED))
    else:
        power = x * -1.4426950408889634
        # What rounding took from a large exponent, and from the constant.
        lost = tl.fma(x, -1.925963033500e-08, tl.fma(x, -1.4426950408889634, -power))
        e = tl.exp2(power)
        # Where e is 0 or infinite no digits are lost, and infinity times what is would be no number.
        e = tl.where(tl.abs(power) < 126.0, tl.fma(e, lost * 0.6931471805599453, e), e)
        y = _inverse(1.0 + e, EMULATED)
    return y


@triton.jit
def _tanh_double(x, EMULATED: tl.constexpr):
    if EMULATED:
        e = tl.exp(-2.0 * tl.abs(x))
        y = tl.where(x < 0, -(1.0 - e) / (1.0 + e), (1.0 - e) / (1.0 + e))
    else:
        y = libdevice.tanh(x)
    return y


@triton.jit
def _tanh_single(x, EMULATED: tl.constexpr):
    large = tl.fma(_inverse(1.0 + tl.exp2(x * 2.8853900817779268), EMULATED), -2.0, 1.0)
    s = x * x
    small = tl.fma(s, 0.01527873317257538, -0.05200236174287503)
    small = tl.fma(tl.fma(small, s, 0.13309227808055887), s, -0.3333239757761484)
    return tl.where(tl.abs(x) < 0.6, tl.fma(small * s, x, x), large)


@triton.jit
def _tanh(x, EMULATED: tl.constexpr):
    if x.dtype == tl.float64:
        y = _tanh_double(x, EMULATED)
    else:
        y = _tanh_single(x, EMULATED)
    return y


@triton.jit
def _spike(x):
    """1 above 0, else 0; NaN stays."""
    return tl.where(x > 0, 1.0, tl.maximum(x, 0.0, propagate_nan=tl.PropagateNan.ALL)).to(x.dtype)


@triton.jit
def _divided(x, y):
    if x.dtype == tl.float32:
        z = tl.div_rn(x, y)
    else:
        z = x / y
    return z


@triton.jit
def _root(x):
    if x.dtype == tl.float32:
        y = tl.sqrt_rn(x)
    else:
        y = tl.sqrt(x)
    return y
'''


def literal(value: float | bool | None) -> str:
    """A constant as a scalar of the type that is calculated in."""
    if isinstance(value, bool):
        return f"tl.full((), {int(value)}, tl.int1)"
    if value is None:
        raise ValueError("literal: value must be a number, got None")
    text = f"float('{value}')" if math.isinf(value) or math.isnan(value) else repr(value)
    return f"tl.full((), {text}, REAL)"


class Body:
    """Statements of a kernel, for values that have or get names.

    Args:
        head: Where statements go that belong before the loop: constants, what depends on parameters alone.
        out: Where all others go.
    """

    def __init__(self, head: list[str], out: list[str]) -> None:
        self.head, self.out = head, out
        self.names: dict[Node, str] = {}
        self.steady: set[Node] = set()
        self._reciprocals: dict[Node, str] = {}

    def name(self, node: Node, text: str, *, steady: bool = False) -> Node:
        """Say what a node is called; steady: the same in all steps, and known before the loop."""
        self.names[node] = text
        if steady:
            self.steady.add(node)
        return node

    def text(self, node: Node) -> str:
        """Name of a value that has been computed, or of a constant."""
        if node.op == "const" and node not in self.names:
            name = f"vc{node.index}"
            self.head.append(f"    {name} = {literal(node.number)}")
            self.name(node, name, steady=True)
        return self.names[node]

    def emit(self, roots: Iterable[Node], indent: str, *, exact: bool) -> None:
        """Statements for everything that the roots need and that has no name yet."""
        roots = list(roots)
        order = [n for n in live(roots, stop=self.names) if n not in self.names]
        single = set() if exact else _used_once(order, roots)
        for node in order:
            if node.op == "const":
                self.text(node)
            elif node not in single:
                text = self._expression(node, single, exact)
                steady = all(a in self.steady for a in node.args)
                target, space = (self.head, "    ") if steady else (self.out, indent)
                target.append(f"{space}v{node.index} = {text}")
                self.name(node, f"v{node.index}", steady=steady)

    def _expression(self, node: Node, single: set[Node], exact: bool) -> str:
        op, args = node.op, node.args
        merged = next((k for k, a in enumerate(args) if a in single), None)
        if merged is not None:
            a, b = (self.text(x) for x in args[merged].args)
            other = self.text(args[1 - merged])
            if op == "sub" and merged == 0:
                other = f"-{other}"
            elif op == "sub":
                a = f"-{a}"
            return f"tl.fma({a}, {b}, {other})"
        if op == "div" and not exact and (args[1].op == "const" or args[1] in self.steady):
            return f"({self.text(args[0])} * {self._reciprocal(args[1])})"
        text = _EXACT.get(op) if exact else None
        return (text or OPERATIONS[op].triton).format(*(self.text(a) for a in args))

    def _reciprocal(self, node: Node) -> str:
        if node not in self._reciprocals:
            name = f"vr{node.index}"
            self.head.append(f"    {name} = _divided({literal(1.0)}, {self.text(node)})")
            self._reciprocals[node] = name
        return self._reciprocals[node]


def _used_once(order: Sequence[Node], roots: Sequence[Node]) -> set[Node]:
    """Products that one sum reads and nothing else, the later of two: they become a multiply-add."""
    uses = Counter(a for node in order for a in node.args)
    uses.update(roots)
    found = set[Node]()
    for node in order:
        products = [a for a in node.args if a.op == "mul"]
        if products and node.op in ("add", "sub"):
            found.add(max(products, key=lambda a: a.index))
    return {node for node in found & {*order} if uses[node] == 1}
