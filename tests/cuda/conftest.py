"""The Triton backend on a CUDA device, or emulated on the CPU where TRITON_INTERPRET=1 is set.

    python -m pytest -m cuda tests/cuda                       # on a machine with a CUDA device
    TRITON_INTERPRET=1 python -m pytest -m cuda tests/cuda    # anywhere, in an environment with triton and numpy < 2.4
    SNN_NEUROMOD_PTX=1 python -m pytest -m cuda tests/cuda    # anywhere with triton: what its compiler made, see `ptx`

They import torch, triton, numpy, pytest and hypothesis alone. On a device most of their time is that of Triton's
compiler; with SNN_NEUROMOD_SHARE=3/16 a process runs the fourth of sixteen shares.
"""

from __future__ import annotations

import faulthandler
import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from snn_neuromod.kernels.backends.triton import launch

EMULATED = os.environ.get("TRITON_INTERPRET") == "1"
COMPILED = os.environ.get("SNN_NEUROMOD_PTX") == "1"
ON_CPU = EMULATED or COMPILED
HERE = Path(__file__).parent
LIMIT = 330
"""Seconds of a test on a device; what takes longer hangs."""

INTERPRETERS = "ignore:Conversion of an array with ndim > 0:DeprecationWarning"
"""A warning of numpy about Triton's interpreter."""

os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # deterministic, as PyTorch asks
if EMULATED:
    launch.BLOCK = (
        512  # the interpreter takes as long for a program of one neuron as for one of many
    )


def _absent() -> str | None:
    """Why the backend cannot be tested here."""
    if importlib.util.find_spec("triton") is None:
        return "Triton is not installed"
    if EMULATED and tuple(map(int, np.__version__.split(".")[:2])) >= (2, 4):
        return "Triton's interpreter needs numpy < 2.4"
    if ON_CPU:
        return None
    if not torch.cuda.is_available():
        return "there is no CUDA device; TRITON_INTERPRET=1 emulates one"
    return None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is in this folder, and skip it where there is nothing to run it on.

    Raises:
        UsageError: If the emulation was asked for and is not to be had.
    """
    reason = _absent()
    if ON_CPU and reason is not None:
        raise pytest.UsageError(f"TRITON_INTERPRET=1 or SNN_NEUROMOD_PTX=1: {reason}")
    for item in items:
        if HERE in Path(item.fspath).parents:
            item.add_marker(pytest.mark.cuda)
            item.add_marker(pytest.mark.filterwarnings(INTERPRETERS))
            if reason is not None:
                item.add_marker(pytest.mark.skip(reason=reason))
    share, shares = map(int, os.environ.get("SNN_NEUROMOD_SHARE", "0/1").split("/"))
    items[:] = items[share::shares]


@pytest.fixture(autouse=True)
def _rounded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A multiply-add of float32 rounds once on a device, twice in the interpreter."""
    if not EMULATED:
        return
    from triton.runtime.interpreter import InterpreterBuilder, TensorHandle

    def fma(builder: Any, x: Any, y: Any, z: Any) -> Any:
        exact = x.data * y.data.astype(np.float64) + z.data
        return TensorHandle(exact.astype(z.data.dtype), z.dtype.scalar)

    monkeypatch.setattr(InterpreterBuilder, "create_fma", fma)


@pytest.fixture(autouse=True)
def _compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """What runs where the compiled code shall, without a device."""
    if COMPILED:
        from tests.cuda import ptx

        ptx.install(monkeypatch)


@pytest.fixture
def device() -> torch.device:
    """What the kernels run on."""
    return torch.device("cpu" if ON_CPU else "cuda")


@pytest.fixture
def gpu() -> torch.device:
    """A real device."""
    if ON_CPU:
        pytest.skip("needs a CUDA device, not an emulated one")
    return torch.device("cuda")


@pytest.fixture(autouse=True)
def _answers(request: pytest.FixtureRequest) -> Iterator[None]:
    """A test that hangs ends the process (its traceback needs --capture=sys), a device that is lost all tests."""
    if not torch.cuda.is_available():
        yield
        return
    faulthandler.dump_traceback_later(LIMIT, exit=True)
    yield
    try:
        torch.cuda.synchronize()
    except Exception as error:  # each later call would fail alike
        pytest.exit(f"the device is lost after {request.node.nodeid}: {error}", returncode=3)
    finally:
        faulthandler.cancel_dump_traceback_later()


@pytest.fixture(autouse=True)
def _poisoned() -> Iterator[None]:
    """Fresh memory holds NaN, so that what a kernel does not write is seen."""
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = True
    yield
    torch.use_deterministic_algorithms(before)
