"""The experiment on modulation: its runs, its log, interruption and resumption, its tables and figures."""

from __future__ import annotations

import importlib.util
import itertools
import os
import signal
import statistics
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import torch

if any(importlib.util.find_spec(name) is None for name in ("pytorch_lightning", "matplotlib")):
    pytest.skip("pytorch_lightning or matplotlib is missing", allow_module_level=True)

from docs.studies.modulation import figures, grid, report
from docs.studies.modulation.__main__ import main
from docs.studies.modulation.grid import METRICS, Run, modulation_of, open_log, train
from docs.studies.modulation.report import write_report
from docs.studies.runner import RunFailedError, run_all
from lightning_modules.cli_arguments import prepare
from snn_neuromod.figures import style

ROOT = Path(__file__).parents[2]


def config(run: Run) -> dict:
    return prepare(grid.arguments(run, "somewhere")).config


def test_the_grid_holds_every_condition_once() -> None:
    fixed, learned = grid.fixed_runs(3, [0]), grid.learned_runs(3, range(5))
    assert len(set(fixed)) == len(fixed) == 18
    assert len(set(learned)) == len(learned) == 10
    assert {(r.coding, r.modulation, r.z_hyp) for r in fixed} == set(
        itertools.product(("rate", "latency"), ("1.5", "0.9", "0.5"), (0.8, 0.9, 0.95))
    )


@pytest.mark.parametrize("coding", grid.CODINGS)
def test_runs_of_a_coding_differ_in_their_modulation_alone(coding: str) -> None:
    runs = [r for r in (*grid.fixed_runs(3, [0]), *grid.learned_runs(3, [0])) if r.coding == coding]
    kinds = {}
    for run in runs:
        found = config(run)
        assert found["data"]["init_args"].get("encoding", "rate") == coding
        neuron = found["model"]["init_args"]["network"]["init_args"]["neuron"]["init_args"]
        kinds[run.modulation] = (neuron.pop("modulation"), neuron.pop("learn_modulation"))
        assert neuron["rho"] == 6.0
        assert found == config(runs[0]) | {"data": found["data"], "model": found["model"]}
        changed = config(runs[0])
        for key in ("modulation", "learn_modulation"):
            del changed["model"]["init_args"]["network"]["init_args"]["neuron"]["init_args"][key]
        assert found == changed
    assert kinds == {
        "1.5": (1.5, False), "0.9": (0.9, False), "0.5": (0.5, False),
        "learned": ({"low": 0.4, "high": 1.6}, True),
    }  # fmt: skip


def test_a_run_is_a_command_line() -> None:
    args = grid.arguments(Run("latency", "0.5", 0.95, 7, 3), "somewhere")
    text = " ".join(args)
    assert text.startswith("fit -c mnist/msrc_latency_0.5 --data.root somewhere")
    assert "neuron.init_args.z_hyp 0.95 --trainer.max_epochs 7 --seed_everything 3" in text


def test_a_run_with_learned_modulation(mnist: str) -> None:
    run = Run("rate", "learned", 0.9, 3, 0)
    overrides = ["--data.batch_size", "10", "--data.num_steps", "20"]
    rows = train(run, root=mnist, overrides=overrides)
    assert len(rows) == 4
    before, *epochs = rows
    assert not set(before) & {"train_loss", "val_loss"}
    for row in epochs:
        assert 0 <= row["val_accuracy"] <= 1
    assert epochs[-1]["train_loss"] < epochs[0]["train_loss"]
    assert "test_accuracy" not in epochs[0]
    assert set(rows[-1]) == set(METRICS)
    first, second = modulation_of(before)
    assert (len(first), len(second)) == grid.SIZES
    assert 0.4 <= min(first) < 0.7 < 1.3 < max(first) <= 1.6
    for earlier, later in itertools.pairwise(rows):
        moved = [
            abs(a - b)
            for a, b in zip(modulation_of(earlier)[0], modulation_of(later)[0], strict=True)
        ]
        assert statistics.fmean(moved) > 1e-4
    # the seed repeats a run
    again = train(run, root=mnist, overrides=overrides)
    keep = [{k: v for k, v in row.items() if k != "seconds"} for row in rows]
    assert keep == [{k: v for k, v in row.items() if k != "seconds"} for row in again]


