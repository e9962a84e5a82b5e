"""snnTorch's tutorials with every neuron: the study's networks, its log and its table."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from docs.studies.swap.__main__ import main
from docs.studies.swap.grid import Run, open_log, runs, table, train
from docs.studies.swap.networks import LOSSES, NEURONS, TUTORIALS, Examples, through


def bars(tutorial: str) -> Examples:
    """Images whose class is where they are bright, enough for eight updates."""
    labels = torch.arange(400) % 10
    images = torch.zeros(400, 28, 28)
    for image, label in zip(images, labels.tolist(), strict=True):
        image[:, 2 * label : 2 * label + 8] = 1
    return Examples(images.reshape(400, *((1, 28, 28) if tutorial == "6" else (784,))), labels, 25, True)  # fmt: skip


def test_every_swap_stands_in_the_grid_once() -> None:
    found = runs(range(2), TUTORIALS, NEURONS)
    assert len(set(found)) == len(found)
    assert {(run.tutorial, run.neuron) for run in found} == {
        (tutorial, neuron) for tutorial in TUTORIALS for neuron in NEURONS
    }
    assert {run.loss for run in found} == set(LOSSES)


@pytest.mark.parametrize("neuron", NEURONS)
@pytest.mark.parametrize("tutorial", [name for name in TUTORIALS if name != "7"])
def test_every_network_fires_and_learns(tutorial: str, neuron: str) -> None:
    torch.manual_seed(0)
    net, examples = TUTORIALS[tutorial].make(neuron), bars(tutorial)
    x, labels = examples.batch(torch.arange(20))
    (spikes, mem), rates = through(net, x)
    assert rates[0] > 0
    LOSSES[TUTORIALS[tutorial].loss](neuron)(spikes, mem, labels).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())
    assert next(net.parameters()).grad.any()  # type: ignore[union-attr]


def test_a_run_is_logged_and_tabulated(tmp_path: Path) -> None:
    log = open_log(tmp_path / "epochs.csv")
    run, same = (Run("5", "ALIF", "ce_count_loss", rate, 0) for rate in (1e-2, 0.0))
    for wanted in (run, same):
        log.add(wanted, train(wanted, examples=bars("5")))
    read = log.read()
    learned, untrained = read[run][-1], read[same][-1]
    assert learned["accuracy"] > untrained["accuracy"] + 0.2
    assert learned["gradient"] == untrained["gradient"] > 0
    main(["--table", "--out", str(tmp_path)])
    written = (tmp_path / "tables.md").read_text()
    assert written == table(read) + "\n"
    assert f"| 5 | ALIF | ce_count_loss | 0.01 | 0 | {100 * learned['accuracy']:.0f} % (" in written


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["8"], "tutorials must be among"), (["7"], "needs --nmnist"), (["--seeds", "0"], "at least 1")],
)  # fmt: skip
def test_wrong_arguments(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main([*arguments, "--out", str(tmp_path)])
    assert stop.value.code == 2
    assert message in capsys.readouterr().err
