"""`python -m docs.studies.comparison`: run or resume the comparison, and rebuild its tables and plots."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from docs.studies.comparison.grid import (
    STAGES,
    Run,
    full_runs,
    open_log,
    outcome,
    search_runs,
    settings,
    train,
    tune_runs,
    wide_runs,
)
from docs.studies.comparison.report import (
    best_settings,
    learning_rates,
    tuned_settings,
    write_report,
)
from docs.studies.runner import RunFailedError, run_all

_HELP = """Neurons, learning rules and numbers of layers compared on framewise phone classification.

Stages: "search" finds each neuron's learning rate on the small Russian corpus, "wide" runs the grid on the small
Russian and a synthetic corpus, "tune" tries the learning rates of the best settings again on the complete Russian
corpus, "full" runs them there. Every finished run is a few rows in OUT/epochs.csv and is not run again; tables and
plots are rebuilt from that file after every stage."""


def main(args: Sequence[str] | None = None) -> None:
    """Run the stages that are asked for, then write the report.

    Args:
        args: Arguments; None takes those of the process.

    Raises:
        SystemExit: With 2 if an argument is wrong, 1 if a run fails, 130 after Ctrl-C.
    """
    parser = argparse.ArgumentParser(
        prog="python -m docs.studies.comparison",
        description=_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "stages", nargs="*", metavar="STAGE", help=f"{', '.join(STAGES)}; none: the report only"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("comparison"), help="folder of log, tables and plots"
    )
    parser.add_argument(
        "--russian-small", help="folder of the small Russian corpus (train/ and test/)"
    )
    parser.add_argument("--russian", help="folder of the complete Russian corpus (wav/ and lab/)")
    parser.add_argument(
        "--only",
        nargs="+",
        default=[],
        metavar="FIELD=VALUES",
        help="settings of the stages search and wide to run now, such as neuron=alif,lstm layers=1; default: all",
    )
    parser.add_argument("--seeds", type=int, default=5, help="seeds of the wide grid (default 5)")
    parser.add_argument(
        "--full-seeds", type=int, default=3, help="seeds of the full runs (default 3)"
    )
    parser.add_argument(
        "--workers", type=int, default=2, help="processes of one thread (default 2)"
    )
    options = parser.parse_args(args)
    _check(parser, options)
    roots = {
        name: root
        for name, root in (("russian_small", options.russian_small), ("russian", options.russian))
        if root is not None
    }
    train_one = partial(train, roots=roots)
    log = open_log(options.out / "epochs.csv")
    run = partial(run_all, log=log, train=train_one, workers=options.workers, outcome=outcome)
    chosen = [setting for setting in settings() if _wanted(setting, options.only)]
    try:
        for stage in (stage for stage in STAGES if stage in options.stages):
            if stage == "search":
                while runs := search_runs(chosen, log.read()):
                    run(runs)
            elif stage == "wide":
                run(wide_runs(chosen, learning_rates(log.read()), range(options.seeds)))
            elif stage == "tune":
                best = best_settings(log.read())
                while runs := tune_runs(best, log.read()):
                    run(runs)
            else:
                run(full_runs(tuned_settings(log.read()), range(options.full_seeds)))
            write_report(log.read(), options.out)
        if not options.stages:
            write_report(log.read(), options.out)
    except KeyboardInterrupt:
        print(f"interrupted; the same command goes on from {log.path}", file=sys.stderr)
        raise SystemExit(130) from None
    except (RunFailedError, ValueError) as error:
        print(f"comparison: error: {error}", file=sys.stderr)
        raise SystemExit(1) from None


def _wanted(setting: Run, only: Sequence[str]) -> bool:
    pairs = [text.partition("=")[::2] for text in only]
    return all(str(getattr(setting, name)) in values.split(",") for name, values in pairs)


def _check(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    unknown = [stage for stage in options.stages if stage not in STAGES]
    if unknown:
        parser.error(f"STAGE must be among {', '.join(STAGES)}, got {', '.join(unknown)}")
    for text in options.only:
        if text.partition("=")[0] not in ("neuron", "layers", "rule", "steps"):
            parser.error(
                f"--only must be FIELD=VALUES with neuron, layers, rule or steps as FIELD, got {text}"
            )
    for name in ("seeds", "full_seeds", "workers"):
        if getattr(options, name) < 1:
            parser.error(f"--{name.replace('_', '-')} must be at least 1")
    if {"search", "wide"} & set(options.stages) and options.russian_small is None:
        parser.error("--russian-small must name the folder of the small Russian corpus")
    if {"tune", "full"} & set(options.stages) and options.russian is None:
        parser.error("--russian must name the folder of the complete Russian corpus")


if __name__ == "__main__":
    main()
