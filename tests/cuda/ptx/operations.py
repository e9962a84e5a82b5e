"""What instructions compute from numbers of all threads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.cuda.ptx.code import TYPES, WARP

__all__ = ["literal", "of", "read"]

Numbers = NDArray[Any]

_HALVES = {"f16x2", "bf16x2"}
_BEHIND = {*TYPES, *_HALVES, "rn", "approx", "full", "ftz"}
"""What may stand behind a name: types, and ways to round; numbers near zero are kept where ftz loses them."""

_COMPARED = {
    "eq": np.equal, "ne": np.not_equal, "lt": np.less, "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal,
}  # fmt: skip
_ROUNDED = {"rzi": np.trunc, "rmi": np.floor, "rpi": np.ceil, "rni": np.rint}
_BEHIND_SOME: dict[str, set[str]] = {
    "mul": {"lo", "hi", "wide"}, "mad": {"lo", "wide"}, "max": {"NaN"}, "min": {"NaN"}, "cvta": {"to", "global"},
    "cvt": {*_ROUNDED, "sat"}, "fma": {"rm"}, "setp": {*_COMPARED, *(f"{c}u" for c in _COMPARED), "nan", "num"},
    "shfl": {"sync", "up", "down", "bfly", "idx"}, "redux": {"sync", "add", "min", "max", "and", "or"},
    "vote": {"sync", "ballot", "any", "all"},
}  # fmt: skip
"""What else may stand behind some of them."""


def literal(text: str, kind: str) -> Numbers:
    """A number as it is written."""
    if text == "global_smem" or text.startswith("__local_depot"):
        return np.zeros(1, kind)
    if text[:2] in ("0f", "0d"):
        bits = np.array([int(text[2:], 16)], "u4" if text[1] == "f" else "u8")
        return bits.view(kind)
    number = int(text.rstrip("U"), 0)
    if kind[0] == "f":
        return np.array([number], kind)
    if kind == "?":
        return np.array([bool(number)])
    size = np.dtype(kind).itemsize
    return np.array([number & ((1 << 8 * size) - 1)], f"u{size}").view(kind)


@cache
def read(op: tuple[str, ...], args: tuple[str, ...]) -> list[tuple[str, str]]:
    """Operands of an instruction, each with the type it is read as."""
    kind = "u4" if op[-1] in _HALVES else TYPES[op[-1]]
    kinds = [kind] * (len(args) - 1)
    if op[0] == "cvt" and op[-2] in _HALVES:
        kinds = ["f4", "f4"]
    elif op[0] in ("shl", "shr"):
        kinds = [kind, "u4"]
    elif op[0] == "bfe":
        kinds = [kind, "u4", "u4"]
    elif op[0] == "selp":
        kinds[-1] = "?"
    elif op[0] in ("mad", "mul") and "wide" in op:
        kinds[2:] = [_twice(kind)] * len(kinds[2:])
    elif op[0] in ("shfl", "redux", "vote"):
        kinds = ["?" if op[0] == "vote" else kind, *["u4"] * (len(args) - 2)]
    return [*zip(args[1:], kinds, strict=True)]


@cache
def of(op: tuple[str, ...]) -> Callable[..., Any]:
    """The function of an instruction.

    Raises:
        NotImplementedError: If it is not known.
    """
    name = op[0]
    if name not in _PLAIN | _SPECIAL or {*op[1:]} - _BEHIND - _BEHIND_SOME.get(name, set()):
        raise NotImplementedError(".".join(op))
    if name != "cvt" and op[-1] in _HALVES:
        return _of_halves(of((*op[:-1], op[-1][:-2])), TYPES[op[-1][:-2]])
    if op[-1] == "bf16" and name not in ("cvt", "setp"):
        single = of((*op[:-1], "f32"))
        return lambda *x: _to_bf16(single(*map(_from_bf16, x)))
    if name in _SPECIAL:
        return _SPECIAL[name](op)
    plain = _PLAIN[name]
    return lambda *x: plain(*x).astype(TYPES[op[-1]], copy=False)


def _of_halves(function: Callable[..., Numbers], kind: str) -> Callable[..., Numbers]:
    """The same of two numbers in one register."""

    def packed(*values: Numbers) -> Numbers:
        pairs = [np.ascontiguousarray(x).view(kind).reshape(-1, 2) for x in values]
        return np.ascontiguousarray(function(*pairs)).view("u4")[:, 0]

    return packed


def _from_bf16(bits: Numbers) -> Numbers:
    return (bits.astype("u4") << 16).view("f4")


def _to_bf16(x: Numbers) -> Numbers:
    """Rounded to the nearest, ties to even."""
    bits = np.ascontiguousarray(x, "f4").view("u4")
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
    return np.where(np.isnan(x), 0x7FFF, rounded).astype("u2")


def _twice(kind: str) -> str:
    return kind[0] + str(2 * int(kind[1]))


def _fma(op: Sequence[str]) -> Callable[..., Numbers]:
    """Of float64 the product is rounded, too; of others hardly ever."""
    down, kind = "rm" in op, TYPES[op[-1]]
    if down and kind != "f4":
        raise NotImplementedError(".".join(op))

    def fused(a: Numbers, b: Numbers, c: Numbers) -> Numbers:
        exact = a.astype("f8") * b + c
        near = exact.astype(kind)
        return np.where(near > exact, np.nextafter(near, near - np.inf), near) if down else near

    return fused


def _multiply(op: Sequence[str]) -> Callable[..., Numbers]:
    if "wide" in op:
        wide = _twice(TYPES[op[-1]])
        return lambda a, b, *c: sum(c, a.astype(wide) * b.astype(wide))
    if "hi" in op:
        return lambda a, b: (
            (a.astype(object) * b.astype(object)) >> (8 * a.dtype.itemsize)
        ).astype(a.dtype)
    return lambda a, b, *c: sum(c, a * b)


def _maximum(op: Sequence[str]) -> Callable[..., Numbers]:
    strict, loose = (np.maximum, np.fmax) if op[0] == "max" else (np.minimum, np.fmin)
    return loose if op[-1][0] == "f" and "NaN" not in op else strict


def _divide(a: Numbers, b: Numbers) -> Numbers:
    """Integers towards zero; what is divided by zero is anything."""
    if a.dtype.kind == "f":
        return a / b
    safe = np.where(b == 0, 1, b)
    return (a - np.fmod(a, safe)) // safe


def _shift(op: Sequence[str]) -> Callable[..., Numbers]:
    """A shift by the width or more leaves nothing but the sign."""

    def shifted(a: Numbers, by: Numbers) -> Numbers:
        bits = 8 * a.dtype.itemsize
        most = np.minimum(by, bits - 1).astype(a.dtype)
        if op[0] == "shl":
            return np.where(by < bits, a << most, 0).astype(a.dtype)
        return np.where((by < bits) | (op[-1][0] == "s"), a >> most, 0).astype(a.dtype)

    return shifted


def _field(op: Sequence[str]) -> Callable[..., Numbers]:
    """Some bits, the upper one as sign where there is one."""
    wide = "i8" if op[-1][0] == "s" else "u8"

    def bits(a: Numbers, start: Numbers, count: Numbers) -> Numbers:
        left = (64 - start - count).astype(wide)
        return ((a.astype(wide) << left) >> (64 - count).astype(wide)).astype(a.dtype)

    return bits


def _compare(op: Sequence[str]) -> Callable[..., Numbers]:
    """One that ends with u holds for numbers that are none, too."""

    def compared(a: Numbers, b: Numbers) -> Numbers:
        a, b = (_from_bf16(x) if op[-1] == "bf16" else x for x in (a, b))
        nan = (a != a) | (b != b)
        if op[1] in ("nan", "num"):
            return nan if op[1] == "nan" else ~nan
        loose = op[1].endswith("u") and op[1][:-1] in _COMPARED
        found = _COMPARED[op[1][:-1] if loose else op[1]](a, b)
        return found | nan if loose else found & ~nan

    return compared


def _convert(op: Sequence[str]) -> Callable[..., Numbers]:
    to, source = op[-2:]
    floats = {"f32", "f64"} >= {to, source}
    if (to in _HALVES and source != "f32") or source in _HALVES or ("sat" in op and not floats):
        raise NotImplementedError(".".join(op))

    def pair(high: Numbers, low: Numbers) -> Numbers:
        narrow = _to_bf16 if to == "bf16x2" else lambda x: x.astype("f2").view("u2")
        return (narrow(high).astype("u4") << 16) | narrow(low)

    def converted(x: Numbers) -> Numbers:
        x = _from_bf16(x) if source == "bf16" else x
        for mode in _ROUNDED.keys() & set(op):
            x = _ROUNDED[mode](x)
        if "sat" in op:
            x = np.where(np.isnan(x), 0, np.clip(x, 0, 1)).astype(x.dtype)
        if to == "bf16":
            return _to_bf16(x)
        if x.dtype.kind == "f" and to[0] in "us":  # at most the largest that there is
            limits = np.iinfo(TYPES[to])
            x = np.clip(
                np.nan_to_num(x.astype("f8")), limits.min, np.nextafter(limits.max + 1.0, 0)
            )
        return x.astype(TYPES[to])

    return pair if to.endswith("x2") else converted


def _all_take_part(members: Numbers) -> None:
    """Of a warp.

    Raises:
        NotImplementedError: If only some shall.
    """
    if (members != 0xFFFFFFFF).any():
        raise NotImplementedError("an exchange between some threads of a warp")


def _shuffle(op: Sequence[str]) -> Callable[..., Any]:
    """Numbers of other threads of a warp, or the own one where there is none."""

    def shuffled(x: Numbers, by: Numbers, clamp: Numbers, members: Numbers) -> Numbers:
        _all_take_part(members)
        threads = len(x)
        lane, by = np.arange(threads) % WARP, (by % WARP).astype(np.int64)
        segment, most = (clamp >> 8).astype(np.int64) & 31, clamp.astype(np.int64) & 31
        end = (lane & segment) | (most & ~segment)
        other = {
            "up": lane - by, "down": lane + by, "bfly": lane ^ by, "idx": (lane & segment) | (by & ~segment),
        }[op[2]]  # fmt: skip
        there = other >= end if op[2] == "up" else other <= end
        return x[np.where(there, other, lane) + np.arange(threads) // WARP * WARP]

    return shuffled


def _reduce(op: Sequence[str]) -> Callable[..., Numbers]:
    """Of all threads of a warp."""
    function: Any = {
        "add": np.add, "min": np.minimum, "max": np.maximum, "and": np.bitwise_and, "or": np.bitwise_or,
    }[op[2]]  # fmt: skip

    def reduced(x: Numbers, members: Numbers) -> Numbers:
        _all_take_part(members)
        return np.repeat(function.reduce(x.reshape(-1, WARP), axis=1, dtype=x.dtype), WARP)

    return reduced


def _vote(op: Sequence[str]) -> Callable[..., Numbers]:
    """A bit of each thread of a warp, or whether it holds for any or for all."""

    def voted(x: Numbers, members: Numbers) -> Numbers:
        _all_take_part(members)
        warps = x.reshape(-1, WARP)
        if op[2] != "ballot":
            return np.repeat(warps.any(1) if op[2] == "any" else warps.all(1), WARP)
        bits = warps.astype("u4") << np.arange(WARP, dtype="u4")
        return np.repeat(np.bitwise_or.reduce(bits, axis=1), WARP)

    return voted


_PLAIN: dict[str, Callable[..., Numbers]] = {
    "mov": lambda x: x, "cvta": lambda x: x, "popc": np.bitwise_count,
    "add": np.add, "sub": np.subtract, "neg": np.negative, "abs": np.abs, "div": _divide,
    "rem": lambda a, b: np.fmod(a, np.where(b == 0, 1, b)), "rcp": lambda x: 1 / x, "sqrt": np.sqrt,
    "ex2": np.exp2, "lg2": np.log2, "sin": np.sin, "cos": np.cos, "tanh": np.tanh, "and": np.bitwise_and,
    "copysign": lambda sign, x: np.copysign(x, sign), "or": np.bitwise_or, "xor": np.bitwise_xor, "not": np.invert,
    "selp": lambda a, b, which: np.where(which, a, b),
}  # fmt: skip
_SPECIAL: dict[str, Callable[[Sequence[str]], Callable[..., Any]]] = {
    "mul": _multiply, "mad": _multiply, "max": _maximum, "min": _maximum, "shl": _shift, "shr": _shift, "bfe": _field,
    "setp": _compare, "cvt": _convert, "shfl": _shuffle, "redux": _reduce,
    "vote": _vote, "fma": _fma,
}  # fmt: skip
