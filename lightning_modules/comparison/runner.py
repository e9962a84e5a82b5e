"""Runs of the comparison."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial

from lightning_modules import experiments
from lightning_modules.comparison.grid import Run, arguments
from lightning_modules.experiments import Log, Rows

__all__ = ["run_all", "train"]

_COLUMNS = ("train/loss", "train/error", "val/loss", "val/error", "test/loss", "test/error")


def run_all(
    runs: Sequence[Run],
    log: Log[Run],
    *,
    workers: int = 1,
    roots: Mapping[str, str] | None = None,
    overrides: Sequence[str] = (),
) -> None:
    """Run what the log lacks, as in `experiments.run_all`.

    Args:
        runs: The runs.
        log: The log.
        workers: Processes, each with one thread.
        roots: Folders of corpora, by name.
        overrides: Further arguments of every run.

    Raises:
        RunFailedError: If a run ends with an error.
    """
    train_one = partial(train, roots=roots, overrides=overrides)
    experiments.run_all(runs, log, train_one, workers=workers, outcome=_outcome)


def train(
    run: Run, *, roots: Mapping[str, str] | None = None, overrides: Sequence[str] = ()
) -> Rows:
    """Train and test one run through the command line of this package.

    Args:
        run: The run.
        roots: Folders of corpora, by name.
        overrides: Further arguments.

    Returns:
        Rows of the log, one for each epoch.

    Raises:
        RunFailedError: If the command fails.
    """
    found = experiments.fit([*arguments(run, roots=roots), *overrides])
    rows = [_named(epoch) for epoch in found.epochs]
    rows[-1] |= _named(found.test)
    rates = [value for name, value in found.test.items() if name.startswith("test/rate/")]
    if rates:
        rows[-1]["rate"] = sum(rates) / len(rates)
    rows[-1]["seconds"] = found.seconds
    return rows


def _named(values: Mapping[str, float]) -> dict[str, float]:
    return {name.replace("/", "_"): values[name] for name in _COLUMNS if name in values}


def _outcome(rows: Rows) -> str:
    error = rows[-1].get("test_error", math.nan)
    return f"error {error:.2%}  {rows[-1]['seconds']:.0f} s"
