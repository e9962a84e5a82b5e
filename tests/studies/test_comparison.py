"""The comparison on phones: its runs, its log, its choices, and one run of each kind from end to end."""

from __future__ import annotations

import importlib.util
from functools import partial
from pathlib import Path

import pytest
import torch
import yaml

if any(
    importlib.util.find_spec(name) is None
    for name in ("pytorch_lightning", "matplotlib", "soundfile", "kaldi_native_fbank")
):
    pytest.skip(
        "pytorch_lightning, matplotlib or the audio packages are missing", allow_module_level=True
    )
import soundfile

from docs.studies.comparison import grid, report
from docs.studies.comparison.__main__ import main
from docs.studies.comparison.grid import NEURONS, Run, arguments, open_log, train
from docs.studies.runner import RunFailedError, run_all
from lightning_modules.cli_arguments import prepare

RATES = {(neuron, rule): 0.01 for neuron in (*NEURONS, "lstm") for rule in ("symmetric", "bptt")}
TINY = [
    *("--trainer.max_epochs", "3", "--data.init_args.segment", "30"),
    *("--data.init_args.batch_size", "1", "--model.init_args.scheduler", "null"),
]


@pytest.fixture
def corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Tones whose pitch is their label, in TIMIT's folder conventions."""
    monkeypatch.setenv("SNN_NEUROMOD_CACHE", str(tmp_path / "cache"))
    time = torch.arange(3200) / 16000
    for split, number in (("train", 3), ("test", 1)):
        folder = tmp_path / "corpus" / split
        folder.mkdir(parents=True)
        for k in range(number):
            tones = [0.3 * torch.sin(2 * torch.pi * f * time) for f in (200 + k, 900, 2500)]
            soundfile.write(folder / f"ru_{k}.wav", torch.cat(tones).numpy(), 16000)
            lines = [f"{3200 * i} {3200 * (i + 1)} {label}" for i, label in enumerate("aei")]
            (folder / f"ru_{k}.phn").write_text("\n".join(lines) + "\n", encoding="ascii")
    return str(tmp_path / "corpus")


def test_the_wide_grid_holds_every_combination_once() -> None:
    runs = grid.wide_runs(RATES, range(5))
    assert len(runs) == len(set(runs)) == 5 * 2 * (len(NEURONS) * 3 * 4 + 1)
    assert {sum(run.sizes) for run in runs} == {96}


def test_no_setting_is_favoured_by_its_budget() -> None:
    """Epochs, batches, pieces, schedule and readout are the same for all neurons."""

    def budget(run: Run) -> object:
        args = prepare(arguments(run)).args
        config = yaml.safe_load(args[args.index("--config") + 1])
        network = config["model"]["init_args"]["network"]["init_args"]
        return (
            config["trainer"]["max_epochs"],
            config["data"]["init_args"]["batch_size"],
            config["data"]["init_args"]["segment"],
            config["model"]["init_args"]["scheduler"],
            network["output_delay"],
        )

    runs = [run for run in grid.wide_runs(RATES, [0]) if run.corpus == "synthetic"]
    assert len({str(budget(run)) for run in runs}) == 1


def test_a_run_is_a_command_line(corpus: str) -> None:
    run = Run("wide", "russian_small", "stdp_alif_plus", 3, "adaptive", 0.01, 3)
    args = arguments(run, roots={"russian_small": corpus})
    assert args[:3] == ["fit", "-c", "phones/comparison/stdp_alif_plus"]
    assert args[-2:] == ["--seed_everything", "3"]
    assert "[39, 32, 32, 32]" in args
    assert "adaptive" in args
    assert corpus in args


@pytest.mark.parametrize(
    ("neuron", "layers", "rule"),
    [
        ("alif", 1, "symmetric"),
        ("stdp_alif_minus", 2, "random"),
        ("stdp_alif_zero", 3, "adaptive"),
        ("stdp_alif_plus", 1, "bptt"),
        ("izhikevich", 2, "symmetric"),
        ("lstm", 1, "bptt"),
    ],
)
def test_one_run(neuron: str, layers: int, rule: str, corpus: str) -> None:
    run = Run("wide", "russian_small", neuron, layers, rule, 0.01, 0)
    rows = train(run, roots={"russian_small": corpus}, overrides=TINY)
    assert len(rows) == 3
    for row in rows:
        assert 0 <= row["val_error"] <= 1
        assert row["train_loss"] > 0
    assert rows[2]["train_loss"] < rows[0]["train_loss"]
    assert 0 <= rows[-1]["test_error"] <= 1
    assert rows[-1]["seconds"] > 0
    assert ("rate" in rows[-1]) == (neuron != "lstm")
    assert "test_error" not in rows[0]


def test_seeds_repeat_a_run_and_differ(corpus: str) -> None:
    def losses(seed: int) -> list[float]:
        run = Run("wide", "russian_small", "alif", 1, "symmetric", 0.01, seed)
        rows = train(run, roots={"russian_small": corpus}, overrides=TINY)
        return [row["train_loss"] for row in rows]

    first = losses(0)
    assert first == losses(0)
    assert first != losses(1)


