"""Memory, and who touched it."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["AccessError", "Buffer", "Memory", "Who"]

_NOBODY, _SEVERAL = -1, -2


class AccessError(Exception):
    """What a device would not have told."""


class Who:
    """Threads that access memory.

    Args:
        program: Number of their program.
        span: How many barriers it has passed.
        warps: Number of each thread's warp.
    """

    def __init__(self, program: int, span: int, warps: NDArray[np.int32]) -> None:
        self.program, self.span, self.warps = program, span, warps


class Buffer:
    """Bytes, with the last program, warp and span that wrote and that read each.

    Args:
        data: The bytes.
        fresh: Whether nothing has been written yet that may be read.
    """

    def __init__(self, data: NDArray[np.uint8], *, fresh: bool) -> None:
        self.data, self._fresh = data, fresh
        self._wrote = np.full((3, len(data)), _NOBODY, np.int64)
        self._read = np.full((3, len(data)), _NOBODY, np.int64)

    def load(self, at: NDArray[np.int64], size: int, who: Who) -> NDArray[np.unsignedinteger]:
        """Numbers of so many bytes.

        Raises:
            AccessError: If others may still write them.
        """
        places, warps = _bytes(at, size), np.repeat(who.warps, size)
        program, warp, span = self._wrote[:, places]
        if self._fresh and (program == _NOBODY).any():
            raise AccessError("reads what nobody wrote")
        if ((program != _NOBODY) & (program != who.program)).any():
            raise AccessError("reads what another program of the launch wrote")
        if ((program == who.program) & (span == who.span) & (warp != warps)).any():
            raise AccessError("reads what another warp wrote, without a barrier between")
        self._note_read(at, size, who)
        return self._words(size)[at // size]

    def store(
        self, at: NDArray[np.int64], size: int, who: Who, values: NDArray[np.generic]
    ) -> None:
        """Write numbers of so many bytes.

        Raises:
            AccessError: If others may still read or write there.
        """
        places, warps, words = _bytes(at, size), np.repeat(who.warps, size), self._words(size)
        program, warp, span = self._wrote[:, places]
        if ((program != _NOBODY) & (program != who.program)).any():
            raise AccessError("overwrites what another program of the launch wrote")
        now = (program == who.program) & (span == who.span) & (warp != warps)
        if (now & np.repeat(words[at // size] != values, size)).any():
            raise AccessError("overwrites what another warp wrote, without a barrier between")
        program, warp, span = self._read[:, places]
        if ((program != _NOBODY) & (program != who.program)).any():
            raise AccessError("overwrites what another program of the launch read")
        if ((program == who.program) & (span == who.span) & (warp != warps)).any():
            raise AccessError("overwrites what another warp read, without a barrier between")
        words[at // size] = values
        if (words[at // size] != values).any():
            raise AccessError("writes two numbers to one place")
        for row, number in zip(self._wrote, (who.program, warps, who.span), strict=True):
            row[places] = number

    def _words(self, size: int) -> NDArray[np.unsignedinteger]:
        return self.data[: len(self.data) // size * size].view(f"u{size}")

    def _note_read(self, at: NDArray[np.int64], size: int, who: Who) -> None:
        places, warps = _bytes(at, size), np.repeat(who.warps, size)
        program, warp, span = self._read[:, places]
        again = (program == who.program) & (span == who.span) & (warp != warps)
        others = (program != _NOBODY) & (program != who.program)
        self._read[0, places] = np.where(others, _SEVERAL, who.program)
        self._read[1, places] = np.where(again, _SEVERAL, warps)
        self._read[2, places] = who.span
        first, number = np.unique(at, return_inverse=True)
        if len(first) < len(at):  # some read the same
            least, most = np.full(len(first), 1 << 30), np.full(len(first), -1)
            np.minimum.at(least, number, who.warps)
            np.maximum.at(most, number, who.warps)
            self._read[1, _bytes(first[least < most], size)] = _SEVERAL


def _bytes(at: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    return (at[:, None] + np.arange(size)).ravel()


class Memory:
    """That of the tensors which a kernel is given.

    Args:
        tensors: The tensors.
    """

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        tensors = [t for t in tensors if t.numel()]
        found = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}
        self._starts = np.array(sorted(found), np.int64)
        self._sizes = np.array([found[int(start)] for start in self._starts], np.int64)
        self._buffers = [
            Buffer(
                np.ctypeslib.as_array((ctypes.c_uint8 * int(n)).from_address(int(a))), fresh=False
            )
            for a, n in zip(self._starts, self._sizes, strict=True)
        ]
        self._given = [np.zeros(int(n), bool) for n in self._sizes]
        for t in tensors:  # of a view no more than what lies between its first and its last number
            last = sum((n - 1) * step for n, step in zip(t.shape, t.stride(), strict=True))
            at, size = t.storage_offset(), t.element_size()
            number = np.searchsorted(self._starts, t.untyped_storage().data_ptr())
            self._given[number][at * size : (at + last + 1) * size] = True

    def parts(
        self, addresses: NDArray[np.int64], size: int
    ) -> list[tuple[Buffer, NDArray[np.bool_], NDArray[np.int64]]]:
        """The buffers that hold numbers of so many bytes, which of the numbers, and where.

        Raises:
            AccessError: If some are in none.
        """
        number = np.searchsorted(self._starts, addresses, side="right") - 1
        ends = (self._starts + self._sizes)[number]
        outside = bool((number < 0).any() or (addresses + size > ends).any())
        parts = [(k, number == k, addresses[number == k] - self._starts[k]) for k in {*number}]
        if outside or not all(self._given[k][_bytes(at, size)].all() for k, _, at in parts):
            raise AccessError("accesses memory outside of the tensors it was given")
        return [(self._buffers[k], own, at) for k, own, at in parts]
