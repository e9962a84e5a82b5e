"""What a run tells TensorBoard: one event file, with the settings, the learning rate and the pictures in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import LearningRateMonitor
from pytorch_lightning.loggers import TensorBoardLogger
from pytorch_lightning.utilities import rank_zero_only

from lightning_modules.config_files import named

__all__ = ["BoardLogger", "LearningRate", "hyperparameters", "show"]

_TRAINER = ("max_epochs", "max_steps", "precision", "accumulate_grad_batches", "gradient_clip_val")
_METRICS = ("test/accuracy", "test/loss", "val/accuracy", "val/loss")


class BoardLogger(TensorBoardLogger):
    """Lightning's logger for TensorBoard, whose one event file goes on from training to test until `close`.

    Args:
        *args: As for Lightning's.
        settings: Settings of the run, shown as its hyper-parameters.
        **kwargs: As for Lightning's.
    """

    def __init__(self, *args: Any, settings: Mapping[str, Any], **kwargs: Any) -> None:
        super().__init__(*args, **{**kwargs, "default_hp_metric": False})
        self.hparams = dict(settings)
        self._shown = False

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        if not self._shown:
            self._shown = True
            self._show_settings()
        super().log_metrics(metrics, step)

    def _show_settings(self) -> None:
        from torch.utils.tensorboard.summary import hparams

        writer = self.experiment._get_file_writer()
        for summary in hparams(self.hparams, dict.fromkeys(_METRICS, 0.0)):  # names, no values
            writer.add_summary(summary)

    @rank_zero_only
    def save(self) -> None:
        """Bring what was logged to the file; `config.yaml` holds the settings, so that no `hparams.yaml` is written."""
        if self._experiment is not None:
            self._experiment.flush()

    @rank_zero_only
    def finalize(self, status: str) -> None:
        self.save()

    @rank_zero_only
    def close(self) -> None:
        """Close the event file; what is logged later goes into another one."""
        if self._experiment is not None:
            self._experiment.close()


class LearningRate(pl.Callback):
    """Log the learning rate at the end of each epoch, named as Lightning's `LearningRateMonitor` names it.

    Where that callback is there too, this one says nothing.
    """

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if any(isinstance(other, LearningRateMonitor) for other in trainer.callbacks):  # type: ignore[attr-defined]
            return
        for number, optimizer in enumerate(trainer.optimizers):
            name = f"lr-{type(optimizer).__name__}" + (f"-{number}" if number else "")
            groups = optimizer.param_groups
            for k, group in enumerate(groups, 1):
                pl_module.log(f"{name}/pg{k}" if len(groups) > 1 else name, float(group["lr"]))


def hyperparameters(config: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a configuration that make its results, by short names such as `model.network.neuron: MSRC`.

    Args:
        config: The configuration; keys `class_path` and `init_args` leave no trace in the names.
    """
    trainer = {k: v for k, v in config.get("trainer", {}).items() if k in _TRAINER}
    made = {k: v for k, v in config.items() if k in ("seed_everything", "model", "data")}
    return {
        name: value if isinstance(value, bool | int | float | str) else str(value)
        for name, value in named({**made, "trainer": trainer}).items()
        if value is not None
    }


def show(trainer: pl.Trainer, name: str, figure: Any) -> None:
    """Add a matplotlib figure to the loggers that take images."""
    for logger in trainer.loggers:
        if isinstance(logger, TensorBoardLogger):
            logger.experiment.add_figure(name, figure, trainer.global_step, close=False)
