"""The examples of docs/eprop.md run one after the other, and give one and the same gradient."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch

PAGE = Path(__file__).parents[1] / "docs" / "eprop.md"


def test_the_examples_run() -> None:
    names: dict[str, Any] = {}
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) > 4
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)
    names["optimiser"].zero_grad()
    spikes, _ = names["layer"](names["x"])
    assert spikes.any()
    y, _ = names["readout"](spikes)
    names["loss_of"](y, spikes).backward()
    found = names["found"]["layer.w_rec"]
    assert found.norm() > 0
    torch.testing.assert_close(found, names["layer"].w_rec.grad, rtol=1e-3, atol=1e-3)
