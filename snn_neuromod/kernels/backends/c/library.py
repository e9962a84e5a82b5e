"""The compiled library of the "c" backend: where it is, how it is called."""

from __future__ import annotations

import ctypes
import importlib.machinery
import warnings
import zlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from snn_neuromod.kernels.fusion.c import TYPES

FOLDER = Path(__file__).parents[2]


def source_hash(folder: Path = FOLDER) -> int:
    """Number that changes with the C sources; setup.py computes the same."""
    paths = sorted(
        path
        for part in ("c", "fusion", "fusion/printed")
        for path in (folder / part).iterdir()
        if path.suffix in (".c", ".h", ".json")
    )
    return zlib.crc32(b"".join(path.read_bytes().replace(b"\r\n", b"\n") for path in paths))


@cache
def load() -> tuple[ctypes.CDLL | None, str]:
    """The library, or None, and what there is to say about it."""
    candidates = [FOLDER / f"_c{suffix}" for suffix in importlib.machinery.EXTENSION_SUFFIXES]
    path = next((path for path in candidates if path.exists()), None)
    if path is None:
        return None, "not built: the package was installed without a working C compiler"
    try:
        library = ctypes.CDLL(str(path))
        library.snn_source.restype = ctypes.c_uint32
        built_from = library.snn_source()
    except (OSError, AttributeError) as error:
        return None, f"cannot be loaded: {error}"
    if built_from != source_hash():
        return None, "built from other sources: install the package again"
    parts = [
        "several instruction sets" if library.snn_clones() else "one instruction set",
        "OpenMP" if library.snn_openmp() else "one thread",
    ]
    return library, f"available ({', '.join(parts)})"


@cache
def say_missing() -> None:
    """Say once that the library is not in use: everything works without it, at another speed."""
    library, reason = load()
    if library is None:
        warnings.warn(
            f"the compiled kernels of snn_neuromod are not in use: {reason}; neurons run more slowly",
            stacklevel=2,
        )


def unable(*tensors: Tensor) -> str | None:
    """Why the library cannot serve these tensors, bytes and integers aside of the types it knows; None if it can."""
    for x in tensors:
        if x.device.type != "cpu":
            return f"it runs on the CPU, got a tensor on {x.device}"
        if x.dtype not in _KNOWN:
            return f"it takes float32 and float64, got {x.dtype}"
    return None if load()[0] is not None else f"its library is {load()[1]}"


_KNOWN = (*TYPES, torch.uint8, torch.int32, torch.int64)


def call(function: str, numbers: Sequence[int], tensors: Sequence[Tensor | None]) -> None:
    """Call a kernel; the sources say in which order it takes its arguments.

    Args:
        function: Its name, without the type of those tensors that are of floating point.
        numbers: Sizes.
        tensors: Contiguous tensors; None is NULL.

    Raises:
        TypeError: If a tensor is of another type than others, not on the CPU or not contiguous.
        RuntimeError: If there is no library.
    """
    library, reason = load()
    if library is None:
        raise RuntimeError(f"C kernels: {reason}")
    given = [x for x in tensors if x is not None]
    types = {x.dtype for x in given if x.is_floating_point()}
    if len(types) > 1 or not all(x.is_cpu and x.is_contiguous() for x in given):
        raise TypeError(f"{function}: tensors must be contiguous, on the CPU and of one type")
    kernel = getattr(library, "_".join([function, *(TYPES[dtype] for dtype in types)]))
    kernel.restype = None
    addresses = [None if x is None else x.data_ptr() for x in tensors]
    kernel(
        (ctypes.c_int64 * len(numbers))(*numbers), (ctypes.c_void_p * len(addresses))(*addresses)
    )
