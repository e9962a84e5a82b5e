"""C for a step: what `plan` says, with the time loop inside.

The printed bodies stand between a prologue and the time loops of `driver.h` and `recurrent.h`, which are the same for
every step. Names: `s0` a state before a step, `n0` after it, `a0` its gradient, `p0` a parameter, `x` the input, `z`
the spikes, `gx`, `gz` their gradients.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from snn_neuromod.kernels.fusion.graph import Node
from snn_neuromod.kernels.fusion.loops import Sink, Work, body
from snn_neuromod.kernels.fusion.plan import EVERY, Plan, Reverse, Variant, invariant, plan
from snn_neuromod.kernels.fusion.trace import Step

TILE = 128
_FOLDER = Path(__file__).parent
_SHARED = _FOLDER.parent / "c"
_TYPES = {torch.float32: "float", torch.float64: "double"}

_PROLOGUE = """\
#if defined(_WIN32)
#define EXPORT __declspec(dllexport)
#else
#define EXPORT __attribute__((visibility("default")))
#endif
"""

_CALL = """\
typedef struct {
    int64_t T, E, num, keep;
    int64_t x_step, gz_step; /* E, or 0 where there is memory for one step */
    const int64_t *strides;
    const REAL *x;
    REAL *z;
    const REAL *gz;
    REAL *gx;
    const REAL *const *p;
    REAL *const *s, *const *m, *const *a, *const *g;
} Call;

