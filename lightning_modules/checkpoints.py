"""Checkpoints that a kill, a crash or a full disk leaves whole, and messages for those that are not."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from lightning_fabric.plugins import TorchCheckpointIO

from snn_neuromod._storage import write_atomically
from snn_neuromod.errors import DataError

__all__ = ["DurableCheckpoints", "read_checkpoint"]

_NEEDED = {"pytorch-lightning_version": str, "state_dict": dict}
_PARTS = _NEEDED | {
    "callbacks": dict, "epoch": int, "global_step": int, "loops": dict, "lr_schedulers": list, "optimizer_states": list,
}  # fmt: skip


class DurableCheckpoints(TorchCheckpointIO):
    """Writes a checkpoint beside its target, brings it to the disk and renames it, on any file system.

    Lightning itself writes to the folder of temporary files and moves the file from there: from another file system
    that is a copy, which a kill leaves unfinished over the checkpoint before.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None
    ) -> None:
        if storage_options is not None or "://" in str(path):
            super().save_checkpoint(checkpoint, path, storage_options)
            return
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        write_atomically(Path(path), lambda file: file.write(buffer.getbuffer()))

    def load_checkpoint(
        self, path: Any, map_location: Any = lambda storage, _: storage, weights_only: Any = None
    ) -> dict[str, Any]:
        load = super().load_checkpoint
        return _whole(path, lambda: load(path, map_location, weights_only))


def read_checkpoint(file: Any) -> dict[str, Any]:
    """Read a checkpoint of Lightning, weights and plain values only, on the CPU.

    Args:
        file: Its path, or a file open for reading.

    Raises:
        DataError: If the file is cut, damaged, empty or something else.
        OSError: If the disk does not give it, which says nothing about it.
    """
    return _whole(file, lambda: torch.load(file, map_location="cpu", weights_only=True))


def _whole(file: Any, load: Callable[[], Any]) -> dict[str, Any]:
    try:
        _compare_checksums(file)
        if hasattr(file, "seek"):
            file.seek(0)  # it has been read to its end
        found = load()
    except (FileNotFoundError, IsADirectoryError, PermissionError, MemoryError):
        raise
    except Exception as error:  # zip, pickle and tensors each fail in their own ways
        if "allocate memory" in str(error):
            raise
        _read_through(file)
        raise DataError(
            "the checkpoint cannot be read: it must be whole and hold weights and plain values only, as fit writes "
            "them",
            file,
        ) from error
    sound = isinstance(found, dict) and found.keys() >= _NEEDED.keys()
    sound = sound and all(
        isinstance(found.get(name, kind()), kind) for name, kind in _PARTS.items()
    )
    if not sound or not all(isinstance(name, str) for name in found["state_dict"]):
        raise DataError(
            "must be a checkpoint of PyTorch Lightning with its version and a state_dict, as fit writes them",
            file,
        )
    whole: dict[str, Any] = found
    return whole


def _read_through(file: Any) -> None:
    """Raise what the disk says, which libraries on the way make another error of, or take for the end of the file."""
    if "://" in str(file):
        return
    try:
        with nullcontext(file) if hasattr(file, "seek") else open(file, "rb") as content:
            content.seek(0)
            while content.read(2**20):
                pass
    except OSError as error:
        said = f"{file}: cannot be read ({error.strerror or error}), so that it may be whole"
        raise OSError(error.errno, said) from error


def _compare_checksums(file: Any) -> None:
    """PyTorch writes a checksum of each part and does not look at it when it reads: a flipped bit would be a weight."""
    if "://" in str(file) or not zipfile.is_zipfile(file):
        return
    with zipfile.ZipFile(file) as parts:
        if damaged := parts.testzip():
            raise zipfile.BadZipFile(f"{damaged} is damaged")
