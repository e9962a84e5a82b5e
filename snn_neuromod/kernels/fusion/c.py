"""C for a step: what `plan` says, with the time loop inside.

The printed bodies stand between `call.h` and the time loops of `driver.h` and `recurrent.h`, which are the same for
every step. Names: `s0` a state before a step, `n0` after it, `a0` its gradient, `p0` a parameter, `x` the input, `z`
the spikes, `gx`, `gz` their gradients.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from snn_neuromod.kernels.fusion.graph import Node, live
from snn_neuromod.kernels.fusion.loops import Body, Sink
from snn_neuromod.kernels.fusion.operations import COSTLY
from snn_neuromod.kernels.fusion.plan import Plan, Reverse
from snn_neuromod.kernels.fusion.trace import Step, invariants
from snn_neuromod.kernels.fusion.work import Work

TYPES = {torch.float32: "float", torch.float64: "double"}
"""What reals may be, and what C calls them."""

FEW = 10
"""Operations of a step up to which it waits for memory."""

_FOLDER = Path(__file__).parent
_SHARED = _FOLDER.parent / "c"

_ROUNDED = ("#undef FUSED", "#undef FUSED_BLOCK", "#define FUSED", "#define FUSED_BLOCK")
"""Each operation is rounded by itself, in gradients too."""
_SEQUENCES = ("x", "z", "gz", "gx")
_ARGUMENTS = "const Call *call, Work *w, int64_t t, int64_t k, int64_t first, int64_t wide"


_WORK = """\
#define LEVEL(k) (w->levels + (k) * w->apart)
typedef struct { /* a tile */
    _Alignas(64) REAL a[NUM_STATES][TILE], g[NUM_PARAMS + 1][TILE];
    Fixed *fixed;
    Scratch *scratch;
    Level *levels; /* of the steps of a stretch, so many apart */
    int64_t apart, first, wide;
} Work;"""


class Source(NamedTuple):
    """Printed kernels of one step.

    Attributes:
        text: C, complete.
        kept: Numbers of the states that the forward pass keeps every `EVERY` steps.
        zero: Numbers of the states whose gradient is 0 if it is 0 at the end.
        reads: Whether the reverse pass reads input or states where no parameter needs a gradient.
    """

    text: str
    kept: tuple[int, ...]
    zero: tuple[int, ...]
    reads: bool


def source(step: Step, dtype: torch.dtype, *, exact: bool = False) -> Source:
    """Kernels of a step, complete.

    Args:
        step: The traced step.
        dtype: float32 or float64.
        exact: Whether both passes compute what PyTorch would, operation by operation.

    Returns:
        The source and what a caller has to know of it.
    """
    made = bodies(step, exact=exact)
    real = TYPES[dtype]
    parts = [
        *map(_pasted, [_SHARED / "common.h", _FOLDER / "functions.h"]),
        *(_ROUNDED if exact else []),
        f"#define REAL {real}",
        f"#define NAME(name) name##_{real}",
        f"#define MATH(name) name{'##f' if real == 'float' else ''}",
        "#define CLONES",
        *map(_pasted, [_SHARED / "events.h", _SHARED / "weights.h"]),
        "#define KERNEL snn_kernel",
        "#define RECURRENT snn_recurrent",
        _pasted(_FOLDER / "call.h"),
        made.text,
        *map(_pasted, [_FOLDER / "driver.h", _FOLDER / "recurrent.h"]),
    ]
    return made._replace(text="\n".join(parts))


def bodies(step: Step, *, exact: bool = False) -> Source:
    """What is printed of a step, without what is the same for all: it stands between `call.h` and `driver.h`."""
    made, zero = Plan(step, exact=exact), tuple(sorted(step.silent()))
    return Source(_Printer(step, made, zero).text(), made.kept, zero, made.reads)


class _Printer:
    def __init__(self, step: Step, made: Plan, zero: Sequence[int]) -> None:
        self.step, self.plan, self.zero = step, made, zero
        self.num_params = len(step.params) - step.num_numbers
        self.work = Work(invariants(), self.num_params)
        self.exact, self.differs = made.exact, made.last != made.other

    def text(self) -> str:
        printed = [
            *self._step(),
            *self._again(),
            *(self._reverse("last_step", self.plan.last) if self.differs else []),
            *self._reverse("learning_step", self.plan.other),
            *self._reverse("other_step", self.plan.bare),
        ]
        return "\n".join([*self._sizes(), *self._work(), *self._refresh(), *printed, ""])

    def _sizes(self) -> list[str]:
        names = [f"p{k}: {name}" for k, name in enumerate(self.step.params)]
        names += [f"s{k}: {name}" for k, name in enumerate(self.step.states)]
        comment = ", ".join(names).encode("ascii", "backslashreplace").decode()
        return [
            f"/* {comment} */",
            f"#define NUM_PARAMS {self.num_params}",
            f"#define NUM_NUMBERS {self.step.num_numbers}",
            f"#define NUM_STATES {len(self.step.states)}",
            f"#define NUM_KEPT {len(self.plan.kept)}",
            f"#define AGAIN {int(bool(self.plan.kept or self.plan.costly))}",
            f"#define READS {int(self.plan.reads)}",
            f"#define EXACT {int(self.exact)}",
            f"#define DIFFERS {int(self.differs)}",
            f"#define STREAMS {int(self._waits())}",
            _table("KEPT", self.plan.kept),
        ]

    def _waits(self) -> bool:
        """Whether a step has so little to compute that it waits for memory."""
        nodes = live([self.plan.spikes, *self.plan.after.values()])
        nodes = [node for node in nodes if node.args and not self.work.invariant(node)]
        return len(nodes) <= FEW and not any(node.op in COSTLY for node in nodes)

    def _work(self) -> list[str]:
        """A tile's rows; only known when all bodies are printed."""
        return [
            "typedef struct {",
            *(f"    REAL {name}[TILE];" for name in self.work.fixed or ["unused"]),
            "} Fixed;",
            "typedef struct {",
            "    _Alignas(64) REAL s[NUM_STATES][TILE];",
            *(f"    REAL c{j}[TILE];" for j in range(len(self.plan.costly))),
            "} Level;",
            "typedef struct {",
            "    _Alignas(64) REAL x[TILE], z[TILE], gz[TILE], gx[TILE];",
            *(f"    REAL {name}[TILE];" for name in self.work.rows),
            "} Scratch;",
            _WORK,
        ]

    def _refresh(self) -> list[str]:
        """Values that do not change with time, or those that depend on what is given per step."""
        head = (
            "static void refresh(\n"
            "    const Call *call, Work *w, int64_t t, int64_t first, int64_t wide, const int all) {"
        )
        lines = []
        for k in sorted(self.work.params):
            lines += [
                f"const int c{k} = all || call->strides[{3 * k}];",
                f"if (c{k}) spread(w->fixed->p{k}, call, {k}, t, first, wide);",
            ]
        together: dict[frozenset[int], list[str]] = {}
        for reads, text in self.work.once:
            together.setdefault(reads, []).append(text)
        for reads, texts in sorted(
            together.items(), key=lambda item: (len(item[0]), sorted(item[0]))
        ):
            condition = " || ".join(f"c{k}" for k in sorted(reads)) or "all"
            lines += [f"if ({condition}) for (int64_t n = 0; n < wide; n++) {{"]
            lines += [*(f"    {text}" for text in texts), "}"]
        return [head, *_indented([*self.work.declared(lines), *lines]), "}"]

    def _names(self, graph_inputs: Mapping[str, str]) -> dict[Node, str]:
        """Names of arrays that hold inputs of the graph."""
        return {self.plan.graph.input(name): text for name, text in graph_inputs.items()}

    def _step(self) -> list[str]:
        states = range(len(self.step.states))
        names = {"x": "x[n]", **{f"s{k}": f"s{k}[n]" for k in states}}
        sinks = [Sink("z[n]", self.plan.spikes)]
        sinks += [Sink(f"s{k}[n]", node) for k, node in self.plan.after.items()]
        rows = {f"s{k}": f"w->levels->s[{k}]" for k in states}
        rows |= {"*x": "call->x + t * call->x_step + first", "z": "call->z + t * call->E + first"}
        return self._function("step", rows, Body(sinks, self._names(names), self.work))

    def _again(self) -> list[str]:
        names, rows = self._stretch()
        sinks = [Sink(f"n{k}[n]", self.plan.after[k], early=True) for k in self.plan.kept]
        costly = {node: f"c{j}[n]" for j, node in enumerate(self.plan.costly)}
        made = Body(sinks, self._names(names), self.work, costly)
        return self._function("again", rows, made)

    def _reverse(self, name: str, reverse: Reverse) -> list[str]:
        names, rows = self._stretch()
        states, row = range(len(self.step.states)), "t * call->E + first"
        names |= {f"a{k}": f"a{k}[n]" for k in states} | {"gz": "gz[n]"}
        names |= {f"c{j}": f"c{j}[n]" for j in range(len(self.plan.costly))}
        names |= {f"n{k}": f"n{k}[n]" for k in self.plan.kept}
        rows |= {f"a{k}": f"w->a[{k}]" for k in states}
        rows |= {"*gz": "call->gz + t * call->gz_step + first", "gx": f"call->gx + {row}"}
        learned = [
            Sink(
                f"w->g[{k}][n]",
                node,
                add=True,
                guard=f"call->g[{k}]",
                then=f"if (call->strides[{3 * k}]) flush(w->g[{k}], call, {k}, t, first, wide);",
            )
            for k, node in reverse.params.items()
        ]
        sinks = [Sink("gx[n]", reverse.current)]
        state = {k: Sink(f"a{k}[n]", node) for k, node in reverse.state.items()}
        sinks += [sink for k, sink in state.items() if k not in self.zero]
        seeded = [
            sink._replace(guard=f"call->a[{self.zero[0]}]")
            for k, sink in state.items()
            if k in self.zero
        ]
        made = Body([*sinks, *learned, *seeded], self._names(names), self.work)
        return self._function(name, rows, made)

    def _function(self, name: str, rows: Mapping[str, str], made: Body) -> list[str]:
        lines = made.lines
        used = set(re.findall(r"\b[a-z]+\d*\b", "\n".join(lines)))
        rows = {k: place for k, place in rows.items() if k.lstrip("*") in used}
        lines = ["const int64_t full = WHOLE(wide);", *_pointers(rows), *lines, *_leaving(rows)]
        return [f"INLINE void {name}(\n    {_ARGUMENTS}) {{", *_indented(lines), "}"]

    def _stretch(self) -> tuple[dict[str, str], dict[str, str]]:
        """Names and rows of what a step of a stretch has."""
        names, rows = {"x": "x[n]"}, {"*x": "call->x + t * call->x_step + first"}
        for k in range(len(self.step.states)):
            moves = k in self.plan.moving
            names[f"s{k}"] = f"s{k}[n]"
            rows[f"s{k}"] = f"{'LEVEL(k)' if moves else 'w->levels'}->s[{k}]"
            if k in self.plan.kept:
                rows[f"n{k}"] = f"LEVEL(k + 1)->s[{k}]"
        for j in range(len(self.plan.costly)):
            rows[f"c{j}"] = f"LEVEL(k)->c{j}"
        return names, rows


def _pointers(rows: Mapping[str, str]) -> list[str]:
    """Local names of rows; a star marks one that is only read."""
    lines = []
    for name, place in rows.items():
        if name.lstrip("*") in _SEQUENCES:
            row = f"w->scratch->{name.lstrip('*')}"
            form = "arriving(" if name[0] == "*" else "leaving(call, "
            place = f"{form}{row}, {place}, wide)"
        const = "const " if name[0] == "*" else ""
        lines.append(f"{const}REAL *const {name.lstrip('*')} = {place};")
    return lines


def _leaving(rows: Mapping[str, str]) -> list[str]:
    return [f"left(call, {rows[x]}, {x}, wide);" for x in _SEQUENCES if x in rows]


def _pasted(path: Path) -> str:
    """A source with what it includes of its folder."""
    text = path.read_text(encoding="utf-8")
    return re.sub(r'^#include "(.*)"$', lambda m: _pasted(path.parent / m[1]), text, flags=re.M)


def _table(name: str, values: Sequence[int]) -> str:
    listed = ", ".join(map(str, values)) or "0"
    return f"static const int {name}[] = {{{listed}}};"


def _indented(lines: Sequence[str]) -> list[str]:
    return [f"    {line}" for line in lines]
