"""The examples of docs/analysis.md run, each by itself."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

PAGE = Path(__file__).parents[1] / "docs" / "analysis.md"


def test_examples() -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    results = []
    for block in blocks:
        namespace: dict[str, Any] = {}
        exec(compile(block, str(PAGE), "exec"), namespace)
        results.append(namespace.get("found"))
    assert len(blocks) >= 6
    sweep, heatmap, types, bursts = results[-4:]
    np.testing.assert_allclose(sweep.onset_up, [4.1, 3.4, 2.9], atol=0.01)
    assert heatmap.data.shape == (29, 41)
    assert types.kind.tolist() == ["type 2*", "type 1", "type 2"]
    assert bursts.kind.tolist() == ["bursting", "tonic"]
    assert (round(bursts.spikes_per_burst[0]), round(bursts.interval[0])) == (20, 26)
    assert round(bursts.period[0]) == 786
