"""The page "your own neuron" runs from its first block to its last, and what it trains learns."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pytest
import torch

PAGE = Path(__file__).parents[1] / "docs" / "your_own_neuron.md"


@pytest.mark.filterwarnings("ignore:.*non-interactive:UserWarning")
def test_the_page_runs(capsys: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(0)
    names: dict[str, Any] = {}
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 5
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)
    plt.close(names["figure"])
    assert "torch.Size([100])" in capsys.readouterr().out
    assert 0.01 < names["spikes"].mean() < 0.5
    assert names["losses"][-1] < 0.9 * names["losses"][0]
    assert names["found"]["auto"][1].abs().sum() > 0
