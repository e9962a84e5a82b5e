"""Numbered folders of the runs of an experiment: `version_0`, `version_1`, and so on."""

from __future__ import annotations

import re
from pathlib import Path

__all__ = ["claim_version", "next_version", "version_of"]


def version_of(folder: Path) -> int:
    """Number N of a folder `version_<N>`, -1 for others."""
    match = re.fullmatch(r"version_(\d+)", folder.name)
    return int(match[1]) if match else -1


def next_version(folder: Path) -> Path:
    """First unused `version_<N>` in the folder of an experiment, after all that are there."""
    taken = [version_of(path) for path in folder.glob("version_*")]
    return folder / f"version_{max(taken, default=-1) + 1}"


def claim_version(folder: Path) -> Path:
    """Make the next `version_<N>`, which no other run gets, whenever it starts.

    Raises:
        StorageError: If the folder cannot be made.
    """
    from snn_neuromod.errors import StorageError  # needs torch, which --help does not wait for

    while True:
        path = next_version(folder)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            path.mkdir()
        except FileExistsError as error:
            if not folder.is_dir():
                raise StorageError(f"{folder}: must be a folder, got a file") from error
            continue  # another run was faster
        except FileNotFoundError:
            continue  # another run that did not start has taken the folder above back
        except OSError as error:
            raise StorageError(f"{path}: cannot be made ({error.strerror})") from error
        return path
