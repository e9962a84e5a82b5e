"""`python -m docs.studies.swap`: train snnTorch's tutorials with every neuron, and write the table of them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch

from docs.studies import log
from docs.studies.runner import RunFailedError, run_all
from docs.studies.swap.grid import open_log, runs, table, train
from docs.studies.swap.networks import NEURONS, TUTORIALS
from snn_neuromod._storage import write_text_atomically

_FOLDER = Path(__file__).parent


def main(args: Sequence[str] | None = None) -> None:
    """Train what the log lacks, and write the table.

    Args:
        args: Arguments; None takes those of the process.

    Raises:
        SystemExit: With 2 if an argument is wrong, 1 if a run fails, 130 after Ctrl-C.
    """
    parser = argparse.ArgumentParser(prog="python -m docs.studies.swap", description=__doc__)
    parser.add_argument("tutorials", nargs="*", help=f"of {', '.join(TUTORIALS)}; default all")
    parser.add_argument("--neurons", nargs="+", choices=NEURONS, default=NEURONS, metavar="NAME",
                        help=f"of {', '.join(NEURONS)}; default all")  # fmt: skip
    parser.add_argument("--seeds", type=int, default=3, help="seeds of each (default 3)")
    parser.add_argument("--nmnist", type=Path, help="folder of N-MNIST; without it no tutorial 7")
    parser.add_argument("--out", type=Path, default=_FOLDER, help="folder of epochs.csv, the log")
    parser.add_argument("--table", action="store_true", help="train nothing, write the table")
    options = parser.parse_args(args)
    if wrong := [name for name in options.tutorials if name not in TUTORIALS]:
        parser.error(f"tutorials must be among {', '.join(TUTORIALS)}, got {', '.join(wrong)}")
    if options.seeds < 1:
        parser.error(f"--seeds must be at least 1, got {options.seeds}")
    if options.nmnist is None and "7" in options.tutorials:
        parser.error("tutorial 7 needs --nmnist, the folder of N-MNIST")
    chosen = options.tutorials or [name for name in TUTORIALS if name != "7" or options.nmnist]
    wanted = [] if options.table else runs(range(options.seeds), chosen, options.neurons)
    found = open_log(options.out / "epochs.csv")
    torch.set_num_threads(1)
    try:
        run_all(wanted, found, partial(train, root=options.nmnist), workers=1, outcome=_outcome)
        write_text_atomically(options.out / "tables.md", table(found.read()) + "\n")
    except KeyboardInterrupt:
        print(f"interrupted; the same command goes on from {found.path}", file=sys.stderr)
        raise SystemExit(130) from None
    except (RunFailedError, ValueError) as error:
        print(f"swap: error: {error}", file=sys.stderr)
        raise SystemExit(1) from None


def _outcome(rows: log.Rows) -> str:
    return f"{rows[-1]['accuracy']:.1%} of the training examples"


if __name__ == "__main__":
    main()
