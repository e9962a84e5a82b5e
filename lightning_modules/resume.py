"""Resuming a run under other settings: the schedule is computed again where that is sound, or the run is refused."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable
from typing import Any, NamedTuple

import pytorch_lightning as pl

from lightning_modules.optimiser_states import refuse_other_states
from lightning_modules.plateau import SETTINGS, awaited, catch_up, follows_a_metric, keep_patience
from snn_neuromod.errors import RunError

__all__ = ["Progress", "Resume", "progress_of", "steps_per_epoch", "total_steps"]

_KEY, _AWAITED = "snn_neuromod_run", "snn_neuromod_awaited"
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
    """Looks at what a resumed run cannot change, and lets the rest be as its configuration says.

    Lightning restores the optimiser's settings and the schedule of the run before. Where the configuration now has
    other settings, another schedule, or other numbers of epochs or batches, it is the schedule that a run so
    configured has from there on. What has no sound continuation is refused before training: another batch size in the
    middle of an epoch, another precision, a schedule that ends before the run does.

    Tasks bring it with them.
    """

    def __init__(self) -> None:
        self.progress: Progress | None = None
        self._checkpoint: dict[str, Any] = {}
        self._made: dict[str, Any] = {}
        self._awaited: list[float | None] = []

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        checkpoint[_KEY] = _settings(trainer) | self._made
        checkpoint[_AWAITED] = awaited(trainer)

    def read(self, checkpoint: dict[str, Any], trainer: pl.Trainer) -> None:
        """Take note of the checkpoint that a run goes on from, before Lightning restores it."""
        self.progress, self._checkpoint = progress_of(checkpoint), checkpoint
        if self.progress is None:
            raise RunError(
                "the checkpoint must hold the state of training, got weights only; start a new run with them"
            )
        if (told := keep_patience(trainer, checkpoint)) and trainer.is_global_zero:
            print(f"resuming with another {told}", flush=True)

    def note(self, made: Any) -> None:
        """Take note of what `configure_optimizers` returns, before a callback changes it."""
        parts = made if isinstance(made, dict) else {"optimizer": made}
        schedules = [parts["lr_scheduler"]["scheduler"]] if "lr_scheduler" in parts else []
        self._made = _made([parts["optimizer"]], schedules)

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not self._made:  # a task that makes its optimisers itself
            schedules = [config.scheduler for config in trainer.lr_scheduler_configs]
            self._made = _made(trainer.optimizers, schedules)
        if self.progress is None:
            return
        before = self._made | self._checkpoint.get(_KEY, {})
        states, saved = self._checkpoint["lr_schedulers"], self._checkpoint["optimizer_states"]
        _refuse_changes(before, _settings(trainer), self.progress)
        refuse_other_states(saved, trainer.optimizers, pl_module.named_parameters())
        other = before["schedules"] != self._made["schedules"]
        self._awaited = [] if other else self._checkpoint.get(_AWAITED, [])
        if other:
            states[:] = _as_if_saved(trainer, self.progress)
        for k, optimizer in enumerate(trainer.optimizers):
            names = _changed(before["groups"][k], self._made["groups"][k])
            rates = {name for name in optimizer.param_groups[0] if any(r in name for r in _RATES)}
            again = other or bool(names & rates)
            if k < len(trainer.lr_scheduler_configs[: len(states)]):
                again = self._schedule_again(trainer, k, again) or other
                if not (again or follows_a_metric(trainer.lr_scheduler_configs[k].scheduler)):
                    names -= rates  # the schedule's own
            groups = zip(saved[k]["param_groups"], optimizer.param_groups, strict=True)
            self._tell(trainer, optimizer, _take(groups, names | rates if again else names))
        self.progress, self._checkpoint = None, {}  # the task's next run may be a new one

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        catch_up(trainer, self._awaited)
        self._awaited = []

    def _tell(self, trainer: pl.Trainer, of: Any, told: str) -> None:
        if told and trainer.is_global_zero:
            epochs = self.progress.epochs if self.progress else 0
            after = f"resuming after epoch {epochs} with another schedule or settings"
            print(f"{after} of {type(of).__name__}: {told}", flush=True)

    def _schedule_again(self, trainer: pl.Trainer, k: int, changed: bool) -> bool:
        """Compute a schedule again for this run, if that differs from the one that was saved."""
        config, states = trainer.lr_scheduler_configs[k], self._checkpoint["lr_schedulers"]
        fresh = config.scheduler
        if follows_a_metric(fresh) and "num_bad_epochs" in states[k]:
            self._tell(trainer, fresh, _follow_anew(states[k], fresh.state_dict()))
        _refuse_short(fresh, config.interval, trainer)
        again = _advance(fresh, states[k]) and (changed or not _same(fresh.state_dict(), states[k]))
        if again:
            states[k] = fresh.state_dict()
        return again


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


def _made(optimizers: Iterable[Any], schedules: Iterable[Any]) -> dict[str, Any]:
    """Kinds of schedules and settings of optimisers."""
    plain = (bool, int, float, str, tuple, type(None))
    groups = [
        [{name: x for name, x in group.items() if isinstance(x, plain)} for group in optimizer.param_groups]
        for optimizer in optimizers
    ]  # fmt: skip
    return {"schedules": [type(schedule).__name__ for schedule in schedules], "groups": groups}


def _follow_anew(saved: dict[str, Any], fresh: dict[str, Any]) -> str:
    """Give a saved schedule that follows a metric the settings of this run; says which differ."""
    names = [name for name in SETTINGS if name in saved and name in fresh]
    before, now = ({name: state[name] for name in names} for state in (saved, fresh))
    return _take([(saved, now)], _changed([before], [now]))


def _as_if_saved(trainer: pl.Trainer, progress: Progress) -> list[dict[str, Any]]:
    """States of schedules as if the run had had them from its beginning, but for what they count."""
    return [
        {**c.scheduler.state_dict(), "last_epoch": progress.steps if c.interval == "step" else progress.epochs}
        for c in trainer.lr_scheduler_configs
    ]  # fmt: skip


def _changed(before: Any, now: Any) -> set[str]:
    """Names of settings that are not what they were; those that are no numbers must be."""
    changed: dict[str, Any] = {}
    for old, new in zip(before, now, strict=True):
        changed |= {n: (old[n], new[n]) for n in old.keys() & new.keys() if not _same(old[n], new[n])}  # fmt: skip
    for name, (old, new) in changed.items():
        if isinstance(new, bool | str | None):
            raise RunError(
                f"resume: {name} must be {old} as in the run that is resumed, got {new}; take its value, or start a "
                "new run"
            )
    return set(changed)


def _take(groups: Iterable[tuple[dict[str, Any], dict[str, Any]]], names: set[str]) -> str:
    """Put settings of this run in the place of those saved; says which differ."""
    told = {}
    for old, new in groups:
        for name in sorted(names & new.keys()):
            if not _same(old.get(name), new[name]):
                told[name] = f"{name} {_rounded(new[name])} instead of {_rounded(old.get(name))}"
            old[name] = new[name]
    return ", ".join(told.values())


def _rounded(value: Any) -> Any:
    return f"{value:.3g}" if isinstance(value, float) else value


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
    if follows_a_metric(fresh):
        return False
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
