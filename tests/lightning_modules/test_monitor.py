"""`--monitor`: best.ckpt holds the weights of the best epoch, for metrics that rise and metrics that fall."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch

if importlib.util.find_spec("pytorch_lightning") is None:
    pytest.skip("pytorch_lightning is not installed", allow_module_level=True)

# isort: off
from lightning_modules.classification import SpikeClassification
from lightning_modules.cli import main
from lightning_modules.framewise import FramewiseClassification
from lightning_modules.monitor import direction
from lightning_modules.regression import SpikeRegression
from snn_neuromod.errors import ConfigError

# isort: on
import pytorch_lightning as pl

VALUES = (0.4, 0.9, 0.6, 0.1, 0.5)  # the largest in the second epoch, the smallest in the fourth
KINDS = {"accuracy": "max", "loss": "min", "nmse": "min"}


@pytest.mark.parametrize(("metric", "epoch"), [("val/accuracy", 1), ("val/loss", 3)])
def test_best_is_the_best_epoch(
    metric: str, epoch: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def scripted(task: SpikeClassification) -> None:
        value = VALUES[task.current_epoch]
        task.log_dict({"val/accuracy": value, "val/loss": value})

    monkeypatch.setattr(SpikeClassification, "on_validation_epoch_end", scripted)
    main([
        "fit", "-c", "smoke/msrc", "--monitor", metric, "--trainer.max_epochs", str(len(VALUES)),
        "--trainer.limit_train_batches=1", "--trainer.limit_test_batches=1", "--data.val_fraction=0.01",
        "--pictures.enabled=false", "--trainer.default_root_dir", str(tmp_path),
    ])  # fmt: skip
    (folder,) = tmp_path.rglob("checkpoints")
    best, last = (
        torch.load(folder / f"{name}.ckpt", weights_only=True) for name in ("best", "last")
    )
    assert best["epoch"] == epoch
    assert last["epoch"] == len(VALUES) - 1


@pytest.mark.parametrize("task", [SpikeClassification, FramewiseClassification, SpikeRegression])
def test_every_metric_of_a_task_has_its_direction(task: type[pl.LightningModule]) -> None:
    model = task.__new__(task)
    for name, mode in task.metric_modes.items():  # type: ignore[attr-defined]
        wanted = "min" if "error" in name else KINDS[name]
        assert mode == wanted
        for stage in ("train", "val"):
            assert direction(model, f"{stage}/{name}", None) == wanted
            other = "max" if wanted == "min" else "min"
            assert direction(model, f"{stage}/{name}", other) == other  # a user's word stands
    assert "loss" in task.metric_modes  # type: ignore[attr-defined]


def test_a_task_that_says_nothing_of_its_metrics_is_asked() -> None:
    model = pl.LightningModule()
    assert direction(model, "val/score", "max") == "max"
    assert direction(model, None, None) is None
    with pytest.raises(ConfigError, match="monitor_mode must be min or max for val/score"):
        direction(model, "val/score", None)
