"""What Triton's compiler made of the kernels, run on a CPU, one instruction after another.

The PTX of a kernel is read (`code`), its threads take it together (`threads`), and every access to memory is checked
(`memory`): that it lies in a tensor which the kernel was given, that warps wait for one another before they read or
overwrite what another wrote, that programs of one launch leave one another's results alone, that shared memory is
written before it is read. So a missing barrier is found without a device, which the interpreter cannot do: it knows
blocks, and no threads. Threads of one warp go together and need no barrier between them, and a pointer that leaves its
tensor for another that the kernel was given, too, is not found. What is not known (an instruction, a way to round, a
kind of barrier) is an error. What ptxas makes of it, and how fast that is, only a device shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import product
from operator import index
from typing import Any

import pytest
from torch import Tensor

from tests.cuda.ptx.code import WARP, Kernel
from tests.cuda.ptx.memory import Memory
from tests.cuda.ptx.threads import Program

__all__ = ["Absent", "install", "run"]

_read = cache(Kernel)


class Absent:
    """Stands for the driver of a device for which is compiled, and on which nothing runs."""

    def get_current_device(self) -> int:
        return 0

    get_current_stream = staticmethod(lambda device: 0)

    def get_current_target(self) -> Any:
        from triton.backends.compiler import GPUTarget

        return GPUTarget("cuda", 90, WARP)


def run(kernel: Any, grid: Sequence[int], *arguments: Any, num_warps: int, **flags: Any) -> None:
    """Compile a kernel for sm_90 and run it, as `launch.start` does on a device.

    Raises:
        AccessError: If its threads access memory as they must not.
    """
    options = {"num_warps": num_warps, "enable_fp_fusion": False}
    compiled = kernel.warmup(*arguments, grid=tuple(grid), **flags, **options)
    code, kinds = _read(compiled.asm["ptx"]), compiled.src.signature
    names = kernel.arg_names[: len(arguments)]
    given = [a for name, a in zip(names, arguments, strict=True) if kinds.get(name) != "constexpr"]
    numbers = [a.data_ptr() if isinstance(a, Tensor) else index(a) for a in given]
    unused = len(code.params) - len(numbers)  # room that kernels may ask for; these ask for none
    params = dict(zip(code.params, numbers + [0] * unused, strict=True))
    memory = Memory([a for a in given if isinstance(a, Tensor)])
    for place in product(*map(range, grid)):
        threads, shared = WARP * num_warps, compiled.metadata.shared
        Program(code, params, memory, place, grid, threads, shared).run()


def install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the backend serve tensors on the CPU in this way."""
    from triton.runtime.driver import driver

    from snn_neuromod.kernels.backends import triton
    from snn_neuromod.kernels.backends.triton import launch, sequence

    monkeypatch.setattr(driver, "_active", Absent())
    monkeypatch.setattr(launch, "start", run)
    for module in (triton, sequence):
        monkeypatch.setattr(module, "missing", lambda tensor: None)