/* A tile's values of a parameter with these strides by step, row and neuron. */
INLINE void spread(REAL *restrict out, const Call *call, int k, int64_t t, int64_t first, int64_t wide) {
    const int64_t *strides = call->strides + 3 * k;
    const REAL *data = call->p[k] + t * strides[0];
    int64_t row = first / call->num, column = first % call->num;
    for (int64_t n = 0; n < wide; row++, column = 0) {
        const int64_t rest = n + call->num - column, stop = wide < rest ? wide : rest;
        for (int64_t c = column; n < stop; n++, c++) out[n] = data[row * strides[1] + c * strides[2]];
    }
}
"""

_ARGUMENTS = "const Call *call, Work *w, int64_t t, int64_t k, int64_t first, int64_t wide"


class Source(NamedTuple):
    """Printed kernels of one step.

    Attributes:
        text: C, complete.
        kept: Numbers of the states that the forward pass keeps every `EVERY` steps.
        variant: What they were printed for.
    """

    text: str
    kept: tuple[int, ...]
    variant: Variant


def source(step: Step, variant: Variant, dtype: torch.dtype) -> Source:
    """Print the kernels of a step.

    Args:
        step: The traced step.
        variant: What is fixed in them.
        dtype: float32 or float64.

    Returns:
        The source and what a caller has to know of it.
    """
    made = plan(step, variant)
    text = _Printer(step, variant, made).text(_TYPES[dtype])
    return Source(text, made.kept, variant)


class _Printer:
    def __init__(self, step: Step, variant: Variant, made: Plan) -> None:
        self.step, self.variant, self.plan = step, variant, made
        memo: dict[Node, bool] = {}
        self.work = Work(lambda node: invariant(node, variant.per_step, memo))
        self.sums = [k for k in variant.needed if k not in variant.per_step]
        self.fused = "" if made.exact else "FUSED "

    def text(self, real: str) -> str:
        bodies = [
            *self._step(),
            *self._again(),
            *self._reverse("last_step", self.plan.last),
            *self._reverse("other_step", self.plan.other),
        ]
        fixed = [
            f"#define REAL {real}",
            f"#define NAME(name) name##_{real}",
            f"#define MATH(name) name{'##f' if real == 'float' else ''}",
            "#define CLONES",
        ]
        parts = [
            _PROLOGUE,
            *map(_pasted, [_SHARED / "common.h", _SHARED / "tanh.h", _FOLDER / "functions.h"]),
            *fixed,
            *map(_pasted, [_SHARED / "events.h", _SHARED / "weights.h"]),
            "#define KERNEL snn_kernel",
            "#define RECURRENT snn_recurrent",
            *self._sizes(),
            _CALL,
            *self._work(),
            *self._once(),
            *bodies,
            *map(_pasted, [_FOLDER / "driver.h", _FOLDER / "recurrent.h"]),
        ]
        return "\n".join(parts)

    def _sizes(self) -> list[str]:
        names = [f"p{k}: {name}" for k, name in enumerate(self.step.params)]
        names += [f"s{k}: {name}" for k, name in enumerate(self.step.states)]
        comment = ", ".join(names).encode("ascii", "backslashreplace").decode()
        sums = [self.variant.needed.index(k) for k in self.sums]
        return [
            f"/* {comment} */",
            f"#define TILE {TILE}",
            f"#define EVERY {EVERY}",
            f"#define NUM_PARAMS {len(self.step.params)}",
            f"#define NUM_STATES {len(self.step.states)}",
            f"#define NUM_KEPT {len(self.plan.kept)}",
            f"#define NUM_SUMS {len(sums)}",
            f"#define AGAIN {int(bool(self.plan.kept or self.plan.costly))}",
            _table("KEPT", self.plan.kept),
            _table("SUMS", sums),
        ]

    def _work(self) -> list[str]:
        """A tile's rows; only known when all bodies are printed."""
        fixed = self.work.fixed or ["unused"]
        lines = [
            "typedef struct {",
            *(f"    REAL {name}[TILE];" for name in fixed),
            "} Fixed;",
            "typedef struct {",
            "    _Alignas(64) REAL s[NUM_STATES][EVERY + 1][TILE], a[NUM_STATES][TILE];",
        ]
        lines.append(f"    REAL g[{max(1, len(self.sums))}][TILE];")
        lines += [f"    REAL {name}{many}[TILE];" for name, many in self.work.rows.items()]
        return [*lines, "    Fixed *fixed;", "} Work;"]

    def _once(self) -> list[str]:
        head = "static void once(const Call *call, Work *w, int64_t first, int64_t wide) {"
        fixed = sorted(self.work.params - set(self.variant.per_step))
        lines = [f"spread(w->fixed->p{k}, call, {k}, 0, first, wide);" for k in fixed]
        if self.work.once:
            loop = [f"    {line}" for line in self.work.once]
            lines += ["for (int64_t n = 0; n < wide; n++) {", *loop, "}"]
        return [head, *_indented(lines), "}"]

    def _names(self, graph_inputs: Mapping[str, str]) -> dict[Node, str]:
        """Names of arrays that hold inputs of the graph."""
        return {self._input(name): text for name, text in graph_inputs.items()}

    def _input(self, name: str) -> Node:
        return self.plan.graph.input(name)

    def _varying(self) -> dict[str, str]:
        return {f"p{k}": self.work.row(f"p{k}") for k in self.variant.per_step}

    def _step(self) -> list[str]:
        states = range(len(self.step.states))
        names = {"x": "x[n]", **{f"s{k}": f"s{k}[n]" for k in states}, **self._varying()}
        sinks = [Sink("z[n]", self.plan.spikes)]
        sinks += [Sink(f"s{k}[n]", node) for k, node in self.plan.after.items()]
        rows = {f"s{k}": f"w->s[{k}][0]" for k in states}
        rows |= {"*x": "call->x + t * call->x_step + first", "z": "call->z + t * call->E + first"}
        lines = [*self._spread(), *_pointers(rows), *body(sinks, self._names(names), self.work)]
        head = f"{self.fused}static void step({_ARGUMENTS}) {{"
        return [head, *self._contract(), *_indented(lines), "}"]

    def _again(self) -> list[str]:
        names, rows = self._stretch()
        sinks = [Sink(f"n{k}[n]", self.plan.after[k], early=True) for k in self.plan.kept]
        costly = {node: f"c{j}[n]" for j, node in enumerate(self.plan.costly)}
        lines = body(sinks, self._names(names), self.work, costly)
        head = f"{self.fused}static void again({_ARGUMENTS}) {{"
        return [
            head,
            *self._contract(),
            *_indented([*self._spread(), *_pointers(rows), *lines]),
            "}",
        ]

    def _reverse(self, name: str, reverse: Reverse) -> list[str]:
        names, rows = self._stretch()
        states, row = range(len(self.step.states)), "t * call->E + first"
        names |= {f"a{k}": f"a{k}[n]" for k in states} | {"gz": "gz[n]"}
        names |= {f"c{j}": f"c{j}[n]" for j in range(len(self.plan.costly))}
        names |= {f"n{k}": f"n{k}[n]" for k in self.plan.kept}
        rows |= {f"a{k}": f"w->a[{k}]" for k in states}
        rows |= {"*gz": "call->gz + t * call->gz_step + first", "gx": f"call->gx + {row}"}
        sinks = [Sink("gx[n]", reverse.current)]
        sinks += [Sink(f"a{k}[n]", node) for k, node in reverse.state.items()]
        for j, (number, node) in enumerate(reverse.params.items()):
            if number in self.variant.per_step:
                rows[f"g{j}"] = f"call->g[{j}] + {row}"
                sinks.append(Sink(f"g{j}[n]", node))
            elif node.number != 0:
                rows[f"g{j}"] = f"w->g[{self.sums.index(number)}]"
                sinks.append(Sink(f"g{j}[n]", node, add=True))
        lines = [*self._spread(), *_pointers(rows), *body(sinks, self._names(names), self.work)]
        return [
            f"FUSED static void {name}({_ARGUMENTS}) {{",
            "    FUSED_BLOCK",
            *_indented(lines),
            "}",
        ]

    def _stretch(self) -> tuple[dict[str, str], dict[str, str]]:
        """Names and rows of what a step of a stretch has."""
        names = {"x": "x[n]", **self._varying()}
        rows = {"*x": "call->x + t * call->x_step + first"}
        for k in range(len(self.step.states)):
            moves = k in self.plan.moving
            names[f"s{k}"] = f"s{k}[n]"
            rows[f"s{k}"] = f"w->s[{k}][{'k' if moves else 0}]"
            if k in self.plan.kept:
                rows[f"n{k}"] = f"w->s[{k}][k + 1]"
        for j in range(len(self.plan.costly)):
            self.work.row(f"c{j}", "[EVERY]")
            rows[f"c{j}"] = f"w->c{j}[k]"
        return names, rows

    def _spread(self) -> list[str]:
        return [f"spread(w->p{k}, call, {k}, t, first, wide);" for k in self.variant.per_step]

    def _contract(self) -> list[str]:
        return ["    FUSED_BLOCK"] if self.fused else []


def _pointers(rows: Mapping[str, str]) -> list[str]:
    """Local names of rows; a star marks one that is only read."""
    lines = []
    for name, place in rows.items():
        const = "const " if name[0] == "*" else ""
        lines.append(f"{const}REAL *const {name.lstrip('*')} = {place};")
    return lines


def _pasted(path: Path) -> str:
    """A source with what it includes of its folder."""
    text = path.read_text(encoding="utf-8")
    return re.sub(r'^#include "(.*)"$', lambda m: _pasted(path.parent / m[1]), text, flags=re.M)


def _table(name: str, values: Sequence[int]) -> str:
    listed = ", ".join(map(str, values)) or "0"
    return f"static const int {name}[] = {{{listed}}};"


def _indented(lines: Sequence[str]) -> list[str]:
    return [f"    {line}" for line in lines]
