"""The examples of docs/neurons.md run, each by itself, and what the page says of Izhikevich's gradients holds."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch

import snn_neuromod as nm

PAGE = Path(__file__).parents[1] / "docs" / "neurons.md"
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
ADVICE = {"detach_reset": True, "clip_jacobian": 1.0}


@pytest.mark.parametrize("block", BLOCKS)
def test_example_runs(block: str) -> None:
    names: dict[str, Any] = {}
    exec(compile(block, str(PAGE), "exec"), names)
    assert "neuron" in names


def test_there_is_one() -> None:
    assert len(BLOCKS) == 1


def growth(**options: Any) -> float:
    """Largest entry of the weights' gradient, of 100 steps over that of 25."""
    sizes = []
    for steps in (25, 100):
        torch.manual_seed(0)
        fc = torch.nn.Linear(784, 100)
        x = (torch.rand(16, 784) > 0.85).float() * torch.rand(16, 784)
        spikes, _ = nm.Izhikevich(100, **options)((20 * fc(x)).expand(steps, -1, -1))
        assert spikes.any()
        spikes.sum().backward()
        assert fc.weight.grad is not None
        sizes.append(fc.weight.grad.abs().max().item())
    return sizes[1] / sizes[0]


def test_the_advice_for_izhikevich_holds() -> None:
    layer = nm.Izhikevich(3, **ADVICE)
    assert f"nm.Izhikevich(100, {', '.join(f'{k}={v}' for k, v in ADVICE.items())})" in BLOCKS[0]
    assert layer.detach_reset
    assert growth(**ADVICE) < 10  # the steps are four times as many
    assert growth() > 1e3
    assert growth(detach_reset=True) > 2 * growth(**ADVICE)
