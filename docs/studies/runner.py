"""Training runs, one after the other in worker processes; what is in the log is not run again."""

from __future__ import annotations

import contextlib
import csv
import multiprocessing
import os
import shlex
import signal
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import NamedTuple

from docs.studies.log import Log, Rows, RunT

__all__ = ["Metrics", "RunFailedError", "fit", "run_all"]

_QUIET = ("--trainer.enable_checkpointing", "false", "--trainer.enable_progress_bar", "false",
          "--pictures.enabled", "false")  # fmt: skip


class RunFailedError(RuntimeError):
    """A run ended with an error; the message holds its command line and its last words."""


class Metrics(NamedTuple):
    """What Lightning's logger wrote of a run, by the names under which it was logged.

    Attributes:
        before: What was logged before the first epoch.
        epochs: What was logged of each epoch, first epoch first.
        test: What the test gave.
        seconds: Wall time of the whole run.
    """

    before: dict[str, float]
    epochs: Rows
    test: dict[str, float]
    seconds: float


def run_all(
    runs: Sequence[RunT],
    log: Log[RunT],
    train: Callable[[RunT], Rows],
    *,
    workers: int = 1,
    outcome: Callable[[Rows], str] = lambda rows: "",
) -> None:
    """Run what the log lacks, and add each run to it as it ends. Ctrl-C loses only the runs under way.

    Args:
        runs: The runs.
        log: The log.
        train: Makes the rows of a run; called in a fresh process, so it must be a function of a module or a partial.
        workers: Processes, each with one thread.
        outcome: What to report of a finished run.

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
    with tempfile.TemporaryDirectory() as scratch:
        pool = ProcessPoolExecutor(
            workers, mp_context=context, initializer=_prepare, initargs=(scratch,)
        )
        try:
            futures: dict[Future[Rows], RunT] = {pool.submit(train, run): run for run in left}
            for number, future in enumerate(as_completed(futures), 1):
                run, rows = futures[future], future.result()
                log.add(run, rows)
                spent = time.monotonic() - start
                remaining = spent / number * (len(left) - number)
                print(
                    f"{number}/{len(left)}  {' '.join(str(part) for part in run)}  {outcome(rows)}  "
                    f"{remaining / 60:.0f} min left",
                    flush=True,
                )
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            for child in multiprocessing.active_children():
                child.kill()
                child.join()


def fit(command: Sequence[str]) -> Metrics:
    """Train and test one run through the command line of this package, in this process and without a word.

    Args:
        command: Arguments of `snn-neuromod fit`, the subcommand first.

    Returns:
        What was logged.

    Raises:
        RunFailedError: If the command fails.
    """
    from lightning_modules.cli import main

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
        found = _read(next(Path(folder).rglob("metrics.csv")))
    return found._replace(seconds=time.monotonic() - start)


def _read(path: Path) -> Metrics:
    """Rows of Lightning's CSVLogger, of which an epoch has several, brought together."""
    before: dict[str, float] = {}
    epochs: dict[float, dict[str, float]] = {}
    test: dict[str, float] = {}
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            values = {name: float(value) for name, value in row.items() if value}
            epoch = values.pop("epoch", None)
            values.pop("step", None)
            if any(name.startswith("test/") for name in values):
                test.update(values)
            elif epoch is None:
                before.update(values)
            else:
                epochs.setdefault(epoch, {}).update(values)
    return Metrics(before, [epochs[epoch] for epoch in sorted(epochs)], test, 0.0)


def _prepare(scratch: str) -> None:
    """A worker has one thread, leaves Ctrl-C to the process that started it, and writes where that one tidies up."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ["OMP_NUM_THREADS"] = "1"
    tempfile.tempdir = scratch
    import torch

    torch.set_num_threads(1)
