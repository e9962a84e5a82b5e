"""The examples of docs/swap.md run as they stand there, in one fresh interpreter."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BLOCKS = re.findall(
    r"^```python\n(.*?)^```$",
    (ROOT / "docs" / "swap.md").read_text(encoding="utf-8"),
    re.MULTILINE | re.DOTALL,
)


def test_there_are_two() -> None:
    assert [("snntorch" in block, "norse" in block) for block in BLOCKS] == [
        (True, False),
        (False, True),
    ]


@pytest.mark.parametrize("block", BLOCKS, ids=["snntorch", "norse"])
def test_example_runs(block: str) -> None:
    if "norse" in block and importlib.util.find_spec("norse") is None:
        pytest.skip("norse is not installed")
    result = subprocess.run(
        [sys.executable, "-c", block], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert result.returncode == 0, result.stderr
