"""Whether Triton can serve a device. It is imported for tensors of CUDA devices alone."""

from __future__ import annotations

import importlib.util
import os
from functools import cache

import torch
from torch import Tensor

__all__ = ["emulated", "missing", "status"]


def emulated() -> bool:
    """Whether Triton's interpreter runs the kernels, on the CPU; for tests."""
    return os.environ.get("TRITON_INTERPRET") == "1"


def missing(tensor: Tensor) -> str | None:
    """Why Triton cannot serve the device of a tensor, None if it can."""
    kind = tensor.device.type
    if kind != ("cpu" if emulated() else "cuda"):
        return f"it runs on CUDA devices, not on {kind}"
    if not _installed():
        return "Triton is not installed"
    if (
        kind == "cuda"
        and torch.version.hip is None
        and torch.cuda.get_device_capability(tensor.device) < (8, 0)
    ):
        return "the device is older than what Triton compiles for (compute capability 8.0)"
    return None


@cache
def _installed() -> bool:
    return importlib.util.find_spec("triton") is not None


def status() -> str:
    """Whether the backend serves, or why not."""
    if not _installed():
        return "not available: Triton is not installed"
    if emulated():
        return "available (emulated)"
    if not torch.cuda.is_available():
        return "not available: there is no CUDA device"
    return "available"
