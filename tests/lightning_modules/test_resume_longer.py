"""A run resumed under other settings goes on with a schedule that is said, or is refused before it starts."""

from __future__ import annotations

import csv
import importlib.metadata
import importlib.util
import math
import shutil
from pathlib import Path

import pytest
import torch
import yaml

if any(importlib.util.find_spec(name) is None for name in ("pytorch_lightning", "mlxtend")):
    pytest.skip("pytorch_lightning or mlxtend is not installed", allow_module_level=True)

from lightning_modules.cli import main

LR = 0.01
PLATEAU = "{class_path: pytorch_lightning.cli.ReduceLROnPlateau, init_args: {monitor: train/loss}}"
WARM = "{class_path: lightning_modules.schedules.WarmUp, init_args: {steps: 2, decay: linear}}"


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torch, "set_num_threads", lambda n: None)


def fit(*args: str, batches: int = 4, epochs: int = 2) -> Path:
    main([
        "fit", "-c", "smoke/msrc", f"--trainer.limit_train_batches={batches}", "--trainer.limit_val_batches=0",
        "--trainer.limit_test_batches=1", "--pictures.enabled=false", f"--trainer.max_epochs={epochs}",
        "--trainer.callbacks+=LearningRateMonitor", "--trainer.log_every_n_steps=1", *args,
    ])  # fmt: skip
    return newest()


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a run of the defaults was made."""
    folder = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(torch, "set_num_threads", lambda n: None)
        fit()
    return folder


@pytest.fixture
def first(finished: Path, _folder: None) -> Path:
    """A copy of that run, in the test's folder."""
    shutil.copytree(finished / "runs", "runs")
    return newest()


def resume(run: Path, *args: str) -> Path:
    main(["fit", "--ckpt_path", str(run), *args])
    return newest()


def newest() -> Path:
    return max(Path("runs/smoke/msrc").glob("version_*"), key=lambda p: int(p.name[8:]))


def rates(run: Path) -> list[float]:
    with (run / "metrics.csv").open() as file:
        return [float(row["lr-Adam"]) for row in csv.DictReader(file) if row["lr-Adam"]]


def refused(capfd: pytest.CaptureFixture[str], run: Path, *args: str) -> str:
    before = sorted(Path("runs").rglob("*"))
    capfd.readouterr()
    with pytest.raises(SystemExit) as stop:
        resume(run, *args)
    error = capfd.readouterr().err
    assert stop.value.code == 1, error
    assert error.count("\n") == 1
    assert "Traceback" not in error
    assert sorted(Path("runs").rglob("*")) == before
    return error


def expected(kind: str, total: int) -> list[float]:
    """Learning rates of a run of `total` steps, each from its own formula."""
    found = []
    for n in range(total):
        if kind == "cosine":
            found.append(LR * (1 + math.cos(math.pi * n / total)) / 2)
        elif kind == "one_cycle":
            peak = 0.3 * total - 1
            low, high, final = LR / 25, LR, LR / 25 / 1e4
            start, end, part = low, high, n / peak
            if n > peak:
                start, end, part = high, final, (n - peak) / (total - 1 - peak)
            found.append(end + (start - end) * (1 + math.cos(math.pi * part)) / 2)
        else:
            found.append(LR * min((n + 1) / 2, 1 - max(0, n - 2) / (total - 2)))
    return found


@pytest.mark.parametrize("kind", ["cosine", "one_cycle", WARM])
def test_a_finished_run_trains_longer(kind, capfd) -> None:
    """Half-way the longer run's schedule takes over, from its own value at that step."""
    first = fit(f"--model.scheduler={kind}")
    assert rates(first) == pytest.approx(expected(kind, 8), rel=1e-5, abs=1e-9)
    capfd.readouterr()
    longer = resume(first, "--trainer.max_epochs=4")
    assert rates(longer) == pytest.approx(expected(kind, 16)[8:], rel=1e-5, abs=1e-9)
    assert "with another schedule" in capfd.readouterr().out


