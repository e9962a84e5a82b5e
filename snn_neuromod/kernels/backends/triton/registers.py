"""How the threads of a recurrent program share its neurons, so that nothing is spilled that registers can hold."""

from __future__ import annotations

from typing import Any

from snn_neuromod.kernels.fusion.triton.writer import Plan

__all__ = ["shared"]

_WARPS = {"forward": 8, "backward": 16}
_ROWS, _DISTINCT = {"forward": 16, "backward": 64}, 16
"""Rows of weights that are summed at once, and those of them that a single thread reads, at most."""

_LEAST = 4096
"""Weights that are read at once, at least: with less than 16 KB under way, reading waits for memory."""

_OTHER, _NEURON = {"forward": 14, "backward": 24}, 8
"""Registers of a thread, and those for each of its neurons, for addresses, masks and what a step calculates. Read off
what the compiler makes of the package's neurons for sm_90; `tests/kernels/test_triton_offline.py` holds it."""


def shared(plan: Plan, direction: str, num: int, senders: int | None = None) -> dict[str, Any]:
    """What a recurrent kernel is started with.

    Args:
        plan: The neuron.
        direction: "forward" or "backward".
        num: Neurons of a sample.
        senders: Senders of all delays, None if they are the neurons themselves, a step before.
    """
    block, width = _lanes(num), _lanes(senders or num)
    warps = max(_WARPS[direction], min(16, max(block, width) // 64))
    programs = 2 if direction == "forward" and block <= 256 else 1  # that share a multiprocessor
    most = min(255, 2048 // (warps * programs))  # of its 65536 registers
    rows, ahead = _rows(plan, direction, block, width, 32 * warps, most)
    flags = {"BLOCK": block, "SENDERS": width, "GROUP": rows, "num_warps": warps, "maxnreg": most}
    return flags if direction == "forward" else flags | {"AHEAD": ahead}


def _rows(
    plan: Plan, direction: str, block: int, width: int, threads: int, most: int
) -> tuple[int, bool]:
    """Rows of weights to sum at once, and whether the reverse pass reads a step while it multiplies for the one before.

    As many rows as registers hold beside what is kept of each neuron. If these were so few that reading waits for
    memory, nothing is read ahead.
    """
    (kept, early), each = _values(plan, direction), -(-block // threads)
    words = plan.step.graph.dtype.itemsize // 4
    free = most - _OTHER[direction] - each * (_NEURON + words * kept)
    free -= max(width - block, 0) // threads
    dense = direction == "backward" and not plan.gates
    columns = width if dense else block
    number = words * (2 if dense or direction == "forward" else 1)  # what was read, and the sum
    least = -(-_LEAST // threads)
    ahead = free - words * each * early >= number * least
    numbers = max((free - words * each * early * ahead) // number, least)
    most_rows = min(_ROWS[direction], _DISTINCT * threads // min(columns, threads))
    rows = max(min(most_rows, numbers * threads // columns), 1)
    return 1 << rows.bit_length() - 1, ahead


def _values(plan: Plan, direction: str) -> tuple[int, int]:
    """Values of a neuron that a thread keeps from step to step, and those that it may read ahead."""
    states = len(plan.step.states)
    if direction == "forward":
        return plan.num_steady + states + 2, 0
    return plan.num_steady + states + len(plan.wanted), len(plan.moving) + 2


def _lanes(num: int) -> int:
    """Threads' worth of a vector: the next power of two. Below a warp Triton 3.7 fails for some steps."""
    return max(32, 1 << (num - 1).bit_length())
