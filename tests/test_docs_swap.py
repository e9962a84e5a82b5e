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


def test_there_are_nine() -> None:
    assert ["norse" in block for block in BLOCKS] == 8 * [False] + [True]
    assert all("was: " in block for block in BLOCKS)


@pytest.mark.parametrize("block", BLOCKS)
def test_example_runs(block: str) -> None:
    if "norse" in block and importlib.util.find_spec("norse") is None:
        pytest.skip("norse is not installed")
    names: dict[str, Any] = {"__name__": "page"}
    exec(compile(block, str(PAGE), "exec"), names)
