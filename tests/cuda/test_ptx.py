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
from tests.cuda.ptx import operations
from tests.cuda.ptx.code import Kernel
from tests.cuda.ptx.memory import AccessError, Buffer, Memory, Who
from tests.cuda.ptx.threads import Program

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


def taken(*statements: str, threads: int = 64, memory: Memory | None = None) -> Program:
    """A program of these instructions, after it ended."""
    registers = ".reg .pred %p<9>;\n.reg .b16 %h<9>;\n.reg .b32 %r<9>;\n.reg .b64 %d<9>;\n"
    body = registers + ";\n".join(statements).replace(":;", ":") + ";\nret;"
    code = Kernel(f".visible .entry k(.param .u64 k_param_0)\n{{\n{body}\n}}\n")
    program = Program(code, {}, memory or Memory([]), (0,), (1,), threads, 256)
    program.run()
    return program


def test_beyond_a_view() -> None:
    whole = torch.zeros(8)
    memory, start = Memory([whole[2:4]]), whole.data_ptr()
    assert memory.parts(np.array([start + 8, start + 12]), 4)
    for place in (4, 16):
        with pytest.raises(AccessError, match="outside"):
            memory.parts(np.array([start + place]), 4)


@pytest.mark.parametrize(
    "statement",
    [
        "bar.warp.sync -1", "bar.sync 1, 32", "ld.volatile.shared.b32 %r1, [global_smem]", "ld.b32 %r1, [0]",
        "add.sat.s32 %r1, 1, 1", "add.cc.u32 %r1, 1, 1", "cvt.rz.f16.f32 %h1, 0f3F800000", "trap", ".branchtargets a",
        "vote.sync.uni.pred %p1, 1, -1", "shfl.sync.bfly.b32 %r1, 1, 1, 31, 15", "atom.global.add.u32 %r1, [0], 1",
    ],
)  # fmt: skip
def test_what_is_not_known(statement: str) -> None:
    with pytest.raises(NotImplementedError):
        taken(statement)


def test_threads_of_a_warp_at_several_barriers() -> None:
    apart = ("setp.lt.s32 %p1, %r1, {}", "@%p1 bra $A", "bar.sync 0", "ret", "$A:", "bar.sync 0")
    for limit in (32, 16):  # whole warps may go apart
        statements = ("mov.u32 %r1, %tid.x", apart[0].format(limit), *apart[1:])
        if limit == 32:
            taken(*statements)
        else:
            with pytest.raises(AccessError, match="several barriers"):
                taken(*statements)


@pytest.mark.parametrize(
    "access",
    [
        "st.shared.v2.b32 [%r1+4], {%r1, %r1}", "ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%r2}, [%r1+8]",
        "ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%r2}, [%r1+256]",
    ],
)  # fmt: skip
def test_vectors_and_matrices_in_shared_memory(access: str) -> None:
    with pytest.raises(AccessError, match=r"not aligned|did not ask for"):
        taken("mov.u32 %r1, 0", access, threads=32)


def test_brain_floats_and_signs() -> None:
    bits = {x: np.array([n], "u2") for x, n in {-2.0: 0xC000, 3.0: 0x4040, -6.0: 0xC0C0}.items()}
    for name, expected in {"mul.rn": -6.0, "max": 3.0, "min": -2.0}.items():
        found = operations.of((*name.split("."), "bf16"))(bits[-2.0], bits[3.0])
        assert found == bits[expected]
    program = taken("mov.b32 %r1, 255", "cvt.s8.s32 %r2, %r1")
    assert (program.registers["%r2"] == 0xFFFFFFFF).all()


def test_rounded_down() -> None:
    one, small = np.ones(2, np.float32), np.array([-1e-9, 1e-9], np.float32)
    found = operations.of(("fma", "rm", "ftz", "f32"))(one, one, small)
    np.testing.assert_array_equal(found, np.array([np.nextafter(one[0], 0), 1], np.float32))
    np.testing.assert_array_equal(operations.of(("fma", "rn", "f32"))(one, one, small), one)


def test_between_0_and_1() -> None:
    x = np.array([-1.0, 0.25, 7.0, np.nan], np.float32)
    found = operations.of(("cvt", "ftz", "sat", "f32", "f32"))(x)
    np.testing.assert_array_equal(found, np.array([0, 0.25, 1, 0], np.float32))
    with pytest.raises(NotImplementedError):
        operations.of(("cvt", "sat", "s8", "s32"))
