"""`python -m snn_neuromod.figures [NAME ...] --out DIR`: every figure, or those named, as PNG and SVG."""

from __future__ import annotations

import argparse
from pathlib import Path

from snn_neuromod.figures import style
from snn_neuromod.figures.registry import FIGURES, Options


def main(arguments: list[str] | None = None) -> None:
    """Make figures and print the files written."""
    parser = argparse.ArgumentParser(prog="python -m snn_neuromod.figures", description=__doc__)
    known = ", ".join(FIGURES)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"figures: {known}; default all")
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    parser.add_argument("--data", type=Path, help="folder of a speech corpus, train/ and test/")
    parser.add_argument("--seed", type=int, default=0, help="seed of everything random (default 0)")
    options = parser.parse_args(arguments)
    unknown = [name for name in options.names if name not in FIGURES]
    if unknown:
        parser.error(f"names must be among {known}, got {', '.join(unknown)}")
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        parser.error("matplotlib must be installed; run pip install 'snn-neuromod[plot]'")
    for name in options.names or FIGURES:
        try:
            figure = FIGURES[name](Options(options.data, options.seed))
        except (FileNotFoundError, ImportError) as error:
            parser.error(str(error))
        for path in style.save(figure, options.out, name):
            print(path)


if __name__ == "__main__":
    main()
