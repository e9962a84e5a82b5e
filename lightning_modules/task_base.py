"""What all tasks share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pytorch_lightning as pl
import torch

from lightning_modules.class_paths import check_hyper_parameters
from lightning_modules.resume import Resume
from snn_neuromod.errors import RunError

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Task"]


class Task(pl.LightningModule):
    """A Lightning module whose checkpoints make only what belongs into it when it is rebuilt from them."""

    def __init__(self) -> None:
        super().__init__()
        self._resume = Resume()

    def configure_callbacks(self) -> list[pl.Callback]:
        return [self._resume]

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        if self._trainer is not None and self.trainer.state.fn == "fit":
            self._resume.read(checkpoint)

    def load_state_dict(self, state_dict: Mapping[str, Any], *args: Any, **kwargs: Any) -> Any:
        try:
            return super().load_state_dict(state_dict, *args, **kwargs)
        except RuntimeError as error:  # sizes and names that differ, all listed
            raise RunError(str(error)) from error

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
