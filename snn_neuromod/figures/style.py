"""What all figures look like."""

from __future__ import annotations

from pathlib import Path
from typing import Any

BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILION = (
    "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00",
)  # fmt: skip
"""Okabe and Ito's colours, which colour-blind readers can tell apart."""
GREY = "#7F7F7F"


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
    for ax in axes:
        ax.spines[["top", "right"]].set_visible(False)
        ax.tick_params(labelsize=8)
    figure.align_ylabels(axes)
    return figure, list(axes)


def label(ax: Any, text: str) -> None:
    """Name what the vertical axis shows, with its unit."""
    ax.set_ylabel(text, fontsize=8)


def save(figure: Any, folder: Path, name: str) -> list[Path]:
    """Write a figure as PNG and as SVG.

    Returns:
        The files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{name}.{kind}" for kind in ("png", "svg")]
    for path in paths:
        figure.savefig(path, dpi=200)
    return paths
