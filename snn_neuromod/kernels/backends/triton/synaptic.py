"""Gradients through recurrent weights and of them: all delays together, a kernel and a product of matrices each."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor

from snn_neuromod.kernels.backends.triton import launch
from snn_neuromod.kernels.backends.triton.recurrent import Weights
from snn_neuromod.kernels.fusion.triton.steps import SENDERS

__all__ = ["arrived", "sent_back"]

SOURCE = (
    f"""
import triton
import triton.language as tl
{SENDERS}"""
    + '''
@triton.jit(do_not_specialize=["R", "samples", "N", "M", "longest"])
def arrived(out, z, past, senders, R, samples, N, M, longest,
            DELAYED: tl.constexpr, ROWS: tl.constexpr, LANES: tl.constexpr):
    """Spikes as they arrive: out[row, m] = z[row - late * samples, who] of each sender; a row is a step and sample."""
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    m = tl.program_id(1) * LANES + tl.arange(0, LANES)
    who, late = _sender(m, m < M, senders, DELAYED)
    some = (row < R)[:, None] & (m < M)[None, :]
    sent = row[:, None] - (late * samples)[None, :]
    spot = sent.to(tl.int64) * N + who[None, :]
    before = spot + longest.to(tl.int64) * samples * N
    v = tl.load(z + spot, mask=some & (sent >= 0), other=0.0)
    v += tl.load(past + before, mask=some & (sent < 0), other=0.0).to(v.dtype)
    tl.store(out + row.to(tl.int64)[:, None] * M + m[None, :], v, mask=some)


@triton.jit(do_not_specialize=["T", "samples", "N", "M", "longest"])
def sent_back(out, above, pushed, senders, T, samples, N, M, longest,
              DELAYED: tl.constexpr, STEPS: tl.constexpr, LANES: tl.constexpr):
    """The share of each sender to what it sent: out[now - late, who] += pushed[now, m] of each sample.

    A program holds STEPS steps of a sample, from `longest` before the first one, and begins with what comes from above.
    """
    sample = tl.program_id(0)
    first = tl.program_id(1) * STEPS - longest
    last = tl.minimum(first + STEPS, T)
    wide = samples.to(tl.int64) * N
    lane = tl.arange(0, LANES)
    out += longest * wide + sample * N
    for step in range(first, last):
        for j in range(0, N, LANES):
            n = j + lane
            v = tl.load(above + step * wide + sample * N + n, mask=(n < N) & (step >= 0), other=0.0)
            tl.store(out + step * wide + n, v, mask=n < N)
    tl.debug_barrier()
    for now in range(tl.maximum(first + 1, 0), tl.minimum(last + longest, T)):
        for j in range(0, M, LANES):
            m = j + lane
            who, late = _sender(m, m < M, senders, DELAYED)
            when = now - late
            own = (m < M) & (when >= first) & (when < last)
            at = out + when * wide + who
            v = tl.load(pushed + (now * samples + sample).to(tl.int64) * M + m, mask=own, other=0.0)
            v += tl.load(at, mask=own, other=0.0)
            tl.debug_barrier()  # threads that hold the same sender read before one of them writes
            tl.store(at, v, mask=own)
            tl.debug_barrier()
'''
)
_ROWS, _LANES, _STEPS, _WIDE = 16, 64, 32, 512
_WARPS = {"arrived": 4, "sent_back": 8}
_MOST = 8
"""Senders of a neuron, one for each delay, of which the spikes that arrive lie in memory at once."""


@cache
def kernels() -> dict[str, Any]:
    """The kernels by name."""
    return launch.module(SOURCE)


def arrived(weights: Weights, delta: Tensor, spikes: Tensor) -> list[Tensor]:
    """Gradients of the weights of each delay, (neuron to, senders): sums of delta times the spikes that came with it.

    Args:
        weights: The weights.
        delta: Gradient of the input of all steps.
        spikes: Spikes of all steps.
    """
    past, num, shape = weights.past.contiguous(), delta.shape[-1], delta.shape
    rows, samples, senders = shape[:-1].numel(), shape[1:-1].numel(), weights.senders()
    found, total = list[Tensor](), weights.num_senders
    flat = delta.reshape(rows, num)
    for first in range(0, total, _MOST * num):
        count = min(_MOST * num, total - first)
        seen = delta.new_empty(rows, count)
        grid = (-(-rows // _ROWS), -(-count // _LANES))
        launch.start(
            kernels()["arrived"], grid, seen, spikes.contiguous(), past, senders[first:],
            rows, samples, num, count, len(past), DELAYED=weights.delayed, ROWS=_ROWS, LANES=_LANES,
            num_warps=_WARPS["arrived"],
        )  # fmt: skip
        found.append(flat.T @ seen)
    grad = found[0] if len(found) == 1 else torch.cat(found, 1)
    return [*grad.split([w.shape[1] for w in weights.parts], 1)]


def sent_back(weights: Weights, delta: Tensor, above: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of the spikes before the first step and of all steps, through the weights and from above.

    Args:
        weights: The weights.
        delta: Gradient of the input of the first steps or of all.
        above: Gradient of the spikes that comes from elsewhere.
    """
    shape, longest, rows = delta.shape, len(weights.past), weights.rows()
    steps, samples, num = shape[0], shape[1:-1].numel(), shape[-1]
    pushed = delta.to(rows.dtype).reshape(-1, num) @ rows.T
    out = rows.new_empty(longest + steps, *shape[1:])
    grid = (samples, -(-(longest + steps) // _STEPS))
    launch.start(
        kernels()["sent_back"], grid, out, above.contiguous(), pushed, weights.senders(),
        steps, samples, num, len(rows), longest, DELAYED=weights.delayed, STEPS=_STEPS, LANES=_WIDE,
        num_warps=_WARPS["sent_back"],
    )  # fmt: skip
    return out[:longest], out[longest:]
