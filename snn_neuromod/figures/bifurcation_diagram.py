"""Bifurcation diagrams of the three types: fixed points over the current, and how far firing reaches."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from snn_neuromod.analysis import (
    Amplitude,
    Bifurcation,
    amplitude,
    bifurcation,
    plot_bifurcation,
)
from snn_neuromod.dynamics import msrc
from snn_neuromod.figures import style
from snn_neuromod.figures.registry import Options

SPANS = {1.5: (2.0, 8.0), 0.9: (1.0, 4.0), 0.5: (1.0, 5.0)}
"""Modulation -> currents shown."""
CURRENTS = 81
STEPS = 600


class Found(NamedTuple):
    """What the figure shows, by modulation.

    Attributes:
        diagrams: Fixed points and their bifurcations.
        firing: The rhythm, from rest and from firing.
    """

    diagrams: dict[float, Bifurcation]
    firing: dict[float, Amplitude]


def compute() -> Found:
    """Continuation of the fixed points, simulation of the rhythm."""
    diagrams = {h: bifurcation(msrc, span, h_s0=h) for h, span in SPANS.items()}
    firing = {
        h: amplitude(msrc, np.linspace(*span, CURRENTS), num_steps=STEPS, h_s0=h)
        for h, span in SPANS.items()
    }
    return Found(diagrams, firing)


def draw(found: Found) -> Any:
    """Draw what `compute` found.

    Returns:
        A matplotlib figure.
    """
    figure, axes = style.grid(1, len(found.diagrams), size=(2.6, 2.9), sharey=True)
    for ax, (h_s0, diagram) in zip(axes[0], found.diagrams.items(), strict=True):
        colour = style.colour_of(h_s0)
        firing = found.firing[h_s0]
        both = firing.currents[firing.bistable]
        if len(both):
            ax.text(both.mean(), 0.5, "silent or\nfiring", ha="center", fontsize=7)
        plot_bifurcation(diagram, ax, rhythm=firing, rhythm_colour=colour)
        ax.plot([], [], color="black", linewidth=1, label="stable fixed point")
        ax.plot([], [], "--", color="black", linewidth=1, label="unstable fixed point")
        ax.set_xlabel("current $I$", fontsize=8)
        ax.set_title(f"{style.MODULATIONS[h_s0]} ($h_{{s0}}$ = {h_s0:g})", fontsize=9)
    style.label(axes[0, 0], "membrane $h$")
    for ax in axes[0, 1:]:
        ax.set_ylabel("")
    named: dict[str, Any] = {}
    for ax, kind in zip(axes[0], style.MODULATIONS.values(), strict=True):
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
            named[f"{kind} {label}" if label.startswith("firing") else label] = handle
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
