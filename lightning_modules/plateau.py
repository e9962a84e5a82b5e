"""What follows a metric, schedules and the end of training, where a run is resumed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import EarlyStopping
from torch.optim.lr_scheduler import ReduceLROnPlateau

__all__ = ["SETTINGS", "awaited", "catch_up", "follows_a_metric", "keep_patience"]

SETTINGS = (
    "monitor", "mode", "threshold_mode", "factor", "patience", "threshold", "cooldown", "eps", "min_lrs",
    "default_min_lr",
)  # fmt: skip
"""What a configuration says; what has been seen of the metric is kept beside it."""


def follows_a_metric(scheduler: Any) -> bool:
    """Whether it is one."""
    return isinstance(scheduler, ReduceLROnPlateau)


def awaited(trainer: pl.Trainer) -> list[float | None]:
    """What each schedule is about to see of its metric, None if nothing; to be saved with it.

    At the end of an epoch Lightning saves first, and lets these schedules take their step afterwards: a run that goes
    on from there would leave that step out.
    """
    epochs: Any = trainer.fit_loop.epoch_progress.current
    values: list[float | None] = [None] * len(trainer.lr_scheduler_configs)
    for k, config in _by_epoch(trainer) if epochs.completed < epochs.processed else ():
        value = trainer.callback_metrics.get(str(config.monitor))
        if value is not None and (trainer.current_epoch + 1) % config.frequency == 0:
            values[k] = float(value)
    return values


def catch_up(trainer: pl.Trainer, values: Sequence[float | None]) -> None:
    """Let schedules that were just restored take the steps that were awaited when they were saved."""
    for k, config in _by_epoch(trainer):
        value = values[k] if k < len(values) else None
        if value is not None:
            config.scheduler.step(value)


def keep_patience(trainer: pl.Trainer, checkpoint: dict[str, Any]) -> str:
    """Let `EarlyStopping` wait as long as it is configured to, before Lightning restores its patience too.

    Returns:
        What is another than in the run before, "" if nothing is.
    """
    told = ""
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        saved = checkpoint.get("callbacks", {}).get(callback.state_key)
        if not (isinstance(callback, EarlyStopping) and isinstance(saved, dict)):
            continue
        before, saved["patience"] = saved.get("patience"), callback.patience
        if before != callback.patience:
            told = f"EarlyStopping: patience {callback.patience} instead of {before}"
    return told


def _by_epoch(trainer: pl.Trainer) -> Iterator[tuple[int, Any]]:
    for k, config in enumerate(trainer.lr_scheduler_configs):
        if config.reduce_on_plateau and config.interval == "epoch":
            yield k, config
