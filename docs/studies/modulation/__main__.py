"""`python -m docs.studies.modulation`: run or resume the experiment on modulation, and draw its figures."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from docs.studies.modulation.grid import fixed_runs, learned_runs, open_log, outcome, train
from docs.studies.modulation.report import write_report
from docs.studies.runner import RunFailedError, run_all

_HELP = """42 mSRC neurons on MNIST, rate and latency coded: all of them at one fixed modulation (1.5, 0.9, 0.5) and one
z_hyp (0.8, 0.9, 0.95), or each at a modulation of its own, drawn at random and learned.

"run" trains what OUT/epochs.csv lacks, one network after the other, and goes on where it was stopped; "figures" draws
figures and tables from that file alone, which "run" does at its end."""


def main(args: Sequence[str] | None = None) -> None:
    """Train and draw, or only draw.

    Args:
        args: Arguments; None takes those of the process.

    Raises:
        SystemExit: With 2 if an argument is wrong, 1 if a run fails or there is nothing to draw, 130 after Ctrl-C.
    """
    parser = argparse.ArgumentParser(
        prog="python -m docs.studies.modulation",
        description=_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", choices=("run", "figures"))
    parser.add_argument(
        "--out", type=Path, default=Path("modulation"), help="folder of log, tables and figures"
    )
    parser.add_argument("--data", help="folder of MNIST's four files")
    parser.add_argument("--epochs", type=int, default=6, help="epochs of every run (default 6)")
    parser.add_argument(
        "--seeds", type=int, default=5, help="networks with learned modulation (default 5)"
    )
    parser.add_argument(
        "--fixed-seeds",
        type=int,
        default=2,
        help="networks at each fixed modulation and z_hyp (default 2)",
    )
    parser.add_argument(
        "--workers", type=int, default=2, help="processes of one thread (default 2)"
    )
    options = parser.parse_args(args)
    for name in ("epochs", "seeds", "fixed_seeds", "workers"):
        if getattr(options, name) < 1:
            parser.error(
                f"--{name.replace('_', '-')} must be at least 1, got {getattr(options, name)}"
            )
    if options.command == "run":
        _check_data(parser, options.data)
    log = open_log(options.out / "epochs.csv")
    try:
        if options.command == "run":
            runs = [
                *learned_runs(options.epochs, range(options.seeds)),
                *fixed_runs(options.epochs, range(options.fixed_seeds)),
            ]
            train_one = partial(train, root=options.data)
            run_all(runs, log, train_one, workers=options.workers, outcome=outcome)
        write_report(log.read(), options.out)
    except KeyboardInterrupt:
        print(f"interrupted; the same command goes on from {log.path}", file=sys.stderr)
        raise SystemExit(130) from None
    except (RunFailedError, ValueError) as error:
        print(f"modulation: error: {error}", file=sys.stderr)
        raise SystemExit(1) from None


def _check_data(parser: argparse.ArgumentParser, root: str | None) -> None:
    from snn_neuromod.data.images import find_idx_folder

    if root is None:
        parser.error("--data must name the folder of MNIST's four files")
    try:
        find_idx_folder(root, "MNIST")
    except FileNotFoundError as error:
        parser.error(f"--data: {error}")


if __name__ == "__main__":
    main()
