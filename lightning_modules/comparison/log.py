"""The log of the comparison."""

from __future__ import annotations

from pathlib import Path

from lightning_modules import experiments
from lightning_modules.comparison.grid import Run

__all__ = ["METRICS", "Logged", "open_log"]

METRICS = (
    "train_loss", "train_error", "val_loss", "val_error", "test_loss", "test_error", "rate", "seconds",
)  # fmt: skip
"""What is logged of an epoch; test, firing rate in Hz and seconds of the whole run only in its last row."""

Logged = experiments.Logged[Run]
"""Rows of each finished run, first epoch first; a value that was not measured is absent."""


def open_log(path: Path) -> experiments.Log[Run]:
    """The log in a file, which is made when the first run is added."""
    return experiments.Log(path, Run, METRICS)
