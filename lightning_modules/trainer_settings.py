"""Settings of the trainer that Lightning would take and that cannot work here, refused before anything starts."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import (
    BatchSizeFinder,
    Callback,
    EMAWeightAveraging,
    LearningRateFinder,
    WeightAveraging,
)

from snn_neuromod.errors import ConfigError

__all__ = ["check_settings"]

_LEAST = {"accumulate_grad_batches": 1, "check_val_every_n_epoch": 1, "gradient_clip_val": 0}


def check_settings(trainer: Any, callbacks: Sequence[Callback], model: pl.LightningModule) -> None:
    """Refuse what cannot work.

    Args:
        trainer: Arguments of the trainer by name, as attributes.
        callbacks: The user's own callbacks.
        model: What is trained.

    Raises:
        ConfigError: If a setting cannot work.
    """
    for name, least in _LEAST.items():
        if (value := getattr(trainer, name)) is not None and not value >= least:
            raise ConfigError(f"trainer.{name} must be >= {least}, got {value}")
    _refuse_crowds(trainer.devices, trainer.accelerator)
    _refuse_finders(callbacks)
    _refuse_infinite_means(callbacks, model)


def _refuse_crowds(devices: Any, accelerator: Any) -> None:
    """On a CPU a device is a process: any number of them would be started."""
    most = 2 * (os.cpu_count() or 1)
    on_cpu = accelerator == "cpu" or (
        accelerator == "auto" and not torch.accelerator.is_available()
    )
    if on_cpu and str(devices).isdecimal() and int(devices) > most:
        raise ConfigError(
            f"trainer.devices must be at most {most}, two processes for each core of this machine, got {devices}"
        )


def _refuse_finders(callbacks: Sequence[Callback]) -> None:
    for callback in callbacks:
        if isinstance(callback, LearningRateFinder | BatchSizeFinder):
            key = "model.optimizer.lr" if isinstance(callback, LearningRateFinder) else "data.batch_size"  # fmt: skip
            raise ConfigError(
                f"trainer.callbacks must not hold {type(callback).__name__}, whose trial steps would use up the "
                f"schedule of the run; set --{key} and compare runs"
            )


def _refuse_infinite_means(callbacks: Sequence[Callback], model: pl.LightningModule) -> None:
    """Lightning would average constants such as an infinite time constant, which gives NaN."""
    infinite = [
        name for name, x in model.named_buffers() if x.is_floating_point() and x.isinf().any()
    ]
    for callback in callbacks:
        plain = isinstance(callback, WeightAveraging) and not isinstance(
            callback, EMAWeightAveraging
        )
        if infinite and plain and getattr(callback, "_use_buffers", True):
            raise ConfigError(
                f"{type(callback).__name__}: use_buffers must be false, as {infinite[0]} is infinite and its mean "
                "would be NaN; weights are averaged all the same"
            )