def test_a_run_with_fixed_modulation_logs_none(mnist: str) -> None:
    rows = train(Run("latency", "1.5", 0.8, 1, 0), root=mnist)
    assert rows[0] == {}
    assert modulation_of(rows[-1]) == [[], []]
    assert 0 <= rows[-1]["test_accuracy"] <= 1


def test_a_run_that_fails_names_its_command(tmp_path: Path) -> None:
    with pytest.raises(RunFailedError, match=r"snn-neuromod fit -c mnist/msrc_0\.5 .*nowhere"):
        train(Run("rate", "0.5", 0.8, 1, 0), root=str(tmp_path / "nowhere"))


def test_interruption_and_resumption(
    mnist: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ctrl-C ends the command and its workers at once, and the finished runs are kept."""
    command = [
        *(sys.executable, "-m", "docs.studies.modulation", "run", "--data", mnist),
        *("--out", str(tmp_path), "--epochs", "1", "--workers", "1"),
    ]
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # shells ignore it in jobs
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    signal.signal(signal.SIGINT, before)
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(2)]
    assert lines[0].startswith("0 of 46 runs are in")
    assert lines[1].startswith("1/46  rate learned 0.9 1 0  test accuracy ")
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 130
    assert errors.startswith("interrupted; the same command goes on from")
    assert "Traceback" not in errors
    log = open_log(tmp_path / "epochs.csv")
    kept = log.path.read_text(encoding="utf-8")
    done = list(log.read())
    assert done[0] == Run("rate", "learned", 0.9, 1, 0)
    run_all(done, log, partial(train, root="nowhere"))  # all are there, so none is run
    assert capsys.readouterr().out.startswith(f"{len(done)} of {len(done)} runs are in")
    assert log.path.read_text(encoding="utf-8") == kept


def made_up(run: Run) -> list[dict[str, float]]:
    """A log whose modulation goes from an even spread to 0.9."""
    rows: list[dict[str, float]] = []
    for epoch in range(run.epochs + 1):
        row: dict[str, float] = {}
        if run.modulation == "learned":
            for k, size in enumerate(grid.SIZES, 1):
                for i in range(size):
                    drawn = 0.4 + 1.2 * i / (size - 1)
                    left = 1 - epoch / run.epochs
                    row[f"h_s0_{k}_{i}"] = left * drawn + (1 - left) * 0.95
        if epoch:
            row |= {"train_loss": 0.5, "train_accuracy": 0.9, "val_loss": 1 / epoch}
            row["val_accuracy"] = 0.8 + 0.01 * epoch
        rows.append(row)
    accuracy = 0.9 + 0.01 * run.seed
    last = {"test_loss": 0.25, "test_accuracy": accuracy, "spikes_1": 1.0, "spikes_2": 0.5}
    rows[-1] |= {**last, "seconds": 90.0}
    return rows


@pytest.fixture
def logged(tmp_path: Path) -> grid.Logged:
    log = open_log(tmp_path / "epochs.csv")
    for run in [*grid.fixed_runs(3, range(2)), *grid.learned_runs(3, range(5))]:
        log.add(run, made_up(run))
    return log.read()


def test_tables_and_figures_come_from_the_log(
    logged: grid.Logged,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert len(logged) == 46
    monkeypatch.setattr(style, "DPI", 40)
    main(["figures", "--out", str(tmp_path)])
    assert "46 runs" in capsys.readouterr().out
    for name in ("fixed_modulation", "learned_modulation", "learned_networks"):
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert "<svg" in (tmp_path / f"{name}.svg").read_text(encoding="utf-8")
    text = (tmp_path / "tables.md").read_text(encoding="utf-8")
    assert "| latency | 1.5 | 0.95 | 2 | 90.00 % (90.00 to 90.00) | 83.00 % (83.00 to" in text
    assert "| 90.50 % (90.00 to 91.00) | 0.250 (0.250 to 0.250) | 1.0 / 0.5 | 1.5 |" in text
    assert (
        "| 5 | 90.00 % (90.00 to 90.00) | 83.00 % (83.00 to 83.00) | 92.00 % (90.00 to 94.00)"
        in text
    )
    assert "| rate | 2 | 50 | before | 0.40 | 0.67 | 1.00 | 1.33 | 1.60 | 40% | 30% | 30% |" in text
    assert "| rate | 2 | 50 | after | 0.95 | 0.95 | 0.95 | 0.95 | 0.95 | 0% | 100% | 0% |" in text


def test_fixed_curves_have_the_colour_of_their_type(logged: grid.Logged) -> None:
    fixed = {run: rows for run, rows in logged.items() if run.modulation != "learned"}
    axes = figures.fixed_modulation(fixed).axes
    assert len(axes) == 6
    for ax in axes[4:]:
        assert (
            len([line for line in ax.lines if line.get_ydata().tolist() == pytest.approx([90, 91])])
            == 9
        )
    for ax in axes[:4]:
        drawn = [line for line in ax.lines if len(line.get_xdata())]
        colours = [line.get_color() for line in drawn]
        assert len(drawn) == 9
        assert {colours.count(style.colour_of(h)) for h in (1.5, 0.9, 0.5)} == {3}
        assert ax.get_xlabel() == "epoch"
    assert axes[0].lines[0].get_ydata().tolist() == pytest.approx([81, 82, 83])
    assert axes[2].lines[0].get_ydata().tolist() == pytest.approx([1, 1 / 2, 1 / 3], rel=1e-4)


def test_the_distribution_is_that_of_all_networks(logged: grid.Logged) -> None:
    learned = {run: rows for run, rows in logged.items() if run.modulation == "learned"}
    figure = figures.learned_modulation(learned)
    image = figure.axes[4].images[0]
    assert image.get_clim() == figure.axes[5].images[0].get_clim() == (0, 100)
    shares = torch.tensor(image.get_array().tolist())
    assert shares.shape == (12, 4)  # bins of 0.1 from 0.4 to 1.6, epochs 0 to 3
    torch.testing.assert_close(shares.sum(dim=0), torch.full((4,), 100.0))
    assert shares[5, 3] == 100  # 0.95
    assert shares[:, 0].max() < 15
    before, after = figure.axes[6].patches
    assert sum(before.get_data().values) == sum(after.get_data().values) == 5 * 42
    networks = figures.learned_networks(learned)
    assert len(networks.axes) == 10
    assert all(ax.get_title() for ax in networks.axes)


def test_the_saddle_node_ends_where_the_report_says() -> None:
    """dI/dh of the fixed points I = atanh(h) - r h - r_s (h + h_s0)^2 has a zero below that modulation only."""
    h = torch.linspace(-0.999, 0.999, 200_001, dtype=torch.float64)
    slope = 1 / (1 - h**2) - 4 + 14 * (h + report._SADDLE_NODE)
    assert abs(float(slope.min())) < 0.01


def test_runs_of_different_lengths_are_not_mixed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = open_log(tmp_path / "epochs.csv")
    for epochs in (2, 3):
        run = Run("rate", "0.9", 0.9, epochs, 0)
        log.add(run, made_up(run))
    with pytest.raises(SystemExit) as stop:
        main(["figures", "--out", str(tmp_path)])
    assert stop.value.code == 1
    assert "of one number of epochs, got runs of 2 and 3 epochs" in capsys.readouterr().err
    with pytest.raises(ValueError, match=r"got none; start with"):
        write_report({}, tmp_path)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["run"], "--data must name the folder"),
        (["run", "--data", "nowhere"], "root must be a folder that holds the four files"),
        (["run", "--epochs", "0"], "--epochs must be at least 1, got 0"),
        (["draw"], "invalid choice: 'draw'"),
    ],
)
def test_wrong_arguments(args: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(args)
    assert stop.value.code == 2
    assert message in capsys.readouterr().err
