"""Functions of tensors, printed: every operation writes into a result or into scratch that liveness hands on."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from snn_neuromod.kernels.fusion.graph import Node
from snn_neuromod.kernels.fusion.operations import OPERATIONS
from snn_neuromod.kernels.fusion.pytorch.lines import Line, Lines, Operand, Part
from snn_neuromod.kernels.fusion.pytorch.preamble import Preamble

__all__ = ["Part", "Program"]

_OTHERS = ["addcmul", "clamp", "lerp", "bitwise_and", "bitwise_not", "bitwise_xor"]
_CALLS = [*_OTHERS, *filter(None, (operation.torch for operation in OPERATIONS.values()))]
_BITS = {2: torch.int16, 4: torch.int32, 8: torch.int64}
_FORMS = {"real": "w", "bool": "b", "bits": "i"}
_TYPES = {"real": "", "bool": ", dtype=bool", "bits": ", dtype=bits"}


class Program:
    """Functions with one preamble, in which what does not change with time is computed.

    Args:
        parts: What to print, nodes of one graph.
        fixed: Whether a node does not change with time; such inputs are given to `bind`.
        number: Whether such a node is one number on a CPU.
        exact: Whether results are rounded as the step rounds them.
        bits: Whether to choose bit by bit, which is faster on a CPU.

    Attributes:
        text: The source.
        reads: Of each part the names of its inputs: its first arguments. Those of its targets follow.
    """

    def __init__(
        self,
        parts: Sequence[Part],
        fixed: Callable[[Node], bool],
        number: Callable[[Node], bool],
        *,
        exact: bool,
        bits: bool,
    ) -> None:
        preamble = Preamble(fixed, number)
        made = [Lines(part, preamble, exact=exact, bits=bits) for part in parts]
        self.reads = [lines.reads for lines in made]
        names = [f"run{k}" for k in range(len(parts))]
        functions = [
            line
            for name, part, lines in zip(names, parts, made, strict=True)
            for line in _Function(name, part, lines).text()
        ]
        given = "".join(f", {name}" for name in preamble.inputs)
        body = [*preamble.lines, *functions, f"return [{', '.join(names)}]"]
        self.text = "\n".join([f"def bind(like, bits{given}):", *_indented(body), ""])
        self._inputs = preamble.inputs
        space: dict[str, Any] = {name: getattr(torch, name) for name in _CALLS}
        space |= {"inf": math.inf, "nan": math.nan}
        exec(compile(self.text, "<printed from a step>", "exec"), space)
        self._bind = space["bind"]

    def bind(self, like: Tensor, given: Mapping[str, Tensor]) -> list[Callable[..., Any]]:
        """The functions, with the preamble computed.

        A function that is no loop takes one more argument first: a tensor of the shape of what it computes.

        Args:
            like: A tensor of one step, whose type and device are those of all.
            given: Fixed inputs by name.
        """
        names = [given[name] for name in self._inputs]
        found: list[Callable[..., Any]] = self._bind(like, _BITS[like.element_size()], *names)
        return found


def _indented(lines: Sequence[str]) -> list[str]:
    return [f"    {line}" for line in lines]


class _Function:
    """The text of one part: its lines with their places in memory."""

    def __init__(self, name: str, part: Part, lines: Lines) -> None:
        self.name, self.part, self.lines = name, part, lines
        self.places: dict[int, str] = {}
        self.free: dict[str, list[str]] = {kind: [] for kind in _FORMS}
        self.scratch: list[str] = []

    def text(self) -> list[str]:
        arguments = [*self.lines.reads, *self.lines.targets]
        inner = self._statements()
        if self.part.loop:
            rows = ", ".join(arguments)
            body = [f"for {rows}, in zip({rows}, strict=True):", *_indented(inner)]
            return [*self.scratch, f"def {self.name}({rows}):", *_indented(body)]
        results = ", ".join(map(self._operand, self.lines.results))
        body = [*self.scratch, *inner, f"return [{results}]"]
        return [f"def {self.name}({', '.join(['like', *arguments])}):", *_indented(body)]

    def _statements(self) -> list[str]:
        lines = self.lines.lines
        last = {a: k for k, line in enumerate(lines) for a in line.args}
        last |= dict.fromkeys(self.lines.results, len(lines))
        home: dict[int, str] = {}
        copied: list[str] = []
        for target, operand in self.lines.targets.items():
            if isinstance(operand, int) and operand not in home:
                home[operand] = target
            else:
                copied.append(target)
        found = []
        for k, line in enumerate(lines):
            args = [self._argument(a, line) for a in line.args]
            for a in dict.fromkeys(line.args):
                if isinstance(a, int) and last[a] == k and a not in home:
                    self.free[lines[a].kind].append(self.places[a])
            self.places[k] = home[k] if k in home else self._place(line)
            out = f"{self.places[k]}{_view(line, line.kind)}"
            text = f"{line.call}({', '.join(args)}{line.more}, out={out})"
            found.append(f"{out}.copy_({args[0]})" if line.call == "copy" else text)
        return found + [f"{t}.copy_({self._operand(self.lines.targets[t])})" for t in copied]

    def _place(self, line: Line) -> str:
        """Scratch that is free, or new."""
        if self.free[line.kind]:
            return self.free[line.kind].pop()
        name = f"{_FORMS[line.kind]}{len(self.scratch)}_{self.name}"
        self.scratch.append(f"{name} = like.new_empty(like.shape{_TYPES[line.kind]})")
        return name

    def _operand(self, operand: Operand) -> str:
        return operand if isinstance(operand, str) else self.places[operand]

    def _argument(self, operand: Operand, line: Line) -> str:
        kind = "real" if isinstance(operand, str) else self.lines.lines[operand].kind
        return f"{self._operand(operand)}{_view(line, kind)}"


def _view(line: Line, kind: str) -> str:
    return ".view(bits)" if line.viewed and kind == "real" else ""
