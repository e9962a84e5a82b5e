"""The metric of `--monitor`: which value of it is best, and whether the run will have it, known before training."""

from __future__ import annotations

from typing import Any, Literal

import pytorch_lightning as pl

from snn_neuromod.errors import ConfigError

__all__ = ["Mode", "MonitorCheck", "direction"]

Mode = Literal["min", "max"]
_STAGES = ("train", "val")
_BY_LAYER, _OF_CALLBACKS = ("spikes/", "rate/"), ("lr-", "modulation/")


def direction(model: pl.LightningModule, monitor: str | None, given: Mode | None) -> Mode | None:
    """Which value of a metric is best.

    Args:
        model: The task; its `metric_modes` says of each metric, without the stage before it, which value is best.
        monitor: Name of the metric, `<stage>/<metric>`.
        given: What the user says.

    Raises:
        ConfigError: If the task logs no such metric, or nobody knows its direction.
    """
    if monitor is None:
        return None
    modes: dict[str, Mode] | None = getattr(model, "metric_modes", None)
    stage, _, metric = monitor.partition("/")
    if modes is not None and (stage not in _STAGES or metric not in modes):
        raise ConfigError(f"monitor must be one of {_names(modes)}, got {monitor}")
    mode = given or (modes or {}).get(metric)
    if mode is None:
        raise ConfigError(
            f"monitor_mode must be min or max for {monitor} of {type(model).__name__}, got nothing"
        )
    return mode


class MonitorCheck(pl.Callback):
    """Before training, refuses a metric that will not be logged, one of validation without data among them.

    Args:
        monitor: Name of the metric; those of other callbacks are looked at as well.
    """

    def __init__(self, monitor: str | None) -> None:
        self.monitor = monitor

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        others = [getattr(callback, "monitor", None) for callback in trainer.callbacks]  # type: ignore[attr-defined]
        others += [
            config.monitor for config in trainer.lr_scheduler_configs if config.reduce_on_plateau
        ]
        for name in others:
            _refuse_unknown(pl_module, name)
        asked = [name for name in [self.monitor, *others] if str(name).startswith("val/")]
        if asked and not _validates(trainer):
            raise ConfigError(
                f"monitor must be a metric that is logged, got {asked[0]} in a run without validation: let "
                "val_fraction be above 0 and validation happen (limit_val_batches, check_val_every_n_epoch), "
                "or monitor train/loss"
            )


def _refuse_unknown(model: pl.LightningModule, name: Any) -> None:
    """Refuse what no task of this package logs; a task of the user may log anything."""
    modes: dict[str, Mode] | None = getattr(model, "metric_modes", None)
    ours = type(model).__module__.startswith("lightning_modules.")
    if not isinstance(name, str) or modes is None or not ours or name.startswith(_OF_CALLBACKS):
        return
    stage, _, metric = name.partition("/")
    if stage not in _STAGES or not (metric in modes or metric.startswith(_BY_LAYER)):
        raise ConfigError(
            f"the monitor of a callback or a schedule must be one of {_names(modes)}, got {name}"
        )


def _names(modes: dict[str, Mode]) -> str:
    return ", ".join(f"{stage}/{metric}" for stage in _STAGES for metric in modes)


def _validates(trainer: pl.Trainer) -> bool:
    every, epochs = trainer.check_val_every_n_epoch, trainer.max_epochs
    if trainer.limit_val_batches == 0 or (every and epochs and 0 <= epochs < every):
        return False
    data: Any = getattr(trainer, "datamodule", None)
    if data is None:
        return True
    loaders = data.val_dataloader()
    return not isinstance(loaders, list | tuple) or any(len(loader) for loader in loaders)