def test_another_number_of_batches_at_the_end_of_an_epoch(capfd) -> None:
    first = fit("--model.scheduler=cosine")
    capfd.readouterr()
    longer = resume(first, "--trainer.max_epochs=3", "--trainer.limit_train_batches=2")
    assert rates(longer) == pytest.approx(expected("cosine", 10)[8:], rel=1e-5)


def test_more_batches_in_the_epochs_that_are_left(first: Path) -> None:
    """one_cycle raises where it is too short."""
    longer = resume(first, "--trainer.max_epochs=3", "--trainer.limit_train_batches=6")
    assert len(rates(longer)) == 6


def test_a_constant_rate_and_one_that_does_not_know_the_length(capfd) -> None:
    own = "{class_path: torch.optim.lr_scheduler.StepLR, init_args: {step_size: 3}}"
    first = fit(f"--model.scheduler={own}")
    capfd.readouterr()
    assert rates(resume(first, "--trainer.max_epochs=4"))[-1] == pytest.approx(LR / 10)
    assert "another schedule" not in capfd.readouterr().out


@pytest.mark.parametrize(
    ("before", "now", "rate"),
    [
        (["--model.scheduler=null"], ["--model.optimizer.lr=0.5"], [0.5] * 4),
        (["--model.scheduler=one_cycle"], ["--model.scheduler=null"], [LR] * 4),
        (["--model.scheduler=one_cycle"], ["--model.scheduler=cosine"], expected("cosine", 12)[8:]),
        (["--model.scheduler=null"], ["--model.scheduler=one_cycle"], expected("one_cycle", 12)[8:]),
        (["--model.scheduler=cosine"], ["--model.optimizer.lr=0.5"],
         [0.5 / LR * rate for rate in expected("cosine", 12)[8:]]),
        ([f"--model.scheduler={PLATEAU}"], ["--model.optimizer.lr=0.5"], [0.5]),
    ],
)  # fmt: skip
def test_another_rate_or_schedule_is_that_of_a_run_so_configured(before, now, rate, capfd) -> None:
    """Lightning would go on at the last rate of the run before, whatever the configuration says."""
    first = fit(*before)
    capfd.readouterr()
    longer = resume(first, "--trainer.max_epochs=3", *now)
    assert rates(longer)[:4] == pytest.approx(rate, rel=1e-5)
    assert "with another schedule or settings of Adam: " in capfd.readouterr().out


@pytest.mark.filterwarnings("ignore:.*Stochastic|.*swa|.*epoch")
def test_the_rate_of_averaged_weights_goes_on(capfd) -> None:
    """The callback puts its own schedule in the place of the run's, and takes that away where it is resumed."""
    first = fit("--trainer.callbacks+=StochasticWeightAveraging", "--trainer.callbacks.swa_lrs=0.01",
                "--trainer.callbacks.swa_epoch_start=0.3", epochs=3)  # fmt: skip
    capfd.readouterr()
    resume(first, "--trainer.max_epochs=4")
    out = capfd.readouterr().out
    assert "held-out accuracy" in out
    assert "another schedule" not in out


def test_other_settings_of_the_optimiser(first: Path, capfd) -> None:
    longer = resume(first, "--trainer.max_epochs=3", "--model.optimizer.weight_decay=0.5")
    assert "weight_decay 0.5 instead of 0" in capfd.readouterr().out
    saved = torch.load(longer / "checkpoints" / "last.ckpt", weights_only=True)
    assert saved["optimizer_states"][0]["param_groups"][0]["weight_decay"] == 0.5
    args = ["--trainer.max_epochs=3", "--model.optimizer.amsgrad=true"]
    assert "amsgrad must be False as in the run" in refused(capfd, first, *args)
    args = ["--trainer.max_epochs=3", "--model.lr_factors.b=2.0"]
    assert "numbers of parameters [[8]]" in refused(capfd, first, *args)


