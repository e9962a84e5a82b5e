"""The comparison of 42 neurons on MNIST: its runs, its log and its table."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

if importlib.util.find_spec("pytorch_lightning") is None:
    pytest.skip("pytorch_lightning is not installed", allow_module_level=True)


from docs.studies.mnist_42 import grid
from docs.studies.mnist_42.__main__ import main
from docs.studies.mnist_42.grid import NETWORKS, Run, open_log, runs, table, train
from lightning_modules.cli_arguments import prepare


def test_every_network_for_one_seed_after_the_other() -> None:
    found = runs(range(5))
    assert len(set(found)) == len(found) == 5 * len(NETWORKS)
    assert {run.seed for run in found[: len(NETWORKS)]} == {0}
    first = ("mnist/alif", "mnist/msrc_readout", "mnist/msrc_shifted", "mnist/msrc_latency_shifted")
    assert tuple(run.configuration for run in found[:4]) == first


@pytest.mark.parametrize("network", NETWORKS, ids=" ".join)
def test_networks_share_shifts_epochs_and_held_out_images(network: tuple[str, str]) -> None:
    config = prepare(["fit", "-c", network[0]]).config
    data, trainer = config["data"]["init_args"], config["trainer"]
    assert (data["shift"], data["val_fraction"], data["batch_size"]) == (1, 0.0, 128)
    assert trainer["max_epochs"] == 15
    assert config["model"]["init_args"]["optimizer"]["init_args"]["lr"] == 0.01


def test_a_run_is_logged_and_tabulated(mnist: str, tmp_path: Path) -> None:
    log = open_log(tmp_path / "epochs.csv")
    short = ["--trainer.max_epochs", "2"]
    for seed in (0, 1):
        for network in (("mnist/ann", "--data.shift 0"), ("mnist/msrc_readout", "")):
            run = Run(*network, seed)
            log.add(run, train(run, root=mnist, overrides=short))
    read = log.read()
    assert [len(rows) for rows in read.values()] == [2] * 4
    for run, rows in read.items():
        assert ("spikes_1" in rows[-1]) == (run.configuration != "mnist/ann")
        assert all(0 <= row["train_accuracy"] <= 1 for row in rows)
        assert {"test_accuracy", "seconds"} <= rows[-1].keys()
    main(["--out", str(tmp_path)])
    written = (tmp_path / "tables.md").read_text()
    assert written == table(read) + "\n"
    readout, ann = written.splitlines()[2:]
    assert readout.startswith("| `mnist/msrc_readout` | 42 mSRC")
    assert "`mnist/ann --data.shift 0`" in ann
    assert "| 0, 1 |" in ann
    assert "| none |" in ann
    mean = [read[Run("mnist/ann", "--data.shift 0", seed)][-1]["test_accuracy"] for seed in (0, 1)]
    assert f"| {50 * sum(mean):.2f} % ({100 * min(mean):.2f} to {100 * max(mean):.2f}) |" in ann


def test_the_command_goes_on_with_what_the_log_lacks(
    mnist: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    log = open_log(tmp_path / "epochs.csv")
    row = {"train_accuracy": 0.5, "test_accuracy": 0.5, "seconds": 60.0}
    for run in grid.runs(range(1)):
        log.add(run, [row])
    main(["--out", str(tmp_path), "--data", mnist, "--seeds", "1"])
    assert f"{len(NETWORKS)} of {len(NETWORKS)} runs are in" in capsys.readouterr().out
    with pytest.raises(SystemExit) as stop:
        main(["--seeds", "0"])
    assert stop.value.code == 2
