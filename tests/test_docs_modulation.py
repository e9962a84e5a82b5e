"""The blocks of docs/modulation.md run one after the other and print what the page says; its pictures are there."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import pytest

from snn_neuromod.figures import FIGURES

DOCS = Path(__file__).parents[1] / "docs"
PAGE = (DOCS / "modulation.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(python|text)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def test_the_page_runs_and_prints_what_it_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {}
    printed = ""
    shown = 0
    for language, block in BLOCKS:
        if language == "python":
            assert not printed, f"the page leaves out:\n{printed}"
            with contextlib.redirect_stdout(io.StringIO()) as out:
                exec(compile(block, "docs/modulation.md", "exec"), namespace)
            printed = out.getvalue()
        else:
            assert printed == block
            printed, shown = "", shown + 1
    assert not printed
    assert shown >= 7


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
