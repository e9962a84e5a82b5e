"""The compiled library of the "c" backend: where it is, and how its functions are called."""

from __future__ import annotations

import ctypes
import importlib.machinery
import zlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

SOURCES = Path(__file__).parent / "c"


class Structure(ctypes.Structure):
    """Arguments of a kernel, as in its C structure: numbers (int64), reals (double), then pointers."""


def structure(numbers: str, reals: str, tensors: str) -> type[Structure]:
    """Type of a kernel's arguments, named in the order of its C structure."""
    fields = [
        *((name, ctypes.c_int64) for name in numbers.split()),
        *((name, ctypes.c_double) for name in reals.split()),
        *((name, ctypes.c_void_p) for name in tensors.split()),
    ]
    return type("Arguments", (Structure,), {"_fields_": fields})


def source_hash(folder: Path = SOURCES) -> int:
    """Number that changes with the C sources; setup.py computes the same."""
    paths = sorted(path for path in folder.iterdir() if path.suffix in (".c", ".h"))
    return zlib.crc32(b"".join(path.read_bytes().replace(b"\r\n", b"\n") for path in paths))


@cache
def load() -> tuple[ctypes.CDLL | None, str]:
    """The library, or None, and what there is to say about it."""
    folder = Path(__file__).parent
    candidates = [folder / f"_c{suffix}" for suffix in importlib.machinery.EXTENSION_SUFFIXES]
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


def call(
    function: str,
    kind: type[Structure],
    dtype: torch.dtype,
    tensors: Mapping[str, Tensor | None],
    numbers: Mapping[str, float],
) -> None:
    """Call a kernel.

    Args:
        function: Its name without the type.
        kind: Its arguments.
        dtype: Type of all tensors but bytes and integers (int64).
        tensors: Contiguous tensors by name; None and names left out are NULL.
        numbers: Numbers by name.

    Raises:
        TypeError: If a tensor has another type or is not contiguous.
        RuntimeError: If there is no library.
    """
    library, reason = load()
    if library is None:
        raise RuntimeError(f"C kernels: {reason}")
    arguments = kind(**numbers)
    for name, tensor in tensors.items():
        if tensor is None:
            continue
        if tensor.dtype not in (dtype, torch.uint8, torch.int64) or not tensor.is_contiguous():
            raise TypeError(f"{function}: {name} must be contiguous and {dtype}")
        setattr(arguments, name, tensor.data_ptr())
    suffix = "float" if dtype == torch.float32 else "double"
    kernel = getattr(library, f"{function}_{suffix}")
    kernel.restype = None
    kernel(ctypes.byref(arguments))
