"""The examples of docs/norse.md run one after the other, and e-prop learns in Norse."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("norse")

PAGE = Path(__file__).parents[1] / "docs" / "norse.md"


def test_the_examples_run() -> None:
    names: dict[str, Any] = {}
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 3
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)
    assert names["spikes"].any()
    losses = names["losses"]
    assert 0.45 < losses[0] < 0.55
    assert losses[-1] < losses[0] / 10
