"""What runs compiled kernels without a device finds what they must not do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from snn_neuromod.kernels.backends.triton import launch
from tests.cuda import ptx
from tests.cuda.conftest import COMPILED
from tests.cuda.ptx.memory import AccessError, Buffer, Who

pytestmark = pytest.mark.skipif(not COMPILED, reason="needs SNN_NEUROMOD_PTX=1")

KERNELS = """
import triton
import triton.language as tl

@triton.jit
def turned(x, y, WAITS: tl.constexpr):
    n = tl.arange(0, 256)
    tl.store(y + n, tl.load(x + n) + 1)
    if WAITS:
        tl.debug_barrier()
    v = tl.load(y + 255 - n)
    if WAITS:
        tl.debug_barrier()
    tl.store(y + n, v)

@triton.jit
def beyond(x, y, FAR: tl.constexpr):
    n = tl.arange(0, 256)
    tl.store(y + n, tl.load(x + FAR + n))

@triton.jit
def summed(x, y, APART: tl.constexpr):
    n = tl.arange(0, 256)
    at = y + n + tl.program_id(0) * APART
    tl.store(at, tl.load(at) + tl.load(x + n))

@triton.jit
def computed(x, y):
    n = tl.arange(0, 256)
    v = tl.load(x + n)
    whole = v.to(tl.int32)
    w = tl.where(whole % 3 == 0, tl.exp(v), tl.floor(v) / 7) + (whole >> 1) * (whole // 3)
    w += tl.cumsum(v, 0) + tl.max(v, 0) + tl.sqrt(tl.abs(v)) + v.to(tl.bfloat16).to(tl.float32)
    tl.store(y + n, w + v.to(tl.float16).to(tl.float32) + tl.sum(tl.where(v > 0, 1, 0), 0))
"""


def run(name: str, x: torch.Tensor, y: torch.Tensor, *, programs: int = 1, **flags: Any) -> None:
    ptx.run(launch.module(KERNELS)[name], (programs,), x, y, num_warps=8, **flags)


@pytest.fixture
def x() -> torch.Tensor:
    return torch.randn(256, generator=torch.Generator().manual_seed(0)) * 5


def test_a_missing_barrier(x: torch.Tensor) -> None:
    y = torch.zeros(256)
    run("turned", x, y, WAITS=True)
    assert_close(y, (x + 1).flip(0))
    with pytest.raises(AccessError, match="without a barrier"):
        run("turned", x, y, WAITS=False)


def test_beyond_a_tensor(x: torch.Tensor) -> None:
    y = torch.zeros(256)
    run("beyond", x, y, FAR=0)
    assert_close(y, x)
    for far in (1, -1, 1 << 20):
        with pytest.raises(AccessError, match="outside"):
            run("beyond", x, y, FAR=far)


def test_programs_in_one_place(x: torch.Tensor) -> None:
    y = torch.zeros(512)
    run("summed", x, y, programs=2, APART=256)
    assert_close(y, torch.cat([x, x]))
    with pytest.raises(AccessError, match="another program"):
        run("summed", x, y, programs=2, APART=128)


def test_numbers(x: torch.Tensor) -> None:
    y, whole = torch.zeros(256), x.int()
    run("computed", x, y)
    zero = torch.fmod(whole, 3) == 0
    w = torch.where(zero, x.exp(), x.floor() / 7)
    w += (whole >> 1) * torch.div(whole, 3, rounding_mode="trunc")
    w += x.cumsum(0) + x.max() + x.abs().sqrt() + x.bfloat16().float()
    assert_close(y, w + x.half().float() + (x > 0).sum(), rtol=1e-5, atol=1e-4)


def test_shared_memory_that_nobody_wrote() -> None:
    buffer, at = Buffer(np.zeros(64, np.uint8), fresh=True), np.array([0, 4])
    first = Who(0, 0, np.zeros(2, np.int32))
    with pytest.raises(AccessError, match="nobody"):
        buffer.load(at, 4, first)
    buffer.store(at, 4, first, np.array([1, 2], np.uint32))
    assert buffer.load(at, 4, first).tolist() == [1, 2]
    with pytest.raises(AccessError, match="two numbers"):
        buffer.store(np.array([0, 0]), 4, first, np.array([1, 2], np.uint32))
