"""What a run leaves for TensorBoard."""

from __future__ import annotations

import csv
import importlib.util

import pytest

if any(
    importlib.util.find_spec(name) is None
    for name in ("pytorch_lightning", "mlxtend", "matplotlib", "tensorboard")
):
    pytest.skip(
        "pytorch_lightning, mlxtend, matplotlib or tensorboard is not installed",
        allow_module_level=True,
    )

from lightning_modules.board import hyperparameters
from lightning_modules.cli import main


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    more = ["--trainer.max_epochs=2", "--model.init_args.lr_factors={modulation: 10}"]
    main(["fit", "-c", "smoke/msrc", "--trainer.default_root_dir", str(root), *more])
    return root / "smoke" / "msrc" / "version_0"


@pytest.fixture(scope="module")
def events(run):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(run), size_guidance={"images": 0})
    found.Reload()
    return found


def test_one_event_file_with_training_test_rate_and_pictures(run, events):
    assert len(list(run.glob("events.out.tfevents.*"))) == 1
    assert {"train/loss", "val/accuracy", "test/accuracy"} <= set(events.Tags()["scalars"])
    assert events.Tags()["images"] == ["pictures/network", "pictures/modulation"]
    assert events.Images("pictures/network")[0].encoded_image_string.startswith(b"\x89PNG")
    rates = [e.value for k in (1, 2) for e in events.Scalars(f"lr-Adam/pg{k}")]
    assert len(rates) == 4
    assert rates[2:] == pytest.approx([10 * rate for rate in rates[:2]])
    assert rates[1] < rates[0]  # one_cycle ends near 0


def test_settings_are_hyper_parameters(events):
    found = str(events.PluginTagToContent("hparams"))
    for text in (
        "model.network.neuron",
        "MSRC",
        "data.batch_size",
        "test/accuracy",
        "trainer.max_epochs",
    ):
        assert text in found
    assert len(events.Scalars("test/accuracy")) == 1  # no made-up value beside it


def test_accuracy_stands_before_the_modulations(run):
    with (run / "metrics.csv").open(encoding="utf-8") as file:
        header = next(csv.reader(file))
    first = next(i for i, name in enumerate(header) if name.startswith("modulation/"))
    assert {"train/accuracy", "val/accuracy", "test/accuracy", "lr-Adam/pg1"} <= set(header[:first])
    assert len(header) - first == 42


def test_short_names():
    config = {
        "seed_everything": 3,
        "model": {"class_path": "a.Task", "init_args": {"sizes": [1, 2], "neuron": {"class_path": "b.N"}, "x": None}},
        "trainer": {"max_epochs": 4, "devices": "auto"},
        "config": ["c.yaml"],
    }  # fmt: skip
    assert hyperparameters(config) == {
        "seed_everything": 3, "model": "Task", "model.sizes": "[1, 2]", "model.neuron": "N", "trainer.max_epochs": 4,
    }  # fmt: skip