def test_moments_of_another_network_are_refused(first: Path, capfd) -> None:
    path = first / "checkpoints" / "last.ckpt"
    saved = torch.load(path, weights_only=True)
    moments = saved["optimizer_states"][0]["state"]
    moments[1]["exp_avg"] = torch.zeros(3, 7)
    torch.save(saved, path)
    error = refused(capfd, first, "--trainer.max_epochs=3")
    shape = tuple(moments[1]["exp_avg_sq"].shape)
    assert f"Adam's exp_avg of network.layers.0.bias must have the shape {shape}" in error
    assert "got (3, 7)" in error
    for wrong in ([], [5], [{"state": {0: 1}, "param_groups": []}], [{"state": {}}]):
        torch.save(saved | {"optimizer_states": wrong}, path)
        error = refused(capfd, first, "--trainer.max_epochs=3")
        assert "must hold the state of 1 optimiser(s)" in error


@pytest.mark.parametrize("optimizer", ["Adafactor", "LBFGS", "Rprop", "NAdam"])
def test_optimisers_that_keep_something_else_go_on(optimizer, capfd) -> None:
    first = fit(f"--model.optimizer={optimizer}", "--model.scheduler=null", batches=1, epochs=1)
    resume(first, "--trainer.max_epochs=2")
    assert "held-out accuracy" in capfd.readouterr().out


def test_a_schedule_that_follows_a_metric_takes_its_settings_anew(capfd) -> None:
    first = fit(f"--model.scheduler={PLATEAU}")
    own = "--model.scheduler.init_args"
    capfd.readouterr()
    longer = resume(first, "--trainer.max_epochs=3", f"{own}.patience=3", f"{own}.factor=0.5")
    said = "settings of ReduceLROnPlateau: factor 0.5 instead of 0.1, patience 3 instead of 10"
    assert said in capfd.readouterr().out
    before, now = (
        torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["lr_schedulers"][0]
        for run in (first, longer)
    )
    assert (now["patience"], now["factor"]) == (3, 0.5)
    assert now["last_epoch"] == before["last_epoch"] + 1  # and what it has seen goes on
    error = refused(capfd, first, "--trainer.max_epochs=3", f"{own}.mode=max")
    assert "mode must be min as in the run that is resumed, got max" in error
    resume(first, "--trainer.max_epochs=3")
    assert "another schedule" not in capfd.readouterr().out


def test_a_schedule_that_follows_a_metric_sees_every_epoch() -> None:
    """The last one before a checkpoint too: one worse epoch and another lower the rate here, wherever a run stops."""
    scheduler = PLATEAU.replace(
        "monitor: train/loss", "monitor: train/loss, patience: 1, mode: max, factor: 0.5"
    )
    whole = fit(f"--model.scheduler={scheduler}", epochs=6)
    fit(f"--model.scheduler={scheduler}", epochs=1)
    for epochs in range(2, 7):
        parts = resume(newest(), f"--trainer.max_epochs={epochs}")
    one, other = (
        torch.load(run / "checkpoints" / "last.ckpt", weights_only=True) for run in (whole, parts)
    )
    assert one["lr_schedulers"] == other["lr_schedulers"]
    assert one["lr_schedulers"][0]["_last_lr"][0] < LR
    for name, value in one["state_dict"].items():
        assert torch.equal(value, other["state_dict"][name]), name


def test_the_patience_of_early_stopping_is_as_configured(capfd) -> None:
    early = "--trainer.callbacks+=EarlyStopping"
    stop = "--trainer.callbacks"
    first = fit(
        early, f"{stop}.monitor=train/loss", f"{stop}.mode=max", f"{stop}.patience=1", epochs=5
    )
    assert "epoch 4/5" not in capfd.readouterr().out  # the loss falls
    config = yaml.safe_load((first / "config.yaml").read_text())
    config["trainer"]["callbacks"][-1]["init_args"]["patience"] = 9
    Path("longer.yaml").write_text(yaml.safe_dump(config))
    main(["fit", "-c", "longer.yaml", "--ckpt_path", str(first)])
    said = capfd.readouterr().out
    assert "resuming with another EarlyStopping: patience 9 instead of 1" in said
    assert "epoch 5/5" in said


