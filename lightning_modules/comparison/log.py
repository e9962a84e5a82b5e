"""The log of the comparison: one CSV table with a row for each epoch of each run."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning_modules.comparison.grid import Run

__all__ = ["METRICS", "Log", "Logged"]

METRICS = (
    "train_loss", "train_error", "val_loss", "val_error", "test_loss", "test_error", "rate", "seconds",
)  # fmt: skip
"""What is logged of an epoch; test, firing rate in Hz and seconds of the whole run only in its last row."""

_HEADER = (*Run._fields, "epoch", "last", *METRICS)

Logged = dict[Run, list[dict[str, float]]]
"""Rows of each finished run, first epoch first; a value that was not measured is absent."""


class Log:
    """Rows of finished runs, in one file that only ever grows.

    All rows of a run are written at once and the last one is marked, so that what an interruption left half-written is
    recognised and run again.

    Args:
        path: The file; it and its folder are made when the first run is added.

    Raises:
        ValueError: From `read`, if the file is another kind of table.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)

    def add(self, run: Run, rows: Sequence[Mapping[str, float]]) -> None:
        """Append a finished run.

        Args:
            run: The run.
            rows: `METRICS` by epoch, as far as they were measured.
        """
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        for epoch, row in enumerate(rows):
            values = [f"{row[name]:.5g}" if name in row else "" for name in METRICS]
            writer.writerow([*run, epoch, int(epoch == len(rows) - 1), *values])
        self.path.parent.mkdir(parents=True, exist_ok=True)
        whole = self._whole_lines()
        if self.path.is_file() and len(whole) < self.path.stat().st_size:
            os.truncate(self.path, len(whole))
        with self.path.open("a", encoding="utf-8", newline="") as file:
            file.write(("" if whole else ",".join(_HEADER) + "\n") + text.getvalue())

    def read(self) -> Logged:
        """All finished runs in the order in which they were added."""
        text = self._whole_lines().decode("utf-8")
        if not text:
            return {}
        rows = csv.reader(text.splitlines())
        header = next(rows)
        if header != list(_HEADER):
            raise ValueError(
                f"Log: {self.path} must start with {','.join(_HEADER)}, got {','.join(header)}; give another folder"
            )
        return _finished(row for row in rows if len(row) == len(_HEADER))

    def _whole_lines(self) -> bytes:
        """Content without a last line that an interruption cut short."""
        content = self.path.read_bytes() if self.path.is_file() else b""
        return content[: content.rfind(b"\n") + 1]


def _finished(rows: Iterable[list[str]]) -> Logged:
    found: Logged = {}
    pending: dict[Run, list[dict[str, float]]] = {}
    for row in rows:
        named = dict(zip(_HEADER, row, strict=True))
        run = _run(named)
        if named["epoch"] == "0":
            pending[run] = []
        pending.setdefault(run, []).append(
            {name: float(named[name]) for name in METRICS if named[name]}
        )
        if named["last"] == "1" and len(pending[run]) == int(named["epoch"]) + 1:
            found[run] = pending.pop(run)
    return found


def _run(named: Mapping[str, Any]) -> Run:
    kinds = {"layers": int, "lr": float, "seed": int}
    return Run(**{name: kinds.get(name, str)(named[name]) for name in Run._fields})
