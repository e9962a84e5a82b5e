"""PTX, read."""

from __future__ import annotations

import re
from typing import NamedTuple

__all__ = ["TYPES", "WARP", "Instruction", "Kernel"]

WARP = 32
"""Threads that go together."""

TYPES = {
    "pred": "?", "b8": "u1", "u8": "u1", "s8": "i1", "b16": "u2", "u16": "u2", "s16": "i2", "b32": "u4", "u32": "u4",
    "s32": "i4", "b64": "u8", "u64": "u8", "s64": "i8", "f16": "f2", "bf16": "u2", "f32": "f4", "f64": "f8",
}  # fmt: skip
"""NumPy's names of types; of bf16 the bits."""

_SAY_NOTHING = {".pragma"}
"""Directives that change no result."""


class Instruction(NamedTuple):
    """One instruction.

    Attributes:
        text: How it is written.
        guard: Register that tells which threads take it, and whether those for which it is false; None: all.
        op: Its name, with everything behind points.
        args: Operands.
    """

    text: str
    guard: tuple[str, bool] | None
    op: tuple[str, ...]
    args: tuple[str, ...]


class Kernel:
    """A kernel.

    Args:
        text: A module that holds one.

    Attributes:
        name: Its name.
        params: Names of its parameters.
        instructions: All of them.
        labels: Places among them.
        local: Bytes of each thread's own memory.
    """

    def __init__(self, text: str) -> None:
        head, _, rest = text[text.index(".visible .entry") :].partition("\n{")
        self.name = head.split()[2].rstrip("(")
        self.params = re.findall(r"\w+_param_\d+", head)
        self.instructions: list[Instruction] = []
        self.labels: dict[str, int] = {}
        self.local = 0
        self._kinds: dict[str, str] = {}
        for statement in _statements(rest.split("\n}\n")[0]):
            self._add(statement)

    def kind(self, register: str) -> str:
        """Type of a register's bits."""
        own = self._kinds.get(register) or self._kinds[register.rstrip("0123456789")]
        return TYPES[own] if own == "pred" else f"u{TYPES[own][1]}"

    def _add(self, statement: str) -> None:
        if found := re.fullmatch(r"\.reg\s+\.(\w+)\s+(.*)", statement):
            for name in found[2].split(","):
                self._kinds[name.strip().split("<")[0]] = found[1]
        elif found := re.fullmatch(r"(\$\w+):", statement):
            self.labels[found[1]] = len(self.instructions)
        elif (found := re.fullmatch(r"\.local .*\[(\d+)\]", statement)) and not self.local:
            self.local = (
                -(-int(found[1]) // 16) * 16
            )  # that of each thread begins where any number may
        elif statement.startswith(".") and statement.split()[0] not in _SAY_NOTHING:
            raise NotImplementedError(statement)
        elif statement and not statement.startswith("."):
            guard = re.match(r"@(!?)(%\w+)\s+", statement)
            op, *rest = statement[guard.end() if guard else 0 :].split(maxsplit=1)
            operands = re.split(r",\s*(?![^(]*\))", rest[0]) if rest else []
            self.instructions.append(
                Instruction(
                    statement,
                    (guard[2], guard[1] == "!") if guard else None,
                    tuple(op.split(".")),
                    tuple(operands),
                )
            )


def _statements(body: str) -> list[str]:
    """Labels and what ends with a semicolon; vectors of registers in round brackets."""
    body = re.sub(r"//.*|\s\.loc\s.*", "", body)
    body = re.sub(r"\{([^{};\n]*)\}", r"(\1)", body)
    body = re.sub(r"[{}]", "", re.sub(r"(\$\w+:)", r"\1;", body))
    return [statement.strip() for statement in body.split(";")]
