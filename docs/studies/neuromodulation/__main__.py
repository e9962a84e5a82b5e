"""`python -m docs.studies.neuromodulation RUN ...`: measure networks of the memory task, draw the figure."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from docs.studies.neuromodulation.figure import draw
from docs.studies.neuromodulation.measure import (
    example,
    keeping,
    load_run,
    sweep,
    test_digits,
)
from snn_neuromod._storage import write_text_atomically
from snn_neuromod.errors import DataError
from snn_neuromod.figures import style

_HELP = """What networks trained by `snn-neuromod fit -c neuromodulation/...` do when the context changes at run time.

Measures the runs whose folders are given, adds them to OUT/measurements.json, and draws OUT/memory.png and .svg from
all that is there; without runs it draws only."""

_TAKEN = (True, False, False, True, False, False)
"""Digits that are let in in the example."""


def main(args: Sequence[str] | None = None) -> None:
    """Measure and draw.

    Args:
        args: Arguments; None takes those of the process.

    Raises:
        SystemExit: With 2 if an argument is wrong or there is nothing to draw.
    """
    parser = argparse.ArgumentParser(
        prog="python -m docs.studies.neuromodulation",
        description=_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("runs", nargs="*", metavar="RUN", help="folder of a run")
    parser.add_argument("--out", type=Path, default=Path("neuromodulation"), help="output folder")
    parser.add_argument("--digits", type=int, default=8, help="digits in a sequence (default 8)")
    parser.add_argument("--sequences", type=int, default=1000, help="test sequences (default 1000)")
    options = parser.parse_args(args)
    if options.digits < 2 or options.sequences < 1:
        parser.error("--digits must be at least 2 and --sequences at least 1")
    file = options.out / "measurements.json"
    try:
        found = _read(file) if file.is_file() else {}
    except DataError as error:
        parser.error(str(error))
    for folder in options.runs:
        try:
            key, values = _measure(folder, options.digits, options.sequences)
        except (FileNotFoundError, ValueError) as error:
            parser.error(str(error))
        found[key] = values
        write_text_atomically(file, json.dumps(found))
        kept = ", ".join(f"{100 * value:.1f}" for value in values["keeping"]["kept"])
        print(f"{key}: kept {kept} %", flush=True)
    if not any(run["name"] == "modulation" for run in found.values()):
        parser.error(
            f"RUN must be at least one run of neuromodulation/modulation, got none in {file}"
        )
    for path in style.save(draw(list(found.values())), options.out, "memory"):
        print(path)


def _read(file: Path) -> dict[str, Any]:
    """Measurements of earlier runs by run."""
    try:
        found = json.loads(file.read_text("utf-8"))
    except ValueError as error:
        raise DataError(
            f"must be JSON as this command writes it ({error}); remove it", file
        ) from None
    if not isinstance(found, dict) or not all("keeping" in run for run in found.values()):
        raise DataError("must hold measurements as this command writes them; remove it", file)
    return found


def _measure(folder: str, num_digits: int, number: int) -> tuple[str, dict[str, Any]]:
    run = load_run(folder)
    digits = test_digits(run.root, num_digits=num_digits)
    values: dict[str, Any] = {
        "name": run.name,
        "seed": run.seed,
        "keeping": keeping(run.network, digits, number),
    }
    if run.name == "modulation":
        few = test_digits(run.root, num_digits=4)
        values["sweep"] = sweep(run.network, few, max(1, number // 4))
        values["example"] = example(run.network, run.root, _TAKEN)
    return f"{run.name}, seed {run.seed}", values


if __name__ == "__main__":
    main()
