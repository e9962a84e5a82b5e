"""A run that was killed or interrupted, and resumed, equals an uninterrupted one bit by bit."""

from __future__ import annotations

import csv
import importlib.util
import signal

import pytest
import torch

if any(importlib.util.find_spec(name) is None for name in ("pytorch_lightning", "mlxtend")):
    pytest.skip(
        "pytorch_lightning, mlxtend or matplotlib is not installed", allow_module_level=True
    )

from lightning_modules.callbacks import Interrupt
from lightning_modules.cli import main
from tests.lightning_modules.kills import until_first_checkpoint

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
EPOCH, STEPS = 15, 3 * 15


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    """Short batches are fastest so, and results depend on the number of threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def command(root, *more):
    return [
        "fit", "-c", "smoke/msrc", "--trainer.default_root_dir", str(root), "--trainer.max_epochs=3",
        "--trainer.limit_train_batches=15", "--trainer.limit_val_batches=1", "--pictures.enabled=false",
        "--trainer.logger=false", "--model.init_args.network.init_args.gain=3.0",
        "--model.init_args.lr_factors={modulation: 2.0}", *more,
    ]  # fmt: skip


def last(root, version=0):
    path = root / "smoke" / "msrc" / f"version_{version}" / "checkpoints" / "last.ckpt"
    return torch.load(path, weights_only=True)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    main(command(root))
    return last(root)


def run_until_first_checkpoint(root, sig):
    checkpoint = root / "smoke" / "msrc" / "version_0" / "checkpoints" / "last.ckpt"
    return until_first_checkpoint(command(root), checkpoint, sig)


def assert_equal(a, b):
    assert a["global_step"] == b["global_step"] == STEPS
    assert a["state_dict"].keys() == b["state_dict"].keys()
    for name, value in a["state_dict"].items():
        assert torch.equal(value, b["state_dict"][name]), name
    first, second = (c["optimizer_states"][0]["state"] for c in (a, b))
    for key, state in first.items():
        assert torch.equal(state["exp_avg"], second[key]["exp_avg"])
    assert a["lr_schedulers"][0]["last_epoch"] == b["lr_schedulers"][0]["last_epoch"] == STEPS


def test_the_run_is_not_trivial(uninterrupted, tmp_path):
    main(command(tmp_path, "--seed_everything=1"))
    other = last(tmp_path)["state_dict"]
    weight = "network.layers.0.weight"
    assert not torch.equal(other[weight], uninterrupted["state_dict"][weight])


def test_after_a_kill(uninterrupted, tmp_path):
    code, output = run_until_first_checkpoint(tmp_path, signal.SIGKILL)
    assert code == -signal.SIGKILL, output
    assert EPOCH <= last(tmp_path)["global_step"] < STEPS
    main(command(tmp_path, "--ckpt_path", "last"))
    assert_equal(last(tmp_path, 1), uninterrupted)


@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGTERM])
def test_after_ctrl_c_inside_an_epoch(sig, uninterrupted, tmp_path):
    """And after what schedulers of jobs send before they kill."""
    code, output = run_until_first_checkpoint(tmp_path, sig)
    assert code == 130, output
    saved = last(tmp_path)
    assert EPOCH < saved["global_step"] < STEPS, output
    assert saved["global_step"] % EPOCH != 0
    path = tmp_path / "smoke/msrc/version_0/checkpoints/last.ckpt"
    assert f"go on with: snn-neuromod fit --ckpt_path {path}" in output
    assert "Traceback" not in output
    main(command(tmp_path, "--ckpt_path", str(path)))
    assert_equal(last(tmp_path, 1), uninterrupted)


def test_ctrl_c_in_the_first_batch_keeps_what_was_saved(tmp_path, monkeypatch, capsys):
    def press(self, *args):
        self._handle(signal.SIGINT, None)

    monkeypatch.setattr(Interrupt, "on_train_epoch_start", press)
    with pytest.raises(SystemExit) as stop:
        main(command(tmp_path))
    assert stop.value.code == 130
    assert "go on with: snn-neuromod fit --ckpt_path" in capsys.readouterr().err
    assert last(tmp_path)["global_step"] == 1


def test_ctrl_c_amid_an_accumulation_waits_for_the_step(tmp_path, monkeypatch):
    """Gradients that are gathered are in no checkpoint."""
    accumulate = "--trainer.accumulate_grad_batches=4"
    main(command(tmp_path / "whole", accumulate))

    def press(self, trainer, module, batch, batch_idx):
        if trainer.global_step == 1 and not self.interrupted:
            self._handle(signal.SIGINT, None)

    with monkeypatch.context() as patch:
        patch.setattr(Interrupt, "on_train_batch_start", press)
        with pytest.raises(SystemExit):
            main(command(tmp_path, accumulate))
    assert last(tmp_path)["global_step"] == 2
    path = tmp_path / "smoke/msrc/version_0/checkpoints/last.ckpt"
    main(command(tmp_path, accumulate, "--ckpt_path", str(path)))
    parts, whole = last(tmp_path, 1), last(tmp_path / "whole")
    assert parts["global_step"] == whole["global_step"] == 3 * 4
    for name, value in whole["state_dict"].items():
        assert torch.equal(value, parts["state_dict"][name]), name


def test_metrics_of_the_epoch_that_was_stopped_are_those_of_all_its_batches(tmp_path, monkeypatch):
    """And so what follows them: a schedule, the end of training, the best weights."""

    def press(self, trainer, module, batch, batch_idx):
        if (trainer.current_epoch, batch_idx) == (1, 4) and not self.interrupted:
            self._handle(signal.SIGINT, None)

    main(command(tmp_path / "whole", "--trainer.logger=true"))
    with monkeypatch.context() as patch:
        patch.setattr(Interrupt, "on_train_batch_start", press)
        with pytest.raises(SystemExit):
            main(command(tmp_path))
    path = tmp_path / "smoke/msrc/version_0/checkpoints/last.ckpt"
    main(command(tmp_path, "--trainer.logger=true", "--ckpt_path", str(path)))
    whole, rest = (
        rows(folder / "smoke" / "msrc" / version / "metrics.csv")
        for folder, version in ((tmp_path / "whole", "version_0"), (tmp_path, "version_1"))
    )
    assert len(rest) == 2
    assert rest == whole[1:]


def rows(path):
    """What was measured in training, by epoch."""
    with path.open(newline="") as file:
        found = list(csv.DictReader(file))
    kept = [{k: v for k, v in row.items() if k.startswith("train/")} for row in found]
    return [row for row in kept if row["train/loss"]]