def test_finished_runs_are_not_run_again(
    corpus: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [Run("wide", "russian_small", "lstm", 1, "bptt", 0.01, seed) for seed in range(2)]
    log = open_log(tmp_path / "out" / "epochs.csv")
    roots = {"russian_small": corpus}
    train_one = partial(train, roots=roots, overrides=TINY)
    run_all(runs[:1], log, train_one)
    before = log.path.read_text(encoding="utf-8")
    run_all(runs, log, train_one)
    after = log.path.read_text(encoding="utf-8")
    assert after.startswith(before)
    assert list(log.read()) == runs
    assert "1 of 2 runs are in" in capsys.readouterr().out


def test_what_an_interruption_left_half_written_is_run_again(tmp_path: Path) -> None:
    log = open_log(tmp_path / "epochs.csv")
    first, second = (Run("wide", "synthetic", "alif", 1, "bptt", 0.01, seed) for seed in range(2))
    rows = [
        {"val_error": 0.5, "val_loss": 2.0},
        {"val_error": 0.25, "val_loss": 1.0, "seconds": 3.0},
    ]
    log.add(first, rows)
    log.add(second, rows)
    text = log.path.read_text(encoding="utf-8")
    for cut in range(1, 80):
        log.path.write_text(text[:-cut], encoding="utf-8")
        assert list(log.read()) == [first]
        log.add(second, rows)
        assert log.read() == {first: rows, second: rows}


@pytest.mark.parametrize(
    "line",
    [
        b"rubbish",
        b"",
        b"\xff\xfe,1",
        b'"',
        b"wide,synthetic,alif,x,bptt,0.01,0,1,1" + b"," * 8,
        b"\0",
    ],
)
def test_a_damaged_line_costs_its_run(tmp_path: Path, line: bytes) -> None:
    log = open_log(tmp_path / "epochs.csv")
    runs = [Run("wide", "synthetic", "alif", 1, "bptt", 0.01, seed) for seed in range(3)]
    rows = [{"val_error": 0.5}, {"val_error": 0.25, "seconds": 3.0}]
    for run in runs:
        log.add(run, rows)
    lines = log.path.read_bytes().splitlines()
    lines[3] = line
    log.path.write_bytes(b"\n".join(lines) + b"\n")
    with pytest.warns(UserWarning, match=r"line 4 of .*epochs\.csv is left out"):
        assert list(log.read()) == [runs[0], runs[2]]
    log.add(runs[1], rows)
    with pytest.warns(UserWarning, match="line 4"):
        assert set(log.read()) == set(runs)


def test_a_table_of_another_kind_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "epochs.csv"
    path.write_text("a,b\n1,2\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"must start with stage,corpus"):
        open_log(path).read()


def test_a_failing_run_names_its_command(tmp_path: Path) -> None:
    run = Run("wide", "russian_small", "alif", 1, "bptt", 0.01, 0)
    with pytest.raises(RunFailedError, match=r"snn-neuromod fit .*nowhere"):
        train(run, roots={"russian_small": str(tmp_path / "nowhere")})


def _rows(error: float) -> list[dict[str, float]]:
    last = {
        "val_error": error, "val_loss": 2 * error, "test_error": error, "test_loss": 2 * error,
        "rate": 50.0, "seconds": 60.0,
    }  # fmt: skip
    return [{"val_error": 0.9, "val_loss": 3.0}, last]


def test_choices_and_tables(tmp_path: Path) -> None:
    logged = {run: _rows(0.4 if run.lr == 0.01 else 0.5) for run in grid.search_runs()}
    rates = report.learning_rates(logged)
    assert set(rates) == set(RATES) - {("lstm", "symmetric")}
    assert set(rates.values()) == {0.01}
    for run in grid.wide_runs(rates, range(2)):
        best = run.layers == 2 and run.rule == "random"
        error = 0.2 if best else 0.3
        if (run.neuron, run.rule) == ("alif", "bptt"):
            error = 0.25
        logged[run] = _rows(error + 0.01 * run.seed)
    chosen = report.best_settings(logged)
    assert [(run.neuron, run.layers, run.rule) for run in chosen] == [
        *((neuron, 2, "random") for neuron in NEURONS),
        ("lstm", 1, "bptt"),
        ("alif", 2, "bptt"),
    ]
    for run in grid.tune_runs(chosen):
        logged[run] = _rows(0.2 if run.lr == 0.01 * grid.TUNE_FACTORS[1] else 0.3)
    tuned = report.tuned_settings(logged)
    assert len(tuned) == len(chosen)
    assert {run.lr for run in tuned} == {0.01 * grid.TUNE_FACTORS[1]}
    for run in grid.full_runs(tuned, range(3)):
        assert run.corpus == "russian"
        assert sum(run.sizes) == grid.LARGE_NEURONS
        logged[run] = _rows(0.2)
    report.write_report(logged, tmp_path)
    text = (tmp_path / "tables.md").read_text(encoding="utf-8")
    assert "| alif | 2 | random | 0.01 | 2 | 20.5 ± 0.7 % | 0.410 ± 0.014 | 50 | 1.0 |" in text
    assert "| symmetric e-prop - BPTT, alif, 1 layer | +5.0 (+5.0 to +5.0) | +5.0" in text
    for name in ("neurons_russian_small", "layers_synthetic", "rules_synthetic", "full"):
        assert (tmp_path / f"{name}.png").stat().st_size > 10_000
        assert (tmp_path / f"{name}.svg").is_file()


def test_stages_need_what_goes_before(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["wide", "--out", str(tmp_path), "--russian-small", str(tmp_path)])
    assert stop.value.code == 1
    assert "must hold the stage search" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["narrow"], "STAGE must be among search, wide, tune, full, got narrow"),
        (["search"], "--russian-small must name the folder"),
        (["tune"], "--russian must name the folder"),
        (["full"], "--russian must name the folder"),
        (["wide", "--seeds", "0"], "--seeds must be at least 1"),
    ],
)
def test_wrong_arguments(args: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(args)
    assert stop.value.code == 2
    assert message in capsys.readouterr().err
