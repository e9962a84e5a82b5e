"""The comparison on phones: its runs, its log, its choices, and one run of each kind from end to end."""

from __future__ import annotations

import importlib.util
import math
import multiprocessing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

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
from docs.studies.comparison.differences import counts_of
from docs.studies.comparison.grid import NEURONS, Run, arguments, open_log, train
from docs.studies.runner import RunFailedError, run_all
from lightning_modules.cli_arguments import prepare
from snn_neuromod.figures import style

RATES = {run.tuned: 0.01 for run in grid.settings()}
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
    runs = grid.wide_runs(grid.settings(), RATES, range(5))
    ablation = 4 + 1  # with fine steps, and ALIF with -gamma
    assert len(runs) == len(set(runs)) == 5 * 2 * (len(NEURONS) * 3 * 4 + 1 + ablation)
    assert {sum(run.sizes) for run in runs} == {96}


def test_no_setting_is_favoured_by_its_budget() -> None:
    """Epochs, batches, pieces, schedule and readout are the same for all neurons."""

    def budget(run: Run) -> object:
        config = prepare(arguments(run)).config
        network = config["model"]["init_args"]["network"]["init_args"]
        return (
            config["trainer"]["max_epochs"],
            config["data"]["init_args"]["batch_size"],
            config["data"]["init_args"]["segment"],
            config["model"]["init_args"]["scheduler"],
            network["output_delay"],
        )

    runs = [run for run in grid.wide_runs(grid.settings(), RATES, [0]) if run.corpus == "synthetic"]
    assert len({str(budget(run)) for run in runs}) == 1


def test_a_run_is_a_command_line(corpus: str) -> None:
    run = Run("wide", "russian_small", "stdp_alif_plus", 3, "adaptive", 1, 0.01, 3)
    args = arguments(run, roots={"russian_small": corpus})
    assert args[:3] == ["fit", "-c", "phones/comparison/stdp_alif_plus"]
    assert args[-2:] == ["--seed_everything", "3"]
    assert "[39, 32, 32, 32]" in args
    assert "adaptive" in args
    assert corpus in args


def test_bptt_alone_is_clipped() -> None:
    """Izhikevich neurons excepted, whose gradient overflows before it can be."""
    clipped = {
        run.tuned for run in grid.settings() if "--trainer.gradient_clip_val" in arguments(run)
    }
    assert clipped == {(n, "bptt", 1) for n in (*NEURONS, "lstm") if n != "izhikevich"}


def test_with_fine_steps_a_neuron_is_refractory_for_2_ms() -> None:
    def network(steps: int) -> dict[str, Any]:
        run = Run("wide", "synthetic", "stdp_alif_minus", 1, "symmetric", steps, 0.01, 0)
        config = prepare(arguments(run)).config
        return config["model"]["init_args"]["network"]["init_args"]

    coarse, fine = network(1), network(grid.FINE)
    frame = 10.0  # ms
    for net, steps, time in ((coarse, 1, 20.0), (fine, 5, 2.0)):
        assert net.get("n_repeat", 1) == steps
        assert net["neuron"]["init_args"]["refractory"] * frame / steps == time
    for values, name in (("neuron", "tau_mem"), ("neuron", "tau_adapt"), ("readout", "tau_out")):
        real = [
            net[values]["init_args"][name] / net[values]["init_args"].get("dt", 1.0)
            for net in (coarse, fine)
        ]
        assert real[1] / grid.FINE == pytest.approx(real[0])  # in frames
    decay = [math.exp(-1 / 4.48), math.exp(-2 / 44.8)]
    assert fine["gain"] == pytest.approx((1 - decay[1]) / (1 - decay[0]), rel=2e-3)
    assert fine["neuron"]["init_args"]["psi"] == coarse["neuron"]["init_args"]["psi"]


