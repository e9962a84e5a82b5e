"""What all tasks share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytorch_lightning as pl
import torch

from lightning_modules.class_paths import check_hyper_parameters

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Task"]


class Task(pl.LightningModule):
    """A Lightning module whose checkpoints make only what belongs into it when it is rebuilt from them."""

    @classmethod
    def load_from_checkpoint(cls, checkpoint_path: Any, *args: Any, **kwargs: Any) -> Self:
        """Rebuild a task from a checkpoint, as in Lightning.

        Raises:
            ConfigError: If the hyper-parameters in the checkpoint name something that is no part of a task.
        """
        if hasattr(checkpoint_path, "seek"):
            checkpoint_path.seek(0)
        found = torch.load(checkpoint_path, map_location="cpu", weights_only=True)
        if hasattr(checkpoint_path, "seek"):
            checkpoint_path.seek(0)
        check_hyper_parameters(found.get("hyper_parameters", {}))
        return super().load_from_checkpoint(checkpoint_path, *args, **kwargs)
