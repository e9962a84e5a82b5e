"""Checkpoints that a kill, a crash or a full disk leaves whole, and messages for those that are not."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch
from lightning_fabric.plugins import TorchCheckpointIO

from snn_neuromod._storage import write_atomically
from snn_neuromod.errors import DataError

__all__ = ["DurableCheckpoints", "read_checkpoint"]


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
        try:
            found = super().load_checkpoint(path, map_location, weights_only)
        except OSError:
            raise
        except Exception as error:  # zip, pickle and tensors each fail in their own ways
            raise DataError(
                "the checkpoint cannot be read: it must be whole and hold weights and plain values only, as fit "
                "writes them",
                path,
            ) from error
        version = isinstance(found, dict) and found.get("pytorch-lightning_version")
        if not version or not isinstance(found.get("state_dict"), dict):
            raise DataError(
                "must be a checkpoint of PyTorch Lightning with its version and a state_dict, as fit writes them",
                path,
            )
        return found


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint of Lightning, weights and plain values only, on the CPU.

    Raises:
        DataError: If the file is cut, empty or something else.
    """
    return DurableCheckpoints().load_checkpoint(path, "cpu", weights_only=True)
