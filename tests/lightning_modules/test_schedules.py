"""Warm-up and decay of the learning rate, as numbers and in runs."""

from __future__ import annotations

import importlib.util
import math
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

if importlib.util.find_spec("pytorch_lightning") is None:
    pytest.skip("pytorch_lightning is not installed", allow_module_level=True)

# isort: off
from lightning_modules.optimisation import optimisation

# isort: on
import pytorch_lightning as pl

from lightning_modules.schedules import WarmUp

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*does not have many workers", "ignore:.*treespec, LeafSpec"
)


def rates(schedule: WarmUp, steps: int, **lengths: float) -> list[float]:
    """Learning rates of the first steps, of a base of 2."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=2.0)
    made = schedule.schedule(optimizer, **{"total": math.inf, "per_epoch": math.inf, **lengths})
    found = []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        made.step()
    return found


def test_warm_up_and_no_decay() -> None:
    assert rates(WarmUp(steps=4), 6) == [0.5, 1.0, 1.5, 2.0, 2.0, 2.0]
    assert rates(WarmUp(epochs=0.5), 4, per_epoch=6) == pytest.approx([2 / 3, 4 / 3, 2.0, 2.0])
    assert rates(WarmUp(), 3) == [2.0] * 3


def test_decay() -> None:
    linear = rates(WarmUp(steps=2, decay="linear", final=0.1), 7, total=6)
    assert linear == pytest.approx([1.0, 2.0, 2.0, 1.55, 1.1, 0.65, 0.2])
    cosine = rates(WarmUp(decay="cosine"), 5, total=4)
    assert cosine == pytest.approx([1 + math.cos(math.pi * n / 4) for n in range(5)], abs=1e-12)


class Task(pl.LightningModule):
    """One parameter that records the learning rate of each step."""

    def __init__(self, scheduler: Any) -> None:
        super().__init__()
        self.weight, self.scheduler = torch.nn.Parameter(torch.ones(1)), scheduler
        self.rates: list[float] = []

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        return self.weight.square().sum()

    def on_before_optimizer_step(self, optimizer: Any) -> None:
        self.rates.append(optimizer.param_groups[0]["lr"])

    def configure_optimizers(self) -> Any:
        return optimisation(self, lambda p: torch.optim.SGD(p, lr=1.0), self.scheduler)


def run(scheduler: Any, **options: Any) -> list[float]:
    task = Task(scheduler)
    pl.Trainer(
        accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, **{"max_epochs": 2, **options},
    ).fit(task, DataLoader(TensorDataset(torch.zeros(12, 1)), batch_size=3))  # fmt: skip
    return task.rates


def test_in_a_run() -> None:
    """4 batches an epoch; the decay ends with the run; accumulated gradients make fewer steps."""
    assert run(WarmUp(epochs=1.0)) == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0, 1.0, 1.0]
    assert run(WarmUp(steps=2, decay="linear")) == pytest.approx(
        [0.5, 1.0, 1.0, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6]
    )
    assert run(WarmUp(epochs=1.0), accumulate_grad_batches=2) == [0.5, 1.0, 1.0, 1.0]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: WarmUp(steps=-1), "WarmUp: steps must be >= 0, got -1"),
        (lambda: WarmUp(epochs=math.nan), "WarmUp: epochs must be >= 0, got nan"),
        (lambda: WarmUp(steps=1, epochs=1.0), "WarmUp: steps or epochs must be 0, got steps=1"),
        (lambda: WarmUp(decay="step"), "WarmUp: decay must be one of none, linear, cosine, got"),  # type: ignore[arg-type]
        (lambda: WarmUp(final=1.5), r"WarmUp: final must lie in \[0, 1\], got 1.5"),
        (lambda: rates(WarmUp(epochs=1.0), 1), "WarmUp: epochs must be 0 with data of unknown"),
        (lambda: rates(WarmUp(decay="linear"), 1), "WarmUp: decay must be none in a run without"),
    ],
)
def test_errors(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
