"""The log of an experiment: one CSV table with a row for each epoch of each run."""

from __future__ import annotations

import csv
import io
import itertools
import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar, get_type_hints

from snn_neuromod.errors import DataError

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
        series: Further columns, each of which holds several numbers: `wrong` those named wrong/0, wrong/1, ...

    Raises:
        DataError: From `read`, if the file is another kind of table.
    """

    def __init__(
        self, path: Path, kind: type[RunT], metrics: Sequence[str], series: Sequence[str] = ()
    ) -> None:
        self.path, self.kind, self.metrics = Path(path), kind, tuple(metrics)
        self.series = tuple(series)
        self._types: dict[str, Any] = get_type_hints(kind)
        self._header = [*self._types, "epoch", "last", *metrics, *series]

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
            values += [_joined(row, name) for name in self.series]
            writer.writerow([*run, epoch, int(epoch == len(rows) - 1), *values])
        self.path.parent.mkdir(parents=True, exist_ok=True)
        whole = self._whole_lines()
        if self.path.is_file() and len(whole) < self.path.stat().st_size:
            os.truncate(self.path, len(whole))
        with self.path.open("a", encoding="utf-8", newline="") as file:
            file.write(("" if whole else ",".join(self._header) + "\n") + text.getvalue())

    def read(self) -> Logged[RunT]:
        """All finished runs in the order in which they were added.

        A line that cannot be read costs its run, which is run again, and a warning that names it.
        """
        lines = self._whole_lines().splitlines()
        if not lines:
            return {}
        wanted, header = ",".join(self._header), lines[0].decode("utf-8", "replace")
        if header != wanted:
            raise DataError(
                f"Log: {self.path} must start with {wanted[:150]}, got {header[:150]}; give another folder",
                self.path,
            )
        found: Logged[RunT] = {}
        pending: Logged[RunT] = {}
        for number, line in enumerate(lines[1:], 2):
            try:
                run, epoch, last, values = self._parse(line)
            except (ValueError, csv.Error) as error:
                warnings.warn(
                    f"Log: line {number} of {self.path} is left out, its run counts as not done ({error})",
                    stacklevel=2,
                )
                continue
            if epoch == 0:
                pending[run] = []
            pending.setdefault(run, []).append(values)
            if last and len(pending[run]) == epoch + 1:
                found[run] = pending.pop(run)
        return found

    def _parse(self, line: bytes) -> tuple[RunT, int, bool, dict[str, float]]:
        """Run, epoch, whether it is the last one, and metrics of a line."""
        cells = _cells(line)
        if len(cells) != len(self._header):
            raise ValueError(f"{len(self._header)} cells are needed, got {len(cells)}")
        named = dict(zip(self._header, cells, strict=True))
        run = self.kind(*(kind(named[name]) for name, kind in self._types.items()))
        values = {name: float(named[name]) for name in self.metrics if named[name]}
        for name in self.series:
            values |= {f"{name}/{k}": float(text) for k, text in enumerate(named[name].split())}
        return run, int(named["epoch"]), bool(int(named["last"])), values

    def _whole_lines(self) -> bytes:
        """Content without a last line that an interruption cut short."""
        content = self.path.read_bytes() if self.path.is_file() else b""
        return content[: content.rfind(b"\n") + 1]


def _joined(row: Mapping[str, float], name: str) -> str:
    """The numbers of a series, as far as they go without a gap."""
    keys = itertools.takewhile(row.__contains__, (f"{name}/{k}" for k in itertools.count()))
    return " ".join(f"{row[key]:.5g}" for key in keys)


def _cells(line: bytes) -> list[str]:
    return next(csv.reader([line.decode("utf-8")]), [])