def test_a_schedule_that_ends_before_the_run_is_refused(capfd) -> None:
    own = "{class_path: torch.optim.lr_scheduler.OneCycleLR, init_args: {max_lr: 0.01, total_steps: 8}}"
    first = fit(f"--model.scheduler={own}", "--model.scheduler_interval=step")
    assert "total_steps must be at least 12" in refused(capfd, first, "--trainer.max_epochs=3")


def test_a_finished_run_says_that_nothing_is_left(first: Path, capfd) -> None:
    before = sorted(Path("runs").rglob("*"))
    capfd.readouterr()
    for args in (
        [],
        ["--trainer.max_epochs=1"],
        ["--trainer.max_epochs=-1", "--trainer.max_steps=8"],
    ):
        resume(first, *args)
        assert "nothing is left to train" in capfd.readouterr().out
    assert sorted(Path("runs").rglob("*")) == before


def test_what_cannot_be_changed_is_refused(first: Path, capfd) -> None:
    error = refused(capfd, first, "--trainer.max_epochs=3", "--trainer.precision=64-true")
    assert "precision must be 32-true as in the run that is resumed" in error
    error = refused(capfd, first, "--trainer.max_epochs=3", "--model.optimizer=SGD")
    assert "optimizer must be Adam as in the run that is resumed, got SGD" in error
    path = first / "checkpoints" / "last.ckpt"
    saved = torch.load(path, weights_only=True)
    kept = {
        k: saved[k] for k in ("state_dict", "pytorch-lightning_version", "epoch", "global_step")
    }
    torch.save(kept, first / "checkpoints" / "weights.ckpt")
    with pytest.raises(SystemExit):
        main(
            ["fit", "-c", "smoke/msrc", "--ckpt_path", str(first / "checkpoints" / "weights.ckpt")]
        )
    assert "must hold the state of training" in capfd.readouterr().err


def test_inside_an_epoch_the_batches_must_stay(capfd) -> None:
    first = fit("--trainer.callbacks+=ModelCheckpoint", "--trainer.callbacks.every_n_train_steps=3",
                "--trainer.callbacks.dirpath=inside", epochs=1)  # fmt: skip
    (inside,) = Path("inside").iterdir()
    last = first / "checkpoints" / "last.ckpt"
    last.write_bytes(inside.read_bytes())
    assert "batch_size must be 20" in refused(capfd, first, "--data.batch_size=10")
    assert "batches must be 4" in refused(capfd, first, "--trainer.limit_train_batches=5")
    assert len(rates(resume(first))) == 1  # the last of four


def test_a_run_without_an_end_and_a_schedule_that_needs_one(capfd) -> None:
    with pytest.raises(SystemExit) as stop:
        fit(epochs=-1)
    assert stop.value.code == 2
    assert "one_cycle must come with a run that has steps and an end" in capfd.readouterr().err
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--monitor=val/accuracy"], "val/accuracy in a run without validation"),
        (["--monitor=val/acc"], "monitor must be one of train/loss, train/accuracy, val/loss, val/acc"),
        (["--monitor=accuracy"], "monitor must be one of"),
        (["--trainer.callbacks+=EarlyStopping", "--trainer.callbacks.monitor=val/loss"], "val/loss in a run without"),
    ],
)  # fmt: skip
def test_a_metric_that_will_not_be_there(args, message, capfd) -> None:
    with pytest.raises(SystemExit) as stop:
        fit(*args)
    assert stop.value.code == 2
    assert message in capfd.readouterr().err
    assert not Path("runs").exists()


def test_a_metric_of_training_is_monitored_in_its_own_direction() -> None:
    run = fit("--monitor=train/loss")
    best = torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)
    (monitored,) = [c for c in best["callbacks"].values() if c.get("monitor") == "train/loss"]
    assert "'mode': 'min'" in str(best["callbacks"].keys())
    assert monitored["best_model_score"] == monitored["current_score"]


def test_what_is_recorded(first: Path) -> None:
    ran = yaml.safe_load((first / "run.yaml").read_text())
    assert ran["command"][:4] == ["snn-neuromod", "fit", "-c", "smoke/msrc"]
    assert ran["versions"]["torch"] == importlib.metadata.version("torch")
