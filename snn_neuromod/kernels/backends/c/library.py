"""The compiled library of the "c" backend: where it is, how it is called, what the arguments look like."""

from __future__ import annotations

import ctypes
import importlib.machinery
import re
import warnings
import zlib
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

FOLDER = Path(__file__).parents[2]
SOURCES = FOLDER / "c"

STRUCTURES = ("ELIGIBILITY", "SPIKES")
"""The arguments of the kernels, as the sources name them."""

_TYPES = {"int64_t": ctypes.c_int64, "double": ctypes.c_double}


@cache
def structure(name: str) -> type[ctypes.Structure]:
    """Arguments of a kernel, read from the C sources: there alone stands what they are.

    Elements of an array are named by their indices, `params_0`, `strides_0_1`; those of a structure by themselves.

    Args:
        name: Of the structure in the sources.
    """
    text = "\n".join(path.read_text(encoding="utf-8") for path in sorted(SOURCES.glob("*.[ch]")))
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    return type(name, (ctypes.Structure,), {"_fields_": [*_fields(text, name, _constants(text))]})


def _constants(text: str) -> dict[str, int]:
    """Numbers that the sources name by `enum` and `#define`."""
    found = {k: int(v) for k, v in re.findall(r"#define (\w+) (\d+)\s", text)}
    for body in re.findall(r"^enum \{([^}]*)\}", text, flags=re.MULTILINE):
        value = 0
        for item in body.split(","):
            name, _, given = (part.strip() for part in item.partition("="))
            value = found[given] if given else value
            found[name] = value
            value += 1
    return found


def _fields(text: str, name: str, constants: Mapping[str, int]) -> Iterator[tuple[str, type]]:
    body = re.search(r"typedef struct \{([^}]*)\} NAME\(" + name + r"\);", text)
    if body is None:
        raise RuntimeError(f"C kernels: the sources have no structure {name}")
    for line in filter(None, (part.strip() for part in body.group(1).split(";"))):
        inner = re.fullmatch(r"NAME\((\w+)\) \w+", line)
        if inner:
            yield from _fields(text, inner.group(1), constants)
            continue
        kind, declared = line.removeprefix("const ").split(maxsplit=1)
        for item in declared.split(","):
            stars, variable, sizes = re.fullmatch(r"\s*(\**)(\w+)((?:\[\w+\])*)", item).groups()  # type: ignore[union-attr]
            names = [variable]
            for size in re.findall(r"\[(\w+)\]", sizes):
                count = constants[size] if size in constants else int(size)
                names = [f"{known}_{k}" for known in names for k in range(count)]
            yield from ((known, ctypes.c_void_p if stars else _TYPES[kind]) for known in names)


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
    library.snn_size.restype = ctypes.c_int64
    for k, name in enumerate(STRUCTURES):
        if library.snn_size(ctypes.c_int64(k)) != ctypes.sizeof(structure(name)):
            return None, f"not usable: {name} has another size in the library than in its sources"
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


_KNOWN = (torch.float32, torch.float64, torch.uint8, torch.int32, torch.int64)


def call(
    function: str,
    kind: str,
    dtype: torch.dtype,
    tensors: Mapping[str, Tensor | None],
    numbers: Mapping[str, float],
) -> None:
    """Call a kernel.

    Args:
        function: Its name without the type.
        kind: Its arguments, see `structure`.
        dtype: Type of all tensors but bytes and integers (int64).
        tensors: Contiguous tensors by name; None and names left out are NULL.
        numbers: Numbers by name.

    Raises:
        TypeError: If a tensor has another type, is not on the CPU or not contiguous.
        RuntimeError: If there is no library.
    """
    library, reason = load()
    if library is None:
        raise RuntimeError(f"C kernels: {reason}")
    arguments = structure(kind)(**numbers)
    for name, tensor in tensors.items():
        if tensor is None:
            continue
        known = tensor.dtype == dtype or tensor.dtype in (torch.uint8, torch.int64)
        if not known or not tensor.is_contiguous() or not tensor.is_cpu:
            raise TypeError(f"{function}: {name} must be contiguous, on the CPU and {dtype}")
        setattr(arguments, name, tensor.data_ptr())
    kernel = getattr(library, f"{function}_{'float' if dtype == torch.float32 else 'double'}")
    kernel.restype = None
    kernel(ctypes.byref(arguments))
