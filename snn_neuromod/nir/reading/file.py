"""Graphs from files, read by a process of its own: some damaged files end HDF5's library, with others it never ends."""

from __future__ import annotations

import errno
import os
import pickle
import subprocess
import sys
from os import PathLike
from typing import Any

from snn_neuromod.errors import DataError

__all__ = ["read_graph"]

_CODE = """
import sys
sys.path[:] = sys.argv[2:]
import pickle, nir
pickle.dump(nir.read(sys.argv[1], type_check=False), sys.stdout.buffer)
"""
_SECONDS = 60.0
"""More than any graph takes that is whole."""


def read_graph(path: str | PathLike[str]) -> Any:
    """Read a file as `nir.read` does.

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


def _damaged(path: str | PathLike[str], got: str) -> DataError:
    return DataError(f"from_nir: must be a NIR graph, got {got}", path)
