"""Runs of the comparison, one after the other in worker processes; what is in the log is not run again."""

from __future__ import annotations

import contextlib
import csv
import math
import multiprocessing
import os
import shlex
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from pathlib import Path

from lightning_modules.comparison.grid import Run, arguments
from lightning_modules.comparison.log import Log

__all__ = ["RunFailedError", "run_all", "train"]

_COLUMNS = {
    "train_loss": "train/loss",
    "train_error": "train/error",
    "val_loss": "val/loss",
    "val_error": "val/error",
    "test_loss": "test/loss",
    "test_error": "test/error",
}
_QUIET = ("--trainer.enable_checkpointing", "false", "--trainer.enable_progress_bar", "false",
          "--pictures.enabled", "false")  # fmt: skip


class RunFailedError(RuntimeError):
    """A run ended with an error; the message holds its command line and its last words."""


def run_all(
    runs: Sequence[Run],
    log: Log,
    *,
    workers: int = 1,
    roots: Mapping[str, str] | None = None,
    overrides: Sequence[str] = (),
) -> None:
    """Run what the log lacks, and add each run to it as it ends. Ctrl-C loses only the runs under way.

    Args:
        runs: The runs.
        log: The log.
        workers: Processes, each with one thread.
        roots: Folders of corpora, by name.
        overrides: Further arguments of every run.

    Raises:
        RunFailedError: If a run ends with an error.
    """
    done = log.read()
    left = [run for run in dict.fromkeys(runs) if run not in done]
    print(f"{len(runs) - len(left)} of {len(runs)} runs are in {log.path}", flush=True)
    if not left:
        return
    start = time.monotonic()
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_single_thread)
    try:
        futures: dict[Future[list[dict[str, float]]], Run] = {
            pool.submit(train, run, roots=roots, overrides=overrides): run for run in left
        }
        for number, future in enumerate(as_completed(futures), 1):
            run, rows = futures[future], future.result()
            log.add(run, rows)
            spent = time.monotonic() - start
            remaining = spent / number * (len(left) - number)
            error = rows[-1].get("test_error", math.nan)
            print(
                f"{number}/{len(left)}  {' '.join(str(part) for part in run)}  error {error:.2%}  "
                f"{rows[-1]['seconds']:.0f} s, {remaining / 60:.0f} min left",
                flush=True,
            )
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def train(
    run: Run, *, roots: Mapping[str, str] | None = None, overrides: Sequence[str] = ()
) -> list[dict[str, float]]:
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
    from lightning_modules.cli import main

    command = [*arguments(run, roots=roots), *overrides]
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "output.txt"
        try:
            with (
                output.open("w", encoding="utf-8") as file,
                contextlib.redirect_stdout(file),
                contextlib.redirect_stderr(file),
            ):
                main([*command, *_QUIET, "--trainer.default_root_dir", folder])
        except (SystemExit, Exception) as error:
            words = output.read_text(encoding="utf-8").strip()
            raise RunFailedError(f"snn-neuromod {shlex.join(command)}\n{words}\n{error}") from error
        metrics = next(Path(folder).rglob("metrics.csv"))
        rows = _rows(metrics)
    rows[-1]["seconds"] = time.monotonic() - start
    return rows


def _rows(metrics: Path) -> list[dict[str, float]]:
    """Rows of the log from what Lightning's CSVLogger wrote."""
    found: list[dict[str, float]] = []
    rates: dict[str, float] = {}
    last: dict[str, float] = {}
    with metrics.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            values = {key: float(value) for key, value in row.items() if value}
            if "val/loss" in values:
                found.append({})
            into = last if "test/loss" in values else found[-1] if found else {}
            into.update({name: values[key] for name, key in _COLUMNS.items() if key in values})
            rates.update({k: v for k, v in values.items() if k.startswith("test/rate/")})
    found[-1].update(last)
    if rates:
        found[-1]["rate"] = sum(rates.values()) / len(rates)
    return found


def _single_thread() -> None:
    os.environ["OMP_NUM_THREADS"] = "1"
    import torch

    torch.set_num_threads(1)
