"""The examples of docs/swap.md run as they stand there, each by itself."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest

PAGE = Path(__file__).parents[1] / "docs" / "swap.md"
BLOCKS = re.findall(
    r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
)


SNNTORCH = [block for block in BLOCKS if "norse" not in block]


def before(block: str) -> str:
    """A block as it was: `# was:` behind a line or above it replaces that line, `# new` marks one that came in."""
    lines: list[str] = []
    above = None
    for line in block.splitlines():
        code, mark, was = line.partition("# was: ")
        if line.endswith("# new"):
            continue
        if mark and not code.strip():
            above = code + was
        elif mark:
            lines.append(" " * (len(code) - len(code.lstrip())) + was)
        else:
            lines.append(line if above is None else above)
            above = None
    return "\n".join(lines)


def run(code: str) -> None:
    names: dict[str, Any] = {"__name__": "page"}
    exec(compile(code, str(PAGE), "exec"), names)


def test_both_styles_of_each_tutorial() -> None:
    """Tutorials 5, 6, 7, population coding, two regressions; whole sequences; Norse."""
    assert len(SNNTORCH) == 2 * 6 + 1
    assert len(BLOCKS) == len(SNNTORCH) + 1
    assert ["init_hidden" in block for block in SNNTORCH] == [*[True, False] * 6, True]
    assert all("# was: " in block for block in BLOCKS)


@pytest.mark.parametrize("block", BLOCKS)
def test_example_runs(block: str) -> None:
    if "norse" in block and importlib.util.find_spec("norse") is None:
        pytest.skip("norse is not installed")
    run(block)


@pytest.mark.parametrize("block", SNNTORCH)
def test_it_ran_before(block: str) -> None:
    """The swapped lines are all that changed: nothing of this package is left but in the one about whole sequences."""
    was = before(block)
    assert was != block
    if "nms.run" not in block:
        assert "nms." not in was
    run(was)
