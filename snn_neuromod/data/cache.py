"""The folder for what can be made again: generated corpora, extracted features."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO

__all__ = ["CACHE_VARIABLE", "cache_folder", "write_atomically"]

CACHE_VARIABLE = "SNN_NEUROMOD_CACHE"
"""Environment variable that names another cache folder."""


def cache_folder(*parts: str) -> Path:
    r"""Folder of this package below the user's cache folder; it may be deleted at any time.

    `$SNN_NEUROMOD_CACHE`, else `snn_neuromod` below `$XDG_CACHE_HOME` or `~/.cache`
    (`~/Library/Caches` on macOS, `%LOCALAPPDATA%` on Windows). Creates nothing.

    Args:
        *parts: Folders below it.

    Example:
        >>> cache_folder("features").parts[-1]
        'features'
    """
    given = os.environ.get(CACHE_VARIABLE)
    if given:
        return Path(given).expanduser().joinpath(*parts)
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base.joinpath("snn_neuromod", *parts)


def write_atomically(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Write a file so that its name never stands for half of it, also when two processes do.

    Args:
        path: The file; its folder is made if missing.
        write: Writes the content into an open binary file.

    Raises:
        OSError: If the folder cannot be written to.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            write(file)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
