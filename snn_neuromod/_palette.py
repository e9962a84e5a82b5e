"""Okabe and Ito's colours, which colour-blind readers can tell apart, in hexadecimal; Axes to draw on; symbols."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BLUE, ORANGE, GREEN, PURPLE = "#0072B2", "#E69F00", "#009E73", "#CC79A7"
SKY, VERMILION, YELLOW = "#56B4E9", "#D55E00", "#F0E442"
BLACK, GREY, PALE = "#000000", "#7F7F7F", "#D9D9D9"

TYPES = {
    "type 1": GREEN,
    "type 2": BLUE,
    "type 2*": VERMILION,
    "bursting": PURPLE,
    "tonic": ORANGE,
    "silent": PALE,
}
"""Colour of each type of excitability, the same in every picture."""

MODULATIONS = {1.5: "type 2", 0.9: "type 1", 0.5: "type 2*"}
"""Type of an mSRC's excitability at the three modulations that pictures show."""


def symbol(name: str) -> str:
    """A variable of one letter as mathematics: h_s with its index below; other names as they are."""
    letter, _, index = name.partition("_")
    if len(letter) > 1:
        return name
    return f"${letter}_{{{index}}}$" if index else f"${letter}$"


def axes(ax: Axes | None = None) -> Axes:
    """The Axes given, or that of a new figure, which pyplot shows."""
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    return plt.subplots(layout="constrained")[1]
