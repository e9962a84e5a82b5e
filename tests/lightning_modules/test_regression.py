"""Regression of signals: the loss and its masks, the patterns, and a run that learns one."""

from __future__ import annotations

import csv
import importlib.util
import math
from types import SimpleNamespace

import pytest
import torch

if importlib.util.find_spec("pytorch_lightning") is None:
    pytest.skip("pytorch_lightning is not installed", allow_module_level=True)

from lightning_modules.cli import main
from lightning_modules.data import PatternGeneration
from lightning_modules.losses import SquaredError
from lightning_modules.networks import FeedForward
from lightning_modules.regression import SpikeRegression
from snn_neuromod import ALIF, LeakyReadout
from snn_neuromod.data.sine_patterns import SinePatterns

TINY = [
    "--data.num_steps=200", "--data.num_train=20", "--trainer.max_epochs=20",
    "--model.init_args.network.init_args.sizes=[100,60]", "--model.init_args.optimizer.init_args.lr=0.01",
]  # fmt: skip


@pytest.mark.parametrize("over", ["sum", "mean"])
def test_a_target_that_is_nan_counts_nowhere(over):
    y = torch.randn(5, 3, 2, requires_grad=True)
    target = torch.randn(5, 3, 2)
    target[:2, 1] = math.nan
    loss = SquaredError(over)(y, target)
    inside = ~target.isnan()
    total = 0.5 * (y - target)[inside].square().sum()
    torch.testing.assert_close(loss, total / (3 if over == "sum" else inside.sum()))
    loss.backward()
    assert torch.equal(y.grad != 0, inside)


def test_wrong_losses():
    with pytest.raises(ValueError, match="SquaredError: over must"):
        SquaredError("max")
    with pytest.raises(ValueError, match="SquaredError: targets must have shape"):
        SquaredError()(torch.zeros(3, 2, 1), torch.zeros(3, 2))


def test_patterns_are_sums_of_sines_that_come_again():
    data = SinePatterns(5, patterns=2, outputs=3, unscored_steps=10, seed=3)
    spikes, target = data[0]
    assert spikes.shape == (1000, 100)
    assert spikes.float().mean() == pytest.approx(0.05, abs=0.005)
    assert torch.equal(data[4, 2][0], spikes)
    assert not torch.equal(data[1][0], spikes)
    assert target[:10].isnan().all()
    full = SinePatterns(1, patterns=2, outputs=3, seed=3)[0][1]
    assert torch.equal(full[10:], target[10:])
    assert (full[0] == 0).all()
    assert full.abs().amax(0).tolist() == [1.0] * 3
    power = torch.fft.rfft(full - full.mean(0), dim=0).abs()
    assert (power.topk(4, dim=0).indices <= 6).all()  # 1, 2, 3 and 5 turns


@pytest.mark.parametrize(
    ("argument", "value"),
    [("number", 0), ("patterns", 0), ("outputs", 0), ("inputs", 0), ("num_steps", 0), ("p", 0.0), ("p", math.nan),
     ("periods", []), ("periods", [0]), ("periods", [2000]), ("unscored_steps", 1000), ("seed", -1)],
)  # fmt: skip
def test_wrong_patterns(argument, value):
    with pytest.raises(ValueError, match=f"SinePatterns: {argument} must"):
        SinePatterns(**{"number": 1, argument: value})


def test_numbers_by_hand_and_a_silent_layer_by_name():
    task = SpikeRegression(FeedForward([5, 4, 2], neuron=ALIF, num_classes=2, readout=LeakyReadout))
    task.trainer = SimpleNamespace(
        strategy=SimpleNamespace(reduce=lambda sums, reduce_op: sums), datamodule=None
    )
    logged = {}
    task.log_dict = lambda values, **options: logged.update(values)
    with torch.no_grad():
        task.network.layers[1].weight.zero_()
    targets = torch.randn(6, 3, 2)
    targets[:2, 1] = math.nan
    inside = ~targets.isnan()
    x = torch.ones(6, 3, 5)
    outputs = task(x).outputs
    for _ in range(2):
        task._step((x, targets), "test")
    task._log("test")
    wanted = targets[inside]
    error = (outputs[inside] - wanted).square().sum() / (wanted - wanted.mean()).square().sum()
    torch.testing.assert_close(logged["test/nmse"], error, rtol=1e-4, atol=0)
    torch.testing.assert_close(logged["test/loss"], task.loss(outputs, targets))
    assert "layer 2 (2 ALIF) did not spike at all" in task.findings["test"]
    assert not any("layer 1" in text for text in task.findings["test"])
    task.network.layers[0].weight.data[0] = math.nan
    task._step((x, targets), "test")
    task._log("test")
    assert "the state of layer 1 (4 ALIF) is NaN or infinite" in task.findings["test"]


def test_data_that_do_not_fit(tmp_path, capsys):
    root = ["--trainer.default_root_dir", str(tmp_path)]
    with pytest.raises(SystemExit):
        main(["fit", "-c", "patterns/lif", "--data.outputs=2", *root])
    assert "num_classes must be 2 for PatternGeneration, got 1" in capsys.readouterr().err
    assert PatternGeneration(outputs=2).num_outputs == 2


def test_a_pattern_is_learned_and_written(tmp_path, capsys):
    root = ["--trainer.default_root_dir", str(tmp_path)]
    main(["fit", "-c", "patterns/lif", *TINY, "--data.unscored_steps=20", *root])
    out = capsys.readouterr().out
    run = tmp_path / "patterns" / "lif" / "version_0"
    with (run / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    errors = [float(row["train/nmse"]) for row in rows if row["train/nmse"]]
    assert len(errors) == 20
    assert errors[-1] < 0.2 < 0.6 < errors[0]
    (test,) = [float(row["test/nmse"]) for row in rows if row["test/nmse"]]
    assert f"held-out error {test:.4f} of the signals' variance" in out
    main(["predict", "--ckpt_path", str(run)])
    with (run / "predictions.csv").open() as file:
        table = list(csv.DictReader(file))
    assert len(table) == 200
    assert table[0]["target_0"] == "nan"
    y, wanted = (
        torch.tensor([float(row[f"{k}_0"]) for row in table[20:]]) for k in ("output", "target")
    )
    nmse = (y - wanted).square().sum() / (wanted - wanted.mean()).square().sum()
    assert nmse.item() == pytest.approx(test, rel=1e-3)