@pytest.mark.parametrize(
    ("neuron", "layers", "rule", "steps"),
    [
        ("alif", 1, "symmetric", 1),
        ("alif_minus", 1, "symmetric", 5),
        ("stdp_alif_minus", 2, "random", 1),
        ("stdp_alif_zero", 3, "adaptive", 1),
        ("stdp_alif_plus", 1, "bptt", 1),
        ("izhikevich", 2, "symmetric", 1),
        ("lstm", 1, "bptt", 1),
    ],
)
def test_one_run(neuron: str, layers: int, rule: str, steps: int, corpus: str) -> None:
    run = Run("wide", "russian_small", neuron, layers, rule, steps, 0.01, 0)
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
    wrong, frames = counts_of(rows[-1])
    assert len(wrong) == 1
    assert sum(wrong) / sum(frames) == pytest.approx(rows[-1]["test_error"], abs=1e-6)


def test_seeds_repeat_a_run_and_differ(corpus: str) -> None:
    def losses(seed: int) -> list[float]:
        run = Run("wide", "russian_small", "alif", 1, "symmetric", 1, 0.01, seed)
        rows = train(run, roots={"russian_small": corpus}, overrides=TINY)
        return [row["train_loss"] for row in rows]

    first = losses(0)
    assert first == losses(0)
    assert first != losses(1)


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_finished_runs_are_not_run_again(
    corpus: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The other is, in a copy of this process; test_modulation.py has one that begins afresh."""
    copies = multiprocessing.get_context("fork")
    monkeypatch.setattr(multiprocessing, "get_context", lambda method: copies)
    runs = [Run("wide", "russian_small", "lstm", 1, "bptt", 1, 0.01, seed) for seed in range(2)]
    log = open_log(tmp_path / "out" / "epochs.csv")
    roots = {"russian_small": corpus}
    train_one = partial(train, roots=roots, overrides=TINY)
    log.add(runs[0], _rows(0.3))
    before = log.path.read_text(encoding="utf-8")
    run_all(runs, log, train_one)
    after = log.path.read_text(encoding="utf-8")
    assert after.startswith(before)
    assert list(log.read()) == runs
    assert "1 of 2 runs are in" in capsys.readouterr().out


def test_what_an_interruption_left_half_written_is_run_again(tmp_path: Path) -> None:
    log = open_log(tmp_path / "epochs.csv")
    first, second = (
        Run("wide", "synthetic", "alif", 1, "bptt", 1, 0.01, seed) for seed in range(2)
    )
    last = {"val_error": 0.25, "val_loss": 1.0, "seconds": 3.0, "wrong/0": 7.0, "wrong/1": 0.5}
    rows = [{"val_error": 0.5, "val_loss": 2.0}, last]
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
        b"wide,synthetic,alif,x,bptt,1,0.01,0,1,1" + b"," * 10,
        b"wide,synthetic,alif,1,bptt,1,0.01,0,1,1" + b"," * 9 + b"7 x,",
        b"\0",
    ],
)
def test_a_damaged_line_costs_its_run(tmp_path: Path, line: bytes) -> None:
    log = open_log(tmp_path / "epochs.csv")
    runs = [Run("wide", "synthetic", "alif", 1, "bptt", 1, 0.01, seed) for seed in range(3)]
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
    run = Run("wide", "russian_small", "alif", 1, "bptt", 1, 0.01, 0)
    with pytest.raises(RunFailedError, match=r"snn-neuromod fit .*nowhere"):
        train(run, roots={"russian_small": str(tmp_path / "nowhere")})


def _rows(error: float) -> list[dict[str, float]]:
    last = {
        "val_error": error, "val_loss": 2 * error, "test_error": error, "test_loss": 2 * error,
        "rate": 50.0, "seconds": 60.0,
        "wrong/0": 100 * error, "frames/0": 100.0, "wrong/1": 50 * error, "frames/1": 50.0,
    }  # fmt: skip
    return [{"val_error": 0.9, "val_loss": 3.0}, last]


def _search(logged: grid.Logged, best: dict[str, float]) -> None:
    """Search to its end, with the lowest error where the neuron has its best rate."""
    while runs := grid.search_runs(grid.settings(), logged):
        for run in runs:
            distance = abs(math.log10(run.lr / best.get(run.neuron, 0.03)))
            logged[run] = _rows(0.3 + 0.1 * distance)


def test_the_search_goes_on_until_every_best_rate_lies_inside() -> None:
    logged: grid.Logged = {}
    best = {"alif": 0.3, "lstm": 0.001, "izhikevich": 0.1}
    _search(logged, best)
    rates = report.learning_rates(logged)
    assert set(rates) == {run.tuned for run in grid.settings()}
    for (neuron, _, _), lr in rates.items():
        assert lr == best.get(neuron, 0.03)
    for run, tried in grid.tried_rates(logged).items():
        assert min(tried) < rates[run.tuned] < max(tried)
    assert len(logged) < 5.5 * len(rates)


def test_a_rate_on_the_edge_is_no_result() -> None:
    setting = Run("search", "russian_small", "alif", 1, "bptt", 1, 0.0, 0)
    searched = setting._replace(seed=grid.SEARCH_SEED)
    logged = {
        searched._replace(lr=lr): _rows(error)
        for lr, error in ((0.01, 0.4), (0.03, 0.3), (0.1, 0.2))
    }
    assert report.learning_rates(logged) == {}
    assert [run.lr for run in grid.search_runs([setting], logged)] == [0.3]
    logged[searched._replace(lr=0.3)] = [{"train_loss": math.nan}]  # diverged
    assert report.learning_rates(logged) == {setting.tuned: 0.1}


def test_choices_and_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(style, "DPI", 40)
    logged: grid.Logged = {}
    _search(logged, {})
    rates = report.learning_rates(logged)
    for run in grid.wide_runs(grid.settings(), rates, range(2)):
        best = run.layers == 2 and run.rule == "random"
        error = 0.2 if best else 0.3
        if (run.neuron, run.rule) == ("alif", "bptt"):
            error = 0.25
        logged[run] = _rows(error + 0.01 * run.seed)
    chosen = report.best_settings(logged)
    assert [(run.neuron, run.layers, run.rule) for run in chosen] == [
        *((neuron, 2, "random") for neuron in NEURONS),
        ("lstm", 1, "bptt"),
        *(("alif", 2, rule) for rule in ("symmetric", "adaptive", "bptt")),
    ]
    while runs := grid.tune_runs(chosen, logged):
        for run in runs:
            logged[run] = _rows(0.2 if run.lr == 0.003 else 0.3)
    tuned = report.tuned_settings(logged)
    assert len(tuned) == len(chosen)
    assert {run.lr for run in tuned} == {0.003}
    for run in grid.full_runs(tuned, range(3)):
        assert run.corpus == "russian"
        assert sum(run.sizes) == grid.LARGE_NEURONS
        logged[run] = _rows(0.2)
    report.write_report(logged, tmp_path)
    text = (tmp_path / "tables.md").read_text(encoding="utf-8")
    row = "| alif | 2 | random | 20 | 0.03 | 2 | 20.5 % (20.0 to 21.0) | 0.410 | 50 | 1.0 |"
    assert row in text
    assert "| symmetric e-prop - BPTT, alif, 1 layer | +5.0 (+5.0 to +5.0), 2 | +5.0" in text
    assert (
        "| reset alone: stdp_alif_zero - alif, refractory 2 ms | +0.0 (+0.0 to +0.0), 2 |" in text
    )
    for name in (
        "neurons_russian_small",
        "layers_synthetic",
        "rules_synthetic",
        "full",
        "errors",
        "stdp",
    ):
        assert (tmp_path / f"{name}.png").stat().st_size > 2_000
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
        (["wide", "--only", "corpus=x"], "--only must be FIELD=VALUES with neuron, layers"),
    ],
)
def test_wrong_arguments(args: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(args)
    assert stop.value.code == 2
    assert message in capsys.readouterr().err
