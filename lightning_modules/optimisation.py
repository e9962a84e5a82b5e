"""Optimiser and learning-rate schedule of a task, from what its configuration says."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

import pytorch_lightning as pl
import torch
from pytorch_lightning.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler, OneCycleLR, ReduceLROnPlateau

from lightning_modules.arguments import check
from lightning_modules.cli_parser import refusals
from lightning_modules.resume import steps_per_epoch, total_steps
from lightning_modules.schedules import WarmUp
from snn_neuromod.dynamics.parameter import Range
from snn_neuromod.errors import ConfigError

__all__ = ["Interval", "Scheduler", "optimisation"]

Scheduler: TypeAlias = Literal["cosine", "one_cycle"] | WarmUp | LRSchedulerCallable | None
Interval: TypeAlias = Literal["epoch", "step"]


def optimisation(
    module: pl.LightningModule,
    optimizer: OptimizerCallable,
    scheduler: Scheduler,
    *,
    interval: Interval = "epoch",
    lr_factors: Mapping[str, float] | None = None,
) -> Any:
    """What `configure_optimizers` of a task returns.

    Args:
        module: The task; a named schedule reads the length of the run from its trainer.
        optimizer: Makes the optimiser from the parameters.
        scheduler: Makes a learning-rate schedule from the optimiser; "cosine" lets the rate fall to zero over the run
            as half a period of a cosine, "one_cycle" lets it rise to the optimiser's rate first, for 30 % of the run;
            a `WarmUp` says more exactly how it rises and falls; None keeps it constant.
        interval: Whether `scheduler` advances every "epoch" or "step"; the named ones and `WarmUp` do every step.
        lr_factors: Factors of the learning rate for parameters of a given name.

    Returns:
        The optimiser, or a mapping with its schedule, in the form that Lightning takes.

    Raises:
        ValueError: If `lr_factors` names no parameter, a named schedule has no end, or a schedule cannot take a step.
    """
    made = optimizer(_groups(module, lr_factors or {}))
    for group in made.param_groups:
        group["lr"] = group["lr"] * group.pop("lr_factor", 1.0)
    if scheduler is None:
        return made
    schedule: Any
    if isinstance(scheduler, str | WarmUp):
        interval = "step"
        schedule = _over_the_run(scheduler, made, module.trainer)
    else:
        schedule = scheduler(made)
        _rehearse(scheduler, optimizer, made)
    monitor = getattr(schedule, "monitor", None)
    options = {"scheduler": schedule, "interval": interval, "monitor": monitor}
    return {"optimizer": made, "lr_scheduler": options}


def _rehearse(
    scheduler: LRSchedulerCallable, optimizer: OptimizerCallable, made: torch.optim.Optimizer
) -> None:
    """Let a schedule take one step on an optimiser of nothing: some settings fail first there, amid a run."""
    nothing = [
        {**group, "params": [torch.nn.Parameter(torch.zeros(()))]} for group in made.param_groups
    ]
    trial = optimizer(nothing)
    schedule = scheduler(trial)
    trial.step()
    with refusals(type(schedule).__name__):
        if isinstance(schedule, ReduceLROnPlateau):
            schedule.step(0.0)
        else:
            schedule.step()


def _over_the_run(
    scheduler: str | WarmUp, made: torch.optim.Optimizer, trainer: pl.Trainer
) -> LRScheduler:
    """A schedule of this package, which knows how long the run is."""
    total = total_steps(trainer)
    if isinstance(scheduler, WarmUp):
        return scheduler.schedule(made, total=total, per_epoch=steps_per_epoch(trainer))
    if not 0 < total < math.inf:
        raise ConfigError(
            f"scheduler: {scheduler} must come with a run that has steps and an end, got {total:g} steps; set "
            "max_epochs, max_steps or limit_train_batches, or scheduler: null"
        )
    if scheduler == "cosine":
        return CosineAnnealingLR(made, T_max=int(total))
    return OneCycleLR(made, [group["lr"] for group in made.param_groups], total_steps=int(total))


def _groups(module: pl.LightningModule, lr_factors: Mapping[str, float]) -> Any:
    """Parameters, in groups if some have a learning rate of their own."""
    if not lr_factors:
        return module.parameters()
    check(type(module).__name__, "lr_factors", list(lr_factors.values()), Range(0))
    parts: dict[str, list[Tensor]] = {name: [] for name in ("", *lr_factors)}
    for name, parameter in module.named_parameters():
        last = name.rpartition(".")[2]
        parts[last if last in lr_factors else ""].append(parameter)
    missing = [name for name in lr_factors if not parts[name]]
    if missing:
        raise ConfigError(
            f"{type(module).__name__}: lr_factors must name learned parameters, got {', '.join(missing)}; "
            "list them in the neuron's learn"
        )
    return [
        {"params": params, "lr_factor": lr_factors.get(name, 1.0)}
        for name, params in parts.items()
        if params
    ]
