"""Resuming a run under other settings: the schedule is computed again where that is sound, or the run is refused."""

from __future__ import annotations

import math
import warnings
from typing import Any, NamedTuple

import pytorch_lightning as pl
import torch

from snn_neuromod.errors import RunError

__all__ = ["Progress", "Resume", "progress_of", "steps_per_epoch", "total_steps"]

_KEY = "snn_neuromod_run"
_RATES = ("lr", "momentum", "betas")  # in the names of what a schedule sets
_COUNTERS = ("_step_count", "_get_lr_called_within_step", "_is_initial", "verbose")


class Progress(NamedTuple):
    """How far a run has come.

    Attributes:
        epochs: Epochs that are complete.
        steps: Steps of the optimiser.
        inside: Batches trained on in the epoch after them.
    """

    epochs: int
    steps: int
    inside: int

    def reaches(self, max_epochs: int | None, max_steps: int) -> bool:
        """Whether a run of some length is complete; None and -1 have no end."""
        return 0 <= (-1 if max_epochs is None else max_epochs) <= self.epochs or (
            0 <= max_steps <= self.steps
        )


def progress_of(checkpoint: dict[str, Any]) -> Progress | None:
    """How far the run of a checkpoint has come; None if it cannot be resumed, as it holds weights only."""
    if not {"optimizer_states", "lr_schedulers"} <= checkpoint.keys():
        return None
    try:
        loop = checkpoint["loops"]["fit_loop"]
        epochs = loop["epoch_progress"]["current"]
        batches = loop["epoch_loop.batch_progress"]["current"]["processed"]
        inside = batches if epochs["processed"] < epochs["ready"] else 0
        return Progress(epochs["processed"], checkpoint["global_step"], inside)
    except (KeyError, TypeError):
        return None


def total_steps(trainer: pl.Trainer) -> float:
    """Steps of a run, those before it was resumed among them, inf without an end."""
    resumed = next((c.progress for c in trainer.callbacks if isinstance(c, Resume)), None)  # type: ignore[attr-defined]
    total = trainer.estimated_stepping_batches
    endless = not total < math.inf or trainer.max_epochs in (None, -1)
    if resumed is None or resumed.inside or endless:
        return total
    # Epochs before may have had another number of batches.
    left = (trainer.max_epochs - resumed.epochs) * steps_per_epoch(trainer)  # type: ignore[operator]
    limit = trainer.max_steps if trainer.max_steps >= 0 else math.inf
    return min(resumed.steps + left, limit)


def steps_per_epoch(trainer: pl.Trainer) -> float:
    """Steps of the optimiser in an epoch, inf if unknown; the trainer must have seen its data."""
    batches = trainer.num_training_batches / trainer.accumulate_grad_batches
    return math.ceil(batches) if batches < math.inf else batches


class Resume(pl.Callback):
    """Looks at what a resumed run cannot change, and computes the learning rate's schedule again where it differs.

    A run that is resumed with other numbers of epochs or batches gets the schedule that a run of the new length has
    from there on. What has no sound continuation is refused before training: another batch size in the middle of an
    epoch, another precision, a schedule that ends before the run does.

    Tasks bring it with them.
    """

    def __init__(self) -> None:
        self.progress: Progress | None = None
        self._checkpoint: dict[str, Any] = {}

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        checkpoint[_KEY] = _settings(trainer)

    def read(self, checkpoint: dict[str, Any]) -> None:
        """Take note of the checkpoint that a run goes on from, before Lightning restores it."""
        self.progress, self._checkpoint = progress_of(checkpoint), checkpoint
        if self.progress is None:
            raise RunError(
                "the checkpoint must hold the state of training, got weights only; start a new run with them"
            )

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.progress is None:
            return
        _refuse_changes(self._checkpoint.get(_KEY, {}), _settings(trainer), self.progress)
        states, optimizers = self._checkpoint["lr_schedulers"], self._checkpoint["optimizer_states"]
        for k, config in enumerate(trainer.lr_scheduler_configs[: len(states)]):
            fresh = config.scheduler
            _refuse_short(fresh, config.interval, trainer)
            if _advance(fresh, states[k]) and not _same(fresh.state_dict(), states[k]):
                before = states[k].get("_last_lr", [math.nan])[0]
                states[k] = fresh.state_dict()
                groups = fresh.optimizer.param_groups
                for old, new in zip(optimizers[k]["param_groups"], groups, strict=True):
                    old.update({key: new[key] for key in new if any(r in key for r in _RATES)})
                now = groups[0]["lr"]
                if trainer.is_global_zero:
                    print(
                        f"resuming after epoch {self.progress.epochs} with another schedule: {type(fresh).__name__} is "
                        f"computed again for this run, the learning rate goes on at {now:.3g} instead of {before:.3g}",
                        flush=True,
                    )
        self._checkpoint = {}


def _settings(trainer: pl.Trainer) -> dict[str, Any]:
    """What decides whether a checkpoint inside an epoch can be resumed."""
    data: Any = getattr(trainer, "datamodule", None)
    batches = trainer.num_training_batches
    found = {
        "precision": str(trainer.precision),
        "optimizer": " and ".join(type(optimizer).__name__ for optimizer in trainer.optimizers),
        "batch_size": getattr(data, "batch_size", None),
        "batches": None if batches == math.inf else int(batches),
        "accumulate_grad_batches": trainer.accumulate_grad_batches,
    }
    return {name: value for name, value in found.items() if value is not None}


def _refuse_changes(before: dict[str, Any], now: dict[str, Any], progress: Progress) -> None:
    for name, value in before.items():
        always = name in ("precision", "optimizer")
        if (always or progress.inside) and now.get(name, value) != value:
            where = "" if always else f" inside epoch {progress.epochs + 1}"
            raise RunError(
                f"resume: {name} must be {value} as in the run that is resumed{where}, got {now[name]}; "
                "take its value, or start a new run"
            )


def _refuse_short(scheduler: Any, interval: str, trainer: pl.Trainer) -> None:
    """Refuse a schedule that raises when the run is longer than it."""
    total = getattr(scheduler, "total_steps", None)
    if total is None:
        return
    needed = trainer.max_epochs if interval == "epoch" else total_steps(trainer)
    if needed is not None and needed > total:
        raise RunError(
            f"resume: {type(scheduler).__name__}: total_steps must be at least {needed}, the length of this run, "
            f"got {total}"
        )


def _advance(fresh: Any, saved: dict[str, Any]) -> bool:
    """Bring a new schedule to the step at which another was saved; False where that says nothing."""
    if isinstance(fresh, torch.optim.lr_scheduler.ReduceLROnPlateau):
        return False  # follows a metric
    if fresh.state_dict().keys() - set(_COUNTERS) != saved.keys() - set(_COUNTERS):
        return False  # of another kind, as a callback has put it in place
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Detected call of `lr_scheduler.step")
        warnings.filterwarnings("ignore", message="(?s)To get the last learning rate")
        for _ in range(saved["last_epoch"]):
            fresh.step()
    return True


def _same(a: Any, b: Any) -> bool:
    """Whether two states of a schedule are equal, numbers to rounding."""
    if isinstance(a, dict) and isinstance(b, dict):
        keys = (a.keys() | b.keys()) - set(_COUNTERS)
        return all(k in a and k in b and _same(a[k], b[k]) for k in keys)
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return len(a) == len(b) and all(_same(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, float | int) and isinstance(b, float | int):
        return math.isclose(a, b, rel_tol=1e-6, abs_tol=1e-12)
    return bool(a == b)
