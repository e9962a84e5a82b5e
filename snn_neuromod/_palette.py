"""Okabe and Ito's colours, which colour-blind readers can tell apart, in hexadecimal; Axes to draw on."""

from __future__ import annotations

from typing import Any

BLUE, ORANGE, GREEN, PURPLE = "#0072B2", "#E69F00", "#009E73", "#CC79A7"
SKY, VERMILION, YELLOW = "#56B4E9", "#D55E00", "#F0E442"
BLACK, GREY, PALE = "#000000", "#7F7F7F", "#D9D9D9"


def axes(ax: Any = None) -> Any:
    """The Axes given, or that of a new figure, which pyplot shows."""
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    return plt.subplots(layout="constrained")[1]
