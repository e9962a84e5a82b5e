"""Times of the parts of a training step."""

from __future__ import annotations

import importlib.util

import pytest
import torch
from torch.utils.data import DataLoader

if importlib.util.find_spec("pytorch_lightning") is None:
    pytest.skip("pytorch_lightning is not installed", allow_module_level=True)

from lightning_modules.step_times import StepTimes  # first: it makes torchvision importable

import pytorch_lightning as pl  # isort: skip

TAKES = {"data": 3, "forward": 2, "backward": 4, "optimiser": 1, "other": 7}


class Clock:
    """A clock that goes on only when a part says that it took so long, whatever else the machine does."""

    def __init__(self):
        self.time = 0

    def __call__(self):
        return self.time

    def takes(self, part):
        self.time += TAKES[part]


CLOCK = Clock()


class _Slow(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, grad):
        CLOCK.takes("backward")
        return grad


class _Optimiser(torch.optim.SGD):
    def step(self, closure=None):
        super().step(closure)
        CLOCK.takes("optimiser")


class Slow(pl.LightningModule):
    """Each part of its step takes a time of its own."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))

    def training_step(self, batch, batch_idx):
        CLOCK.takes("forward")
        return _Slow.apply(self.weight).sum() * batch.mean()

    def on_train_batch_end(self, *args):
        CLOCK.takes("other")

    def configure_optimizers(self):
        return _Optimiser(self.parameters(), 0.01)


class Numbers(torch.utils.data.Dataset):
    def __len__(self):
        return 6

    def __getitem__(self, index):
        CLOCK.takes("data")
        return torch.ones(2)


@pytest.mark.filterwarnings(
    "ignore:.*does not have many workers",
    "ignore:.*number of training batches",
    "ignore:.*treespec, LeafSpec",
)
def test_every_part_is_told_apart(capsys):
    profiler, found = StepTimes(warm_up=2), []
    profiler._clock = CLOCK
    describe = profiler.describe
    profiler.describe = lambda: (found.append((profiler.steps, profiler.seconds)), describe())
    trainer = pl.Trainer(
        max_epochs=2, accelerator="cpu", logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, profiler=profiler,
    )  # fmt: skip
    trainer.fit(Slow(), DataLoader(Numbers(), batch_size=None))
    steps, seconds = found[0]
    assert steps == 2 * (6 - 2)
    assert {part: passed / steps for part, passed in seconds.items()} == TAKES
    shown = capsys.readouterr().out
    assert all(f"| {part} |" in shown for part in (*TAKES, "step"))
    assert f"{steps} steps" in shown
    assert profiler.summary() == ""


def test_a_part_waits_for_what_it_started_on_a_device(monkeypatch):
    started, profiler, clock = [], StepTimes(warm_up=1), Clock()
    profiler._clock = clock
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: started and clock.takes(started.pop()))
    profiler.start("run_training_epoch")
    for _ in range(3):
        profiler.start("run_training_batch")
        for part in ("training_step", "backward"):
            profiler.start(f"[Strategy]SingleDevice.{part}")
            started += ["forward"] if part == "training_step" else []
            profiler.stop(f"[Strategy]SingleDevice.{part}")
        profiler.stop("run_training_batch")
    assert profiler.seconds["forward"] == 2 * TAKES["forward"]
    assert profiler.seconds["backward"] == 0


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
    trainer.fit(Slow(), DataLoader(Numbers(), batch_size=None))
    shown = capsys.readouterr().out
    assert "no step counted, as warm_up=2 leaves none of the 2 steps of an epoch" in shown
