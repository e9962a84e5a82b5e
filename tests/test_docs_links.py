"""Links of README, CONTRIBUTING and docs lead to files and anchors that there are, and every page is led to."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"


def without_code(text: str) -> str:
    """A page without its code blocks; directives that name files stay."""
    kept, inside = [], ""
    for line in text.splitlines():
        fence = re.match(r"(```+|:::+)(.*)", line)
        if inside:
            drop = inside == "code"
            inside = "" if line.strip() in ("```", ":::") else inside
        elif fence and fence[2]:
            inside = "kept" if re.match(r"\{(toctree|figure|image)", fence[2]) else "code"
            drop = inside == "code"
        else:
            inside, drop = ("code", True) if fence else ("", False)
        if not drop:
            kept.append(line)
    return "\n".join(kept) + "\n"


PAGES = {
    path.relative_to(ROOT).as_posix(): without_code(path.read_text(encoding="utf-8"))
    for path in [*ROOT.glob("*.md"), *sorted(DOCS.rglob("*.md"))]
    if not {"_build", "benchmarks"} & set(path.parts) and not path.name.startswith("tables")
}
"""Text of each page."""


def slug(heading: str) -> str:
    """Anchor of a heading, as GitHub and MyST make it."""
    words = re.sub(r"\[([^\]]*)\]\([^)]*\)|[`*]", r"\1", heading).strip().lower()
    return re.sub(r"[^\w\- ]", "", words).replace(" ", "-")


def anchors(page: str) -> set[str]:
    text = PAGES[page]
    headings = re.findall(r"^#{1,3} (.+)$", text, re.MULTILINE)
    return {slug(heading) for heading in headings} | set(re.findall(r"^\((.+)\)=$", text, re.M))


def links(page: str) -> list[tuple[str, str]]:
    """Path relative to the root, and anchor, of every link to a file here."""
    text = re.sub(r"(?<!`)`[^`\n]+`(?!`)", "", PAGES[page])
    targets = re.findall(r"\]\(\s*<?([^)\s>]+)>?\s*\)", text)
    targets += re.findall(r"^```\{(?:figure|image)\} (\S+)$", text, re.MULTILINE)
    here = (ROOT / page).parent
    found = []
    for target in targets:
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        full = (here / path).resolve() if path else ROOT / page
        assert full.is_relative_to(ROOT), f"{page}: {target}"
        found.append((full.relative_to(ROOT).as_posix(), anchor))
    return found


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_files_and_anchors(page: str) -> None:
    for path, anchor in links(page):
        assert (ROOT / path).exists(), f"{page} -> {path}"
        if anchor:
            assert anchor in anchors(path), f"{page} -> {path}#{anchor}"


def test_there_are_links_and_anchors_to_check() -> None:
    every = [link for page in PAGES for link in links(page)]
    assert len(every) > 100
    assert sum(bool(anchor) for _, anchor in every) > 10
    assert slug("What a neuron *needs*: `scale_input`") == "what-a-neuron-needs-scale_input"


def test_files_that_are_named_exist() -> None:
    for page, text in PAGES.items():
        if page.startswith("docs/changelog") or page == "CHANGELOG.md":
            continue
        for name in re.findall(
            r"`((?:docs|tests|configs|snn_neuromod|lightning_modules)/[\w/.]+\.\w+|[A-Z]+\.(?:md|cff))`",
            text,
        ):
            assert (ROOT / name).exists(), f"{page}: {name}"


def test_every_page_and_picture_is_reached() -> None:
    """From the front page and README, over links and tables of contents."""
    reached, waiting = set(), ["README.md", "docs/index.md"]
    while waiting:
        page = waiting.pop()
        if page in reached:
            continue
        reached.add(page)
        if page not in PAGES:
            continue
        waiting += [path for path, _ in links(page)]
        here = (ROOT / page).parent
        for block in re.findall(r"^```\{toctree\}\n(.*?)^```$", PAGES[page], re.M | re.S):
            names = [line for line in block.splitlines() if line and not line.startswith(":")]
            waiting += [f"{(here / name).resolve().relative_to(ROOT)}.md" for name in names]
    pictures = {path.relative_to(ROOT).as_posix() for path in DOCS.rglob("*.png")}
    pictures = {path for path in pictures if "_build" not in path}
    assert {page for page in PAGES if page.startswith("docs/")} | pictures <= reached, sorted(
        ({page for page in PAGES if page.startswith("docs/")} | pictures) - reached
    )
