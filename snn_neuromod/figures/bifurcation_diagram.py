"""Bifurcation diagrams of the three types: fixed points over the current, and how far firing reaches."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from snn_neuromod.analysis import Bifurcation, bifurcation, plot_bifurcation, voltage_trace
from snn_neuromod.dynamics import msrc
from snn_neuromod.figures import style
from snn_neuromod.figures.registry import Options

SPANS = {1.5: (2.0, 8.0), 0.9: (1.0, 4.0), 0.5: (1.0, 5.0)}
"""Modulation -> currents shown."""
CURRENTS = 81
STEPS = 600


class Firing(NamedTuple):
    """How far the membrane reaches while the neuron fires, over the current.

    Attributes:
        currents: (K,).
        low: Lowest membrane, (K,), NaN where the neuron is silent.
        high: Highest membrane, likewise.
        from_rest: True where it also fires from rest, (K,).
    """

    currents: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    from_rest: NDArray[np.bool_]


class Found(NamedTuple):
    """What the figure shows, by modulation.

    Attributes:
        diagrams: Fixed points and their bifurcations.
        firing: The rhythm, started from firing at the highest current.
    """

    diagrams: dict[float, Bifurcation]
    firing: dict[float, Firing]


def compute() -> Found:
    """Continuation of the fixed points, simulation of the rhythm."""
    diagrams = {h: bifurcation(msrc, span, h_s0=h) for h, span in SPANS.items()}
    return Found(diagrams, {h: rhythm(h, span) for h, span in SPANS.items()})


def rhythm(h_s0: float, span: tuple[float, float]) -> Firing:
    """Runs that begin while the neuron fires, and runs that begin at rest."""
    currents = np.linspace(*span, CURRENTS)
    lead = voltage_trace(msrc, span[1], num_steps=STEPS, h_s0=h_s0)
    last = np.flatnonzero(lead.spikes)[-1]
    begin = {name: values[last] for name, values in lead.states.items()}
    firing, rest = (
        voltage_trace(msrc, currents[None], num_steps=STEPS, start=start, h_s0=h_s0)
        for start in (begin, None)
    )
    settled = slice(STEPS // 2, None)
    fires = firing.spikes[settled].sum(0) > 1
    tail = firing.membrane[settled]
    low, high = (np.where(fires, edge, np.nan) for edge in (tail.min(0), tail.max(0)))
    return Firing(currents, low, high, rest.spikes[settled].sum(0) > 1)


def draw(found: Found) -> Any:
    """Draw what `compute` found.

    Returns:
        A matplotlib figure.
    """
    figure, axes = style.grid(1, len(found.diagrams), size=(2.6, 2.9), sharey=True)
    for ax, (h_s0, diagram) in zip(axes[0], found.diagrams.items(), strict=True):
        colour = style.colour_of(h_s0)
        firing = found.firing[h_s0]
        both = np.isfinite(firing.high) & ~firing.from_rest
        if both.any():
            step = firing.currents[1] - firing.currents[0]
            edges = firing.currents[both].min() - step / 2, firing.currents[both].max() + step / 2
            ax.axvspan(*edges, color=colour, alpha=0.12, linewidth=0)
            ax.text(np.mean(edges), 0.5, "silent or\nfiring", ha="center", fontsize=7)
        for edge in (firing.low, firing.high):
            ax.plot(firing.currents, edge, ".", color=colour, markersize=2.5)
        ax.plot(
            [], [], ".", color=colour, label=f"{style.MODULATIONS[h_s0]} firing: lowest, highest h"
        )
        plot_bifurcation(diagram, ax)
        ax.plot([], [], color="black", linewidth=1, label="stable fixed point")
        ax.plot([], [], "--", color="black", linewidth=1, label="unstable fixed point")
        ax.set_xlabel("current I", fontsize=8)
        ax.set_title(f"{style.MODULATIONS[h_s0]} ($h_{{s0}}$ = {h_s0:g})", fontsize=9)
    style.label(axes[0, 0], "membrane h")
    for ax in axes[0, 1:]:
        ax.set_ylabel("")
    named: dict[str, Any] = {}
    for ax in axes[0]:
        named.update(zip(*reversed(ax.get_legend_handles_labels()), strict=True))
    figure.legend(
        named.values(), named.keys(), loc="outside lower center", ncols=4, fontsize=7, frameon=False
    )
    figure.suptitle(
        "How rest is lost: by a rhythm (types 2, 1) or in a saddle-node (type 2*)", fontsize=10
    )
    return figure


def bifurcation_diagram(options: Options) -> Any:
    """Fixed points, bifurcations and firing over the current, for the three types."""
    return draw(compute())
