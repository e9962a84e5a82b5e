"""Times from images to weighted spikes."""

from __future__ import annotations

import sys

import pytest
import torch

from snn_neuromod import kernels
from snn_neuromod.benchmarks import pipeline


def test_the_table(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(pipeline, "SIZES", [(4, 0.5, 8)])
    monkeypatch.setattr(sys, "argv", ["pipeline", "--repeats", "1"])
    pipeline.main()
    rows = [line for line in capsys.readouterr().out.splitlines() if "T4 B128 784-8" in line]
    assert len(rows) == 3
    assert all(float(row.split("|")[-2]) > 0 for row in rows)


def test_a_wrong_result_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    rate = pipeline.encoders.rate

    def wrong(*args: object, **kwargs: object) -> torch.Tensor:
        spikes: torch.Tensor = rate(*args, **kwargs)  # type: ignore[arg-type]
        return spikes if kernels.backends.requested() == "auto" else 1 - spikes

    monkeypatch.setattr(pipeline.encoders, "rate", wrong)
    with pytest.raises(RuntimeError, match="rate code: the two forms must agree"):
        pipeline.measure(4, 0.5, 8, batch=3, repeats=1)
