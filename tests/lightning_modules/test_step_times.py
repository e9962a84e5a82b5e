"""Times of the parts of a training step."""

from __future__ import annotations

import importlib.util
import time

import pytest
import torch
from torch.utils.data import DataLoader

if importlib.util.find_spec("pytorch_lightning") is None:
    pytest.skip("pytorch_lightning is not installed", allow_module_level=True)

from lightning_modules.step_times import StepTimes  # first: it makes torchvision importable

import pytorch_lightning as pl  # isort: skip

SLEEP = {"data": 0.03, "forward": 0.02, "backward": 0.04, "optimiser": 0.01, "other": 0.015}


class _Slow(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, grad):
        time.sleep(SLEEP["backward"])
        return grad


class _Optimiser(torch.optim.SGD):
    def step(self, closure=None):
        super().step(closure)
        time.sleep(SLEEP["optimiser"])


class Sleeper(pl.LightningModule):
    """Each part of its step sleeps for a time of its own."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))

    def training_step(self, batch, batch_idx):
        time.sleep(SLEEP["forward"])
        return _Slow.apply(self.weight).sum() * batch.mean()

    def on_train_batch_end(self, *args):
        time.sleep(SLEEP["other"])

    def configure_optimizers(self):
        return _Optimiser(self.parameters(), 0.01)


class Numbers(torch.utils.data.Dataset):
    def __len__(self):
        return 6

    def __getitem__(self, index):
        time.sleep(SLEEP["data"])
        return torch.ones(2)


@pytest.mark.filterwarnings(
    "ignore:.*does not have many workers",
    "ignore:.*number of training batches",
    "ignore:.*treespec, LeafSpec",
)
def test_every_part_is_told_apart(capsys):
    profiler, found = StepTimes(warm_up=2), []
    describe = profiler.describe
    profiler.describe = lambda: (found.append((profiler.steps, profiler.seconds)), describe())
    trainer = pl.Trainer(
        max_epochs=2, accelerator="cpu", logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, profiler=profiler,
    )  # fmt: skip
    trainer.fit(Sleeper(), DataLoader(Numbers(), batch_size=None))
    steps, seconds = found[0]
    assert steps == 2 * (6 - 2)
    for part, slept in SLEEP.items():
        assert slept <= seconds[part] / steps < slept + 0.05, part
    shown = capsys.readouterr().out
    assert all(f"| {part} |" in shown for part in (*SLEEP, "step"))
    assert f"{steps} steps" in shown
    assert profiler.summary() == ""


def test_a_part_waits_for_what_it_started_on_a_device(monkeypatch):
    started, profiler = [], StepTimes(warm_up=1)
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: started and time.sleep(started.pop()))
    profiler.start("run_training_epoch")
    for _ in range(3):
        profiler.start("run_training_batch")
        for part in ("training_step", "backward"):
            profiler.start(f"[Strategy]SingleDevice.{part}")
            started += [0.02] if part == "training_step" else []
            profiler.stop(f"[Strategy]SingleDevice.{part}")
        profiler.stop("run_training_batch")
    assert profiler.seconds["forward"] >= 2 * 0.02 > profiler.seconds["backward"]


@pytest.mark.parametrize("wrong", [{"warm_up": 0}, {"clock": "sun"}])
def test_misuse(wrong):
    with pytest.raises(ValueError, match=f"StepTimes: {next(iter(wrong))} must"):
        StepTimes(**wrong)


@pytest.mark.filterwarnings(
    "ignore:.*does not have many workers",
    "ignore:.*number of training batches",
    "ignore:.*treespec, LeafSpec",
)
def test_epochs_shorter_than_the_warm_up_are_said(capsys):
    trainer = pl.Trainer(
        max_epochs=2, accelerator="cpu", logger=False, enable_checkpointing=False, limit_train_batches=2,
        enable_progress_bar=False, enable_model_summary=False, profiler=StepTimes(warm_up=2),
    )  # fmt: skip
    trainer.fit(Sleeper(), DataLoader(Numbers(), batch_size=None))
    shown = capsys.readouterr().out
    assert "no step counted, as warm_up=2 leaves none of the 2 steps of an epoch" in shown
