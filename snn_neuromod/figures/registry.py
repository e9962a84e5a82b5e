"""The figures by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from snn_neuromod.figures import eprop_traces


class Options(NamedTuple):
    """What all figures may be told.

    Attributes:
        data: Folder with data that a figure can show instead of made-up input; None: made-up.
        seed: Seed of everything random.
    """

    data: Path | None = None
    seed: int = 0


def _eprop_traces(options: Options) -> Any:
    return eprop_traces.draw(eprop_traces.compute(options.data, seed=options.seed))


FIGURES: dict[str, Callable[[Options], Any]] = {"eprop_traces": _eprop_traces}
"""Name of a figure -> function that makes it, a matplotlib figure."""
