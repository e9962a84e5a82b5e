"""The log of an experiment: one CSV table with a row for each epoch of each run."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar, get_type_hints

__all__ = ["Log", "Logged", "Rows", "RunT"]

RunT = TypeVar("RunT", bound=NamedTuple)

Rows = list[dict[str, float]]
"""Metrics by epoch, first epoch first; a value that was not measured is absent."""

Logged = dict[RunT, Rows]
"""Rows of each finished run."""


class Log(Generic[RunT]):
    """Rows of finished runs, in one file that only ever grows.

    All rows of a run are written at once and the last one is marked, so that what an interruption left half-written is
    recognised and run again.

    Args:
        path: The file; it and its folder are made when the first run is added.
        kind: What describes a run: a NamedTuple of strings, integers and floats, the first columns of the table.
        metrics: The columns behind them.

    Raises:
        ValueError: From `read`, if the file is another kind of table.
    """

    def __init__(self, path: Path, kind: type[RunT], metrics: Sequence[str]) -> None:
        self.path, self.kind, self.metrics = Path(path), kind, tuple(metrics)
        self._types: dict[str, Any] = get_type_hints(kind)
        self._header = [*self._types, "epoch", "last", *metrics]

    def add(self, run: RunT, rows: Sequence[Mapping[str, float]]) -> None:
        """Append a finished run.

        Args:
            run: The run.
            rows: Metrics by epoch, as far as they were measured.
        """
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        for epoch, row in enumerate(rows):
            values = [f"{row[name]:.5g}" if name in row else "" for name in self.metrics]
            writer.writerow([*run, epoch, int(epoch == len(rows) - 1), *values])
        self.path.parent.mkdir(parents=True, exist_ok=True)
        whole = self._whole_lines()
        if self.path.is_file() and len(whole) < self.path.stat().st_size:
            os.truncate(self.path, len(whole))
        with self.path.open("a", encoding="utf-8", newline="") as file:
            file.write(("" if whole else ",".join(self._header) + "\n") + text.getvalue())

    def read(self) -> Logged[RunT]:
        """All finished runs in the order in which they were added."""
        text = self._whole_lines().decode("utf-8")
        if not text:
            return {}
        rows = csv.reader(text.splitlines())
        header = next(rows)
        if header != self._header:
            raise ValueError(
                f"Log: {self.path} must start with {','.join(self._header[:12])}, got {','.join(header[:12])}; "
                "give another folder"
            )
        found: Logged[RunT] = {}
        pending: Logged[RunT] = {}
        for row in rows:
            if len(row) != len(header):
                continue
            named = dict(zip(header, row, strict=True))
            run = self.kind(*(kind(named[name]) for name, kind in self._types.items()))
            if named["epoch"] == "0":
                pending[run] = []
            pending.setdefault(run, []).append(
                {name: float(named[name]) for name in self.metrics if named[name]}
            )
            if named["last"] == "1" and len(pending[run]) == int(named["epoch"]) + 1:
                found[run] = pending.pop(run)
        return found

    def _whole_lines(self) -> bytes:
        """Content without a last line that an interruption cut short."""
        content = self.path.read_bytes() if self.path.is_file() else b""
        return content[: content.rfind(b"\n") + 1]
