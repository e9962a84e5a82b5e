"""What a run says of numbers that mean nothing, and of how many samples they come from."""

from __future__ import annotations

import importlib.util
import re
import warnings
from types import SimpleNamespace

import pytest
import torch

if any(importlib.util.find_spec(name) is None for name in ("pytorch_lightning", "mlxtend")):
    pytest.skip("pytorch_lightning or mlxtend is not installed", allow_module_level=True)

from torch.utils.data import DataLoader

from lightning_modules.cli import main
from lightning_modules.data import EmbeddedDigits
from lightning_modules.findings import Findings, FindingsWarning, coverage, for_summary
from tests.fresh import ROOT

SILENT = r"layer 2 \(10 MSRC\) did not spike at all"


def test_a_silent_network_is_no_success(tmp_path, monkeypatch, capfd, fresh):
    """Its 40 test digits were all of class 0, which it was said to find in 100 %."""
    command = f"import runpy, sys; sys.path.insert(0, {str(ROOT)!r})\n"
    command += "runpy.run_module('lightning_modules', run_name='__main__')"
    silent = ["--pictures.enabled=false", "--model.network.gain=1.4"]
    result = fresh(command, "fit", "-c", "smoke/msrc", *silent, cwd=tmp_path)
    assert result.returncode == 0
    assert "held-out accuracy 10.00% on 40 of 1000 samples\n" in result.stdout
    assert re.search(f"^  but {SILENT}$", result.stdout, re.MULTILINE)
    assert "those of chance, 1/10 and ln 10 = 2.3026" in result.stdout
    told = result.stderr.splitlines()
    assert all(line.startswith("snn-neuromod: warning: ") for line in told)
    assert any(re.search(f"in the test: {SILENT}", line) for line in told)
    assert any(re.search(f"at the end of training, train: {SILENT}", line) for line in told)
    monkeypatch.chdir(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FindingsWarning)
        main(["test", "--ckpt_path", "runs/smoke/msrc/version_0"])
        main(["predict", "--ckpt_path", "runs/smoke/msrc/version_0"])
    said = capfd.readouterr().out
    assert "held-out accuracy 10.00% on 40 of 1000 samples\n" in said
    assert "prediction on 40 of 1000 samples, the first of the data\n" in said
    assert "predictions of 40 samples, 10.00% right" in said


def test_the_smoke_run_is_alive(tmp_path, recwarn, capsys):
    root = ["--trainer.default_root_dir", str(tmp_path)]
    main(["fit", "-c", "smoke/msrc", "--pictures.enabled=false", *root])
    spikes = re.findall(r"spikes per neuron and sample, layer \d: (.*)", capsys.readouterr().out)
    assert len(spikes) == 2
    assert all(float(number) > 0.1 for number in spikes)
    assert [w for w in recwarn if issubclass(w.category, FindingsWarning)] == []


def test_a_limited_test_sees_many_classes():
    """The embedded digits are sorted by class."""
    data = EmbeddedDigits(batch_size=20, num_steps=2)
    data.setup()
    _, labels = next(iter(data.test_dataloader()))
    assert len(labels.unique()) > 5
    every = torch.cat([labels for _, labels in data.test_dataloader()])
    assert every.bincount().tolist() == [100] * 10
    _, ordered = next(iter(data.predict_dataloader()))
    assert ordered.tolist() == [0] * 20  # a table of predictions is in the order of the data


@pytest.mark.parametrize(
    ("size", "batches", "processes", "expected"),
    [
        (10, [2], 1, " on 8 of 10 samples"),
        (10, [3], 1, ""),
        (10, [1], 2, " on 8 of 10 samples"),
        (10, [float("inf")], 1, ""),
    ],
)
def test_coverage(size, batches, processes, expected):
    assert coverage(DataLoader(range(size), batch_size=4), batches, processes) == expected
    assert coverage(DataLoader(range(size), batch_size=None), batches) == ""


def test_each_finding_is_said_once_while_it_lasts(recwarn):
    callback, said = Findings(), []
    module = SimpleNamespace(findings={})
    for epoch, found in enumerate((["a 1"], ["a 2"], [], ["a 3", "b"], ["a 4", "c"])):
        module.findings["train"] = found
        callback.on_train_epoch_start(SimpleNamespace(current_epoch=epoch + 1), module)
    said = [str(warning.message) for warning in recwarn if warning.category is FindingsWarning]
    assert said == [
        "after epoch 1, train: a 1",
        "after epoch 4, train: a 3; b",
        "after epoch 5, train: c",
    ]


def test_summary_of_training_and_test():
    module = torch.nn.Linear(2, 1)
    module.findings = {"train": ["a in 3 of 4", "b"], "test": ["a in 1 of 2"]}
    assert for_summary(module, "test") == ["a in 1 of 2", "in training b"]
    assert for_summary(torch.nn.Linear(2, 1), "test") == []
    module.bias.data[0] = float("inf")
    assert for_summary(module, "test")[-1] == "weights are NaN or infinite: bias"
