"""What all figures look like: sizes, colours, labels."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path
from string import ascii_lowercase
from typing import Any

from snn_neuromod._palette import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    MODULATIONS,
    ORANGE,
    PALE,
    PURPLE,
    SKY,
    TYPES,
    VERMILION,
    YELLOW,
)
from snn_neuromod._storage import write_atomically

__all__ = [
    "BLACK",
    "BLUE",
    "GREEN",
    "GREY",
    "MODULATIONS",
    "ORANGE",
    "PALE",
    "PURPLE",
    "SKY",
    "TYPES",
    "VERMILION",
    "YELLOW",
    "colour_of",
    "grid",
    "label",
    "letter",
    "panels",
    "save",
]

DPI = 130
"""Of the PNG files; the widest figure is then about 1000 pixels wide."""


def colour_of(h_s0: float) -> str:
    """Colour of the type of excitability at a modulation of `MODULATIONS`."""
    return TYPES[MODULATIONS[h_s0]]


def panels(count: int, *, heights: list[float], width: float = 7.2) -> tuple[Any, list[Any]]:
    """A figure of panels below one another with a common horizontal axis.

    Args:
        count: Number of panels.
        heights: Height of each in inches.
        width: Width of the figure in inches.

    Returns:
        The figure and its axes, from the top.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, sum(heights) + 0.6), layout="constrained")
    axes = figure.subplots(count, 1, sharex=True, height_ratios=heights)
    letter(axes)
    figure.align_ylabels(axes)
    return figure, list(axes)


def grid(
    rows: int,
    columns: int,
    *,
    size: tuple[float, float] = (2.4, 2.2),
    **options: Any,
) -> tuple[Any, Any]:
    """A figure of panels in rows and columns.

    Args:
        rows: Number of rows.
        columns: Number of columns.
        size: Mean width and height of a panel in inches.
        **options: Passed on to matplotlib's `subplots`, such as `sharex`, `height_ratios`.

    Returns:
        The figure and its axes, (rows, columns).
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(columns * size[0], rows * size[1]), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, **options)
    letter(axes.flat)
    return figure, axes


def letter(axes: Iterable[Any]) -> None:
    """Make the panels of a figure plain and give each its letter, a, b, ..."""
    for name, ax in zip(ascii_lowercase, axes, strict=False):
        _plain(ax)
        ax.set_title(name, loc="left", fontsize=9, fontweight="bold")


def label(ax: Any, text: str) -> None:
    """Name what the vertical axis shows, with its unit."""
    ax.set_ylabel(text, fontsize=8)


def save(figure: Any, folder: Path, name: str) -> list[Path]:
    """Write a figure as PNG and as SVG.

    Returns:
        The files.
    """
    from PIL import Image  # comes with matplotlib

    png, svg = (folder / f"{name}.{kind}" for kind in ("png", "svg"))
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=DPI, format="png")
    with Image.open(drawn) as image:  # 256 colours make the file about a third
        small = image.convert("RGB").quantize(256)
    write_atomically(png, lambda file: small.save(file, format="png", optimize=True))
    figure.set_layout_engine("none")  # panels stay where they are
    write_atomically(svg, lambda file: figure.savefig(file, format="svg"))
    return [png, svg]


def _plain(ax: Any) -> None:
    ax.spines[["top", "right"]].set_visible(False)
    ax.tick_params(labelsize=8)
