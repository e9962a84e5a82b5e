"""`python -m docs.studies.mnist_42`: run or resume the comparison of 42 neurons on MNIST, and write its table."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from docs.studies.mnist_42.grid import open_log, runs, table, train
from docs.studies.modulation.grid import outcome
from docs.studies.runner import RunFailedError, run_all
from snn_neuromod._storage import write_text_atomically

_FOLDER = Path(__file__).parent


def main(args: Sequence[str] | None = None) -> None:
    """Train what the log lacks, if data are given, and write the table.

    Args:
        args: Arguments; None takes those of the process.

    Raises:
        SystemExit: With 2 if an argument is wrong, 1 if a run fails, 130 after Ctrl-C.
    """
    parser = argparse.ArgumentParser(prog="python -m docs.studies.mnist_42", description=__doc__)
    parser.add_argument("--data", help="folder of MNIST's four files; without it nothing is run")
    parser.add_argument("--out", type=Path, default=_FOLDER, help="folder of epochs.csv, the log")
    parser.add_argument("--seeds", type=int, default=5, help="seeds of each network (default 5)")
    parser.add_argument("--workers", type=int, default=1, help="processes of one thread")
    options = parser.parse_args(args)
    for name in ("seeds", "workers"):
        if getattr(options, name) < 1:
            parser.error(f"--{name} must be at least 1, got {getattr(options, name)}")
    log = open_log(options.out / "epochs.csv")
    try:
        if options.data is not None:
            wanted, one = runs(range(options.seeds)), partial(train, root=options.data)
            run_all(wanted, log, one, workers=options.workers, outcome=outcome)
        write_text_atomically(options.out / "tables.md", table(log.read()) + "\n")
    except KeyboardInterrupt:
        print(f"interrupted; the same command goes on from {log.path}", file=sys.stderr)
        raise SystemExit(130) from None
    except (RunFailedError, ValueError) as error:
        print(f"mnist_42: error: {error}", file=sys.stderr)
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
