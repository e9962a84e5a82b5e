"""Graphs from files, read by a process of its own: some damaged files end HDF5's library, with others it never ends."""

from __future__ import annotations

import errno
import os
import pickle
import subprocess
import sys
from os import PathLike
from typing import Any

import nir

from snn_neuromod.errors import DataError

__all__ = ["read_graph"]

_CODE = """
import sys
sys.path[:] = sys.argv[2:]
import pickle, nir
try:
    graph = nir.read(sys.argv[1], type_check=False)
except Exception as error:  # in one line
    sys.exit(" ".join(f"{type(error).__name__}: {error}".split()))
pickle.dump(graph, sys.stdout.buffer)
"""
_SECONDS = 60.0
"""More than any graph takes that is whole."""

_DAMAGED = (ValueError, LookupError, TypeError, AttributeError, AssertionError, OSError)


def read_graph(path: str | PathLike[str]) -> Any:
    """Read a file as `nir.read` does; in this process where there is no interpreter to start, as in a frozen program.

    Args:
        path: The file.

    Returns:
        What it holds, a `nir.NIRGraph` unless it was made to be something else.

    Raises:
        FileNotFoundError: If there is none.
        DataError: If it is damaged or no graph.
    """
    if not os.path.exists(path):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), os.fspath(path))
    if not sys.executable or getattr(sys, "frozen", False):
        return _read_here(path)
    command = [sys.executable, "-c", _CODE, os.fspath(path), *sys.path]
    try:
        done = subprocess.run(command, capture_output=True, timeout=_SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise _damaged(path, f"what cannot be read in {_SECONDS:g} s") from error
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        ended = done.returncode < 0 or not said
        raise _damaged(path, "what HDF5's library does not survive" if ended else said[-1])
    return pickle.loads(done.stdout)  # what our own process has read


def _read_here(path: str | PathLike[str]) -> Any:
    try:
        return nir.read(path, type_check=False)
    except _DAMAGED as error:
        raise _damaged(path, str(error)) from error


def _damaged(path: str | PathLike[str], got: str) -> DataError:
    return DataError(f"from_nir: must be a NIR graph, got {got}", path)
