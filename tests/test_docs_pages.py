"""Every Python block of every page runs, top to bottom, with what the page itself imports; commands are ones there are.

docs/swap.md (each block by itself) and the notebooks (test_docs_tutorials.py) have tests of their own.
"""

from __future__ import annotations

import importlib.util
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from lightning_modules.cli import main
from tests.data.phones.recordings import write_utterance

DOCS = Path(__file__).parents[1] / "docs"
CONFIGS = DOCS.parent / "configs"
PAGES = {
    path.relative_to(DOCS).as_posix(): path.read_text(encoding="utf-8")
    for path in sorted(DOCS.rglob("*.md"))
    if "_build" not in path.parts
}
OWN_TESTS = {"swap.md"}
Names = dict[str, Any]


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGES[page], re.MULTILINE | re.DOTALL)


def corpus() -> None:
    """What docs/phones.md reads."""
    for split, speaker in (("train", "A"), ("train", "B"), ("test", "C")):
        write_utterance(Path("path/to/corpus") / split / speaker, "si1")


def finished_run() -> None:
    """What docs/training.md reads: a run of the shipped configuration, cut short."""
    short = [
        "--trainer.max_epochs",
        "1",
        "--trainer.limit_train_batches",
        "2",
        "--pictures.enabled",
        "false",
    ]
    main(["fit", "-c", "quickstart", *short, "--trainer.limit_test_batches", "1"])


PREPARE: dict[str, Callable[[], None]] = {"phones.md": corpus, "training.md": finished_run}


def analysis(names: Names) -> None:
    np.testing.assert_allclose(names["sweep"].onset_up, [4.1, 3.4, 2.9], atol=0.01)
    assert names["heat"].data.shape == (29, 41)
    assert names["types"].kind.tolist() == ["type 2*", "type 1", "type 2"]
    found = names["bursting"]
    assert found.kind.tolist() == ["bursting", "tonic"]
    assert (round(found.spikes_per_burst[0]), round(found.interval[0])) == (20, 26)
    assert round(found.period[0]) == 786


def connectivity(names: Names) -> None:
    assert names["total"] == int(names["sparse"].mask_rec.sum()) == 1980
    assert int(names["near"].mask_rec.sum()) == 1980
    assert names["tree"].mask_in.sum(1).tolist() == [4] * 25
    assert names["graph"].mask_rec.nonzero().tolist() == [[0, 2], [1, 0], [2, 1]]
    assert sorted(set(names["travelling"].delay.flatten().tolist())) == [1, 2, 3, 4, 5]
    assert names["y"].shape == (50, 2, 10)
    assert not names["y"][31:, 1].any()


def eprop(names: Names) -> None:
    """The forms of e-prop give one gradient."""
    names["optimiser"].zero_grad()
    spikes, _ = names["layer"](names["x"])
    assert spikes.any()
    y, _ = names["readout"](spikes)
    names["loss_of"](y, spikes).backward()
    found = names["found"]["layer.w_rec"]
    assert found.norm() > 0
    torch.testing.assert_close(found, names["layer"].w_rec.grad, rtol=1e-3, atol=1e-3)


def norse(names: Names) -> None:
    losses = names["losses"]
    assert names["spikes"].any()
    assert 0.45 < losses[0] < 0.55
    assert losses[-1] < losses[0] / 10


CHECKS: dict[str, Callable[[Names], None]] = {
    "analysis.md": analysis,
    "connectivity.md": connectivity,
    "eprop.md": eprop,
    "norse.md": norse,
}


@pytest.mark.filterwarnings("ignore:.*non-interactive:UserWarning")
@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p, "python") and p not in OWN_TESTS])
def test_the_page_runs(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if page == "norse.md" and importlib.util.find_spec("norse") is None:
        pytest.skip("norse is not installed")
    monkeypatch.chdir(tmp_path)
    PREPARE.get(page, lambda: None)()
    torch.manual_seed(0)
    names: Names = {"__name__": "page"}
    for block in blocks(page, "python"):
        exec(compile(block, page, "exec"), names)
    plt.close("all")
    CHECKS.get(page, lambda names: None)(names)


def commands() -> list[list[str]]:
    """Every line of every page that starts with `snn-neuromod`, cut into words."""
    text = "\n".join(PAGES.values()).replace("\\\n", " ")
    lines = re.findall(r"^snn-neuromod (.*)$", text, re.MULTILINE)
    return [shlex.split(line, comments=True) for line in lines]


def test_commands_name_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    """Subcommands, shipped configurations, and options that some subcommand knows."""
    found = commands()
    assert len(found) > 20
    main([])
    helps = capsys.readouterr().out
    for subcommand in ("fit", "predict", "export"):
        with pytest.raises(SystemExit):
            main([subcommand, "--help"])
        helps += capsys.readouterr().out
    for words in found:
        assert words[0] in ("fit", "test", "validate", "predict", "export", "list"), words
        for flag, value in zip(words, [*words[1:], ""], strict=True):
            if flag == "-c" and not re.search(r"[A-Z$]|\.yaml$", value):
                assert (CONFIGS / f"{value}.yaml").is_file(), words
            name = flag.partition("=")[0]
            if name.startswith("--") and name.count(".") < 2 and not name.startswith("--data."):
                assert name in helps, words


@pytest.mark.parametrize("page", PAGES)
def test_configurations_that_are_named_exist(page: str) -> None:
    for name in re.findall(r"`((?:phones|mnist|nmnist|evidence|patterns)/\w+)`", PAGES[page]):
        assert (CONFIGS / f"{name}.yaml").is_file(), name
