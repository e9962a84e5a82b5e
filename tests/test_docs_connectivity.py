"""The examples of docs/connectivity.md run one after the other and do what the page says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch

PAGE = Path(__file__).parents[1] / "docs" / "connectivity.md"


def test_the_examples_run() -> None:
    torch.manual_seed(0)
    names: dict[str, Any] = {}
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 5
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)
    assert names["total"] == int(names["sparse"].mask_rec.sum()) == 1980
    assert int(names["near"].mask_rec.sum()) == 1980
    assert names["tree"].mask_in.sum(1).tolist() == [4] * 25
    assert names["graph"].mask_rec.nonzero().tolist() == [[0, 2], [1, 0], [2, 1]]
    assert sorted(set(names["travelling"].delay.flatten().tolist())) == [1, 2, 3, 4, 5]
    assert names["y"].shape == (50, 2, 10)
    assert not names["y"][31:, 1].any()


def test_the_configurations_exist() -> None:
    found = re.findall(r"`(phones/\w+)`", PAGE.read_text(encoding="utf-8"))
    assert len(found) == 11
    for name in found:
        assert (PAGE.parents[1] / "configs" / f"{name}.yaml").is_file(), name
