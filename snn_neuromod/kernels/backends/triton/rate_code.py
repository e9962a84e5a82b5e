"""The rate code as one kernel: `jobs.mix` of key, step and pixel, compared with the pixel's limit."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor

from snn_neuromod.kernels.backends.triton import launch
from snn_neuromod.kernels.jobs import RateCode

SOURCE = """
import triton
import triton.language as tl


@triton.jit
def _mix(k):
    k = (k ^ ((k >> 16) & 0xFFFF)) * -2048144789
    k = (k ^ ((k >> 13) & 0x7FFFF)) * -1028477387
    return k ^ ((k >> 16) & 0xFFFF)


@triton.jit(do_not_specialize=["steps", "blank", "samples", "pixels"])
def rate_code(spikes, limit, key, steps, blank, samples, pixels, STEPS: tl.constexpr, BLOCK: tl.constexpr):
    sample = tl.program_id(0)
    pixel = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    some = pixel < pixels
    below = tl.load(limit + sample.to(tl.int64) * pixels + pixel, mask=some, other=0)
    word = _mix(pixel ^ tl.load(key + 2 * sample))
    second = tl.load(key + 2 * sample + 1)
    first = tl.program_id(2) * STEPS
    for k in range(STEPS):
        row = first + k
        t = row - blank
        noise = (_mix(word + _mix(t ^ second)) >> 8) & 0xFFFFFF
        fired = (noise < below) & (t >= 0)
        at = spikes + (row.to(tl.int64) * samples + sample) * pixels + pixel
        tl.store(at, fired.to(tl.uint8), mask=some & (row < steps))
"""
_BLOCK, _STEPS = 256, 8


@cache
def _kernel() -> Any:
    return launch.module(SOURCE)["rate_code"]


def forward(job: RateCode) -> Tensor:
    """The spikes, uint8, (blank_steps + num_steps, sample, pixel)."""
    limit, key, num_steps, blank_steps = job
    samples, pixels = limit.shape
    steps = blank_steps + num_steps
    spikes = torch.empty(steps, samples, pixels, dtype=torch.uint8, device=limit.device)
    if spikes.numel():
        grid = (samples, -(-pixels // _BLOCK), -(-steps // _STEPS))  # only the first may pass 65535
        sizes = (steps, blank_steps, samples, pixels)
        tensors = (spikes, limit.contiguous(), key.contiguous())
        launch.start(_kernel(), grid, *tensors, *sizes, STEPS=_STEPS, BLOCK=_BLOCK, num_warps=4)
    return spikes
