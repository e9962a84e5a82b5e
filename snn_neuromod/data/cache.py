"""The folder for what can be made again: generated corpora, extracted features."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from snn_neuromod._storage import write_atomically

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
