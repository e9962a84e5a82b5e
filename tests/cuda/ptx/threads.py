"""Threads of a program, which take its instructions together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.cuda.ptx import operations
from tests.cuda.ptx.code import TYPES, WARP, Instruction, Kernel
from tests.cuda.ptx.memory import AccessError, Buffer, Memory, Who

__all__ = ["Program"]

_TURNS = {"bra", "ret", "bar"}
_TOGETHER = {"shfl", "redux", "vote", "ldmatrix", "stmatrix"}
"""What all threads of a warp take at once."""

_SPACES = {"global", "local", "param", "shared"}
_ACCESS = {"L1::evict_last", "v2", "v4"}
_MATRICES = {"aligned", "b16", "m8n8", "shared", "sync", "x1", "x2", "x4"}
"""What may stand behind the name of an access to memory."""

_UNKNOWN = np.array(-1)
"""In a register that was not written; as a float it is no number."""


class Program:
    """One program of a launch.

    Of threads at several places those that are furthest behind go on, so that they meet again behind a branch.

    Args:
        code: The kernel.
        params: Its parameters by name.
        memory: That of its tensors.
        place: Number of the program along each axis of the grid.
        grid: How many there are.
        threads: Number of its threads.
        shared: Bytes of its shared memory.
    """

    def __init__(
        self,
        code: Kernel,
        params: dict[str, int],
        memory: Memory,
        place: Sequence[int],
        grid: Sequence[int],
        threads: int,
        shared: int,
    ) -> None:
        self.code, self.params, self.memory, self.threads = code, params, memory, threads
        self.shared = Buffer(np.zeros(shared, np.uint8), fresh=True)
        self.local = Buffer(np.zeros(threads * code.local, np.uint8), fresh=True)
        self.registers: dict[str, NDArray[Any]] = {}
        self.lanes = np.arange(threads)
        self.special = {"%tid.x": self.lanes, "%ntid.x": np.full(threads, threads)}
        for axis, k, count in zip("xyz", place, grid, strict=False):
            self.special[f"%ctaid.{axis}"] = np.full(threads, k)
            self.special[f"%nctaid.{axis}"] = np.full(threads, count)
        self.number, self.span = sum(k << 20 * axis for axis, k in enumerate(place)), 0
        self.at = np.zeros(threads, np.int64)
        self.waiting, self.done = np.zeros(threads, bool), np.zeros(threads, bool)

    def run(self) -> None:
        """Until all threads have ended.

        Raises:
            AccessError: If they access memory as they must not.
        """
        with np.errstate(all="ignore"):
            while not self.done.all():
                able = ~(self.waiting | self.done)
                if able.any():
                    self._go_on(able)
                else:
                    self._pass_barrier()

    def _pass_barrier(self) -> None:
        """All have come to it; those of a warp must have come to it at one place."""
        places = np.where(self.waiting, self.at, -1).reshape(-1, WARP)
        if ((places != places.max(1, keepdims=True)) & (places >= 0)).any():
            raise AccessError(f"{self.code.name}: threads of a warp wait at several barriers")
        self.waiting[:] = False
        self.span += 1

    def _go_on(self, able: NDArray[np.bool_]) -> None:
        """Threads that are furthest behind go on until they branch, wait, or meet others."""
        here, group = self._next(able)
        ahead = self.at[able & (self.at > here)]
        limit = int(ahead.min()) if ahead.size else len(self.code.instructions)
        everyone = bool(group.all())
        while True:
            instruction = self.code.instructions[here]
            taken = self._guarded(instruction, group)
            if instruction.op[0] in _TURNS:
                self._turn(instruction, here, group, taken)
                return
            if taken.any():
                self._take(instruction, taken, everyone and instruction.guard is None)
            here += 1
            together = self.code.instructions[here].op[0] in _TOGETHER
            if here == limit or (together and not everyone):
                self.at[group] = here
                return

    def _next(self, able: NDArray[np.bool_]) -> tuple[int, NDArray[np.bool_]]:
        """The place furthest behind and who is there; what a warp takes together it waits for."""
        for here in np.unique(self.at[able]):
            group = able & (self.at == here)
            if self.code.instructions[here].op[0] in _TOGETHER:
                group &= np.repeat((group | self.done).reshape(-1, WARP).all(1), WARP)
            if group.any():
                return int(here), group
        raise AccessError(
            f"{self.code.name}: threads wait for others of their warp, which never come"
        )

    def _guarded(self, instruction: Instruction, group: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Who of a group takes an instruction."""
        if instruction.guard is None:
            return group
        register, negated = instruction.guard
        found: NDArray[np.bool_] = group & (self.registers[register] ^ negated)
        return found

    def _turn(
        self,
        instruction: Instruction,
        here: int,
        group: NDArray[np.bool_],
        taken: NDArray[np.bool_],
    ) -> None:
        self.at[group] = here + 1
        if instruction.op[0] == "bra":
            self.at[taken] = self.code.labels[instruction.args[0]]
        elif instruction.op[0] == "ret":
            self.done |= taken
        elif instruction.op == ("bar", "sync") and instruction.args == ("0",):
            self.waiting |= taken
        else:
            raise NotImplementedError(instruction.text)

    def _take(self, instruction: Instruction, taken: NDArray[np.bool_], everyone: bool) -> None:
        op, args = instruction.op, instruction.args
        if op[0] in _TOGETHER and not everyone and instruction.guard is not None:
            raise NotImplementedError(instruction.text)
        try:
            if op[0] == "ld":
                self._load(op, args, taken)
            elif op[0] == "st":
                self._store(op, args, taken)
            elif op[0] in ("ldmatrix", "stmatrix"):
                self._matrices(op, args, taken)
            else:
                self._compute(op, args, None if everyone else taken)
        except AccessError as error:
            raise AccessError(f"{self.code.name}, {instruction.text}: {error}") from None

    def _compute(
        self, op: tuple[str, ...], args: tuple[str, ...], taken: NDArray[np.bool_] | None
    ) -> None:
        function = operations.of(op)
        values = [self._value(a, kind) for a, kind in operations.read(op, args)]
        result, targets = function(*values), _parts(args[0])
        if len(targets) > 1:  # words of a number
            size = result.dtype.itemsize // len(targets)
            words = np.ascontiguousarray(np.broadcast_to(result, self.threads)).view(f"u{size}")
            results = [*words.reshape(-1, len(targets)).T]
        for target, part in zip(targets, results if len(targets) > 1 else [result], strict=True):
            self._set(target, part, taken)

    def _value(self, text: str, kind: str) -> NDArray[Any]:
        """An operand as numbers of a type, of each thread or of all."""
        if text in self.special:
            return self.special[text].astype(kind)
        if text.startswith("("):
            parts = _parts(text)
            size = np.dtype(kind).itemsize // len(parts)
            words = [np.broadcast_to(self._value(p, f"u{size}"), self.threads) for p in parts]
            return np.ascontiguousarray(np.stack(words, 1)).view(kind)[:, 0]
        if text.startswith("%"):
            value = self.registers[text]
            size = np.dtype(kind).itemsize
            return value if kind == "?" else value.astype(f"u{size}", copy=False).view(kind)
        return operations.literal(text, kind)

    def _set(self, register: str, value: NDArray[Any], taken: NDArray[np.bool_] | None) -> None:
        if register == "_":
            return
        kind = np.dtype(self.code.kind(register))
        if kind.kind == "b":
            bits = value
        elif value.dtype.kind == "i":  # a sign fills what there is of a register above
            bits = value.astype(f"i{kind.itemsize}").view(kind)
        else:
            bits = value.view(f"u{value.dtype.itemsize}").astype(kind)
        old = self.registers.get(register, _UNKNOWN.astype(kind))
        whole = bits if taken is None else np.where(taken, bits, old)
        self.registers[register] = np.broadcast_to(whole, self.threads)

    def _load(self, op: Sequence[str], args: Sequence[str], taken: NDArray[np.bool_]) -> None:
        kind = _accessed(op)
        size, targets = np.dtype(kind).itemsize, _parts(args[0])
        name, offset = _address(args[1])
        if op[1] == "param":
            if offset or len(targets) > 1:
                raise NotImplementedError(".".join(op))
            number = np.array([self.params[name] & ((1 << 8 * size) - 1)], f"u{size}")
            self._set(targets[0], number, None)
            return
        first = self._addresses(op[1], name, offset, size * len(targets), taken)
        loaded = []
        for k in range(len(targets)):
            words = np.zeros(self.threads, f"u{size}")
            for buffer, own, at in self._places(op[1], first + k * size, size, taken):
                words[own] = buffer.load(at, size, self._who(own))
            loaded.append(words.view(kind))
        for target, numbers in zip(targets, loaded, strict=True):
            self._set(target, numbers, taken)

    def _store(self, op: Sequence[str], args: Sequence[str], taken: NDArray[np.bool_]) -> None:
        size, sources = np.dtype(_accessed(op)).itemsize, _parts(args[1])
        first = self._addresses(op[1], *_address(args[0]), size * len(sources), taken)
        for k, source in enumerate(sources):
            words = np.broadcast_to(self._value(source, f"u{size}"), self.threads)
            for buffer, own, at in self._places(op[1], first + k * size, size, taken):
                buffer.store(at, size, self._who(own), words[own])

    def _matrices(self, op: Sequence[str], args: Sequence[str], taken: NDArray[np.bool_]) -> None:
        """Matrices of 8 x 8 numbers of 16 bits: each eight threads know where rows lie, a thread holds two numbers."""
        if "m8n8" not in op or {*op[1:]} - _MATRICES:
            raise NotImplementedError(".".join(op))
        loads, lanes = op[0] == "ldmatrix", self.lanes[taken]
        registers, lane = _parts(args[0 if loads else 1]), lanes % WARP
        tells = taken & (self.lanes % WARP < 8 * len(registers))
        rows = np.zeros(self.threads, np.int64)
        rows[tells] = self._addresses("shared", *_address(args[1 if loads else 0]), 16, tells)
        for k, register in enumerate(registers):
            at = rows[lanes - lane + 8 * k + lane // 4] + 4 * (lane % 4)
            self._places("shared", at, 4, taken)
            if loads:
                words = np.zeros(self.threads, "u4")
                words[lanes] = self.shared.load(at, 4, self._who(lanes))
                self._set(register, words, taken)
            else:
                words = np.broadcast_to(self._value(register, "u4"), self.threads)
                self.shared.store(at, 4, self._who(lanes), words[lanes])

    def _addresses(
        self, space: str, name: str, offset: int, size: int, taken: NDArray[np.bool_]
    ) -> NDArray[np.int64]:
        """Where threads access so many bytes at once.

        Raises:
            AccessError: If it is no multiple of their number.
        """
        wide = self._value(name, "u4" if space == "shared" else "u8").astype(np.int64) + offset
        at: NDArray[np.int64] = np.broadcast_to(wide, self.threads)[taken]
        if (at % size).any():
            raise AccessError("accesses what is not aligned")
        return at

    def _places(
        self, space: str, at: NDArray[np.int64], size: int, taken: NDArray[np.bool_]
    ) -> list[tuple[Buffer, NDArray[np.int64], NDArray[np.int64]]]:
        """Buffers, which threads access them, and where.

        Raises:
            AccessError: If a number is in no buffer.
        """
        lanes = self.lanes[taken]
        if space == "local":
            if (at < 0).any() or (at + size > self.code.local).any():
                raise AccessError("accesses local memory that it did not ask for")
            return [(self.local, lanes, at + lanes * self.code.local)]
        if space == "global":
            return [(b, lanes[own], places) for b, own, places in self.memory.parts(at, size)]
        if (at < 0).any() or (at + size > len(self.shared.data)).any():
            raise AccessError("accesses shared memory that it did not ask for")
        return [(self.shared, lanes, at)]

    def _who(self, lanes: NDArray[np.int64]) -> Who:
        return Who(self.number, self.span, (lanes // WARP).astype(np.int32))


def _accessed(op: Sequence[str]) -> str:
    """Type of what an access to memory moves.

    Raises:
        NotImplementedError: If it is of a kind that is not known: volatile, of many devices, of constants, generic.
    """
    if op[1] not in _SPACES or {*op[2:-1]} - _ACCESS:
        raise NotImplementedError(".".join(op))
    return TYPES[op[-1]]


def _parts(text: str) -> list[str]:
    """Registers of a vector, or of one."""
    return [part.strip() for part in text.strip("() ").split(",")]


def _address(text: str) -> tuple[str, int]:
    """Register and offset."""
    name, _, offset = text.strip("[] ").partition("+")
    return name.strip(), int(offset or 0)
