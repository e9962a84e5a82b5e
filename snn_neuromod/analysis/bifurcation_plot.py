"""Picture of a bifurcation diagram."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from snn_neuromod import _palette as palette
from snn_neuromod.analysis.continuation import Bifurcation
from snn_neuromod.analysis.rhythm import Amplitude

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MARKERS = {
    "saddle-node": ("o", palette.BLACK),
    "Neimark-Sacker": ("s", "white"),
    "period-doubling": ("^", palette.GREY),
}


def plot_bifurcation(
    diagram: Bifurcation,
    ax: Axes | None = None,
    *,
    colour: str = palette.BLACK,
    rhythm: Amplitude | None = None,
    rhythm_colour: str = palette.SKY,
) -> Axes:
    """Draw the membrane of the fixed points: full where stable, dashed where not, the bifurcations, and the rhythm.

    Args:
        diagram: What `bifurcation` found.
        ax: A matplotlib Axes; None: that of a new figure.
        colour: Of the branches.
        rhythm: What `amplitude` found over the same currents: its lowest and highest membrane, and where it goes on
            beside rest; None: not drawn.
        rhythm_colour: Of the rhythm.

    Returns:
        The Axes.
    """
    ax = palette.axes(ax)
    if rhythm is not None:
        _plot_rhythm(rhythm, ax, rhythm_colour, palette.symbol(diagram.membrane))
    for branch in diagram.branches:
        y = branch.states[diagram.membrane]
        for stable, line in ((True, "-"), (False, "--")):
            shown = branch.stable == stable
            shown |= np.append(shown[1:], False) & ~shown  # the lines meet
            ax.plot(
                np.where(shown, branch.values, np.nan), np.where(shown, y, np.nan), line,
                color=colour, linewidth=1.0,
            )  # fmt: skip
    named: set[str] = set()
    for point in diagram.points:
        marker, shade = MARKERS[point.kind]
        label = None if point.kind in named else point.name
        named.add(point.kind)
        y0 = point.states[diagram.membrane]
        ax.plot(
            point.value, y0, marker, color=palette.BLACK, markerfacecolor=shade, markersize=6,
            label=label, linestyle="none", zorder=5,
        )  # fmt: skip
    ax.set_xlabel(palette.symbol(diagram.parameter), fontsize=8)
    ax.set_ylabel(f"membrane {palette.symbol(diagram.membrane)} of the fixed points", fontsize=8)
    return ax


def _plot_rhythm(rhythm: Amplitude, ax: Axes, colour: str, membrane: str) -> None:
    currents = rhythm.currents
    ax.plot(currents, rhythm.low, ".", color=colour, markersize=2.5)
    ax.plot(
        currents, rhythm.high, ".", color=colour, markersize=2.5,
        label=f"firing: lowest, highest {membrane}",
    )  # fmt: skip
    both = currents[rhythm.bistable]
    if len(both):
        step = (currents[1] - currents[0]) / 2
        ax.axvspan(both[0] - step, both[-1] + step, color=colour, alpha=0.12, linewidth=0)
