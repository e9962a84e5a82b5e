r"""Rate, delay and hysteresis of the mSRC over current and modulation, without and with a synapse.

Figures 4 and 8 of the thesis summary (Bernard 2023): what one parameter, $h_{s0}$, does to a neuron that a constant
current drives from rest.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from snn_neuromod import analysis
from snn_neuromod.dynamics import msrc
from snn_neuromod.figures import style
from snn_neuromod.figures.registry import Options

CURRENTS, VALUES = 201, 141
"""Pixels along each axis."""
STEPS, DISCARD = 1000, 500
SYNAPSE = 0.5


def compute(synapse: float | None = None) -> dict[str, analysis.Heatmap]:
    """The three maps; with a synapse over half the currents, which act twice in the long run.

    Args:
        synapse: Decay of the synapse; None for none.

    Returns:
        Measure -> map.
    """
    highest = 8.0 * (1 - (synapse or 0.0))
    return analysis.heatmaps(
        msrc,
        np.linspace(0.0, highest, CURRENTS),
        parameter="h_s0",
        values=np.linspace(0.3, 1.7, VALUES),
        num_steps=STEPS,
        discard=DISCARD,
        synapse=synapse,
    )


def draw(maps: dict[str, analysis.Heatmap], title: str) -> Any:
    """Draw the maps side by side.

    Args:
        maps: Result of `compute`.
        title: What the figure shows.

    Returns:
        A matplotlib figure.
    """
    from matplotlib.colors import LogNorm

    figure, axes = style.grid(1, 3, size=(3.0, 3.3), sharey=True)
    panels: dict[str, tuple[str, str, dict[str, Any]]] = {
        "rate": ("firing rate", "spikes per step", {"vmin": 0.0}),
        "delay": ("time to the first spike", "steps", {"norm": LogNorm(1.0, 1000.0)}),
        "hysteresis": ("rate kept where rest is silent", "spikes per step", {"vmin": 0.0}),
    }
    for ax, (measure, (name, unit, options)) in zip(axes[0], panels.items(), strict=True):
        found = maps[measure]
        data = found.data + 1 if measure == "delay" else found.data  # counted from 0
        shown = found._replace(data=np.where(data == 0, np.nan, data))
        mesh = analysis.plot_heatmap(shown, ax, **options)
        bar = figure.colorbar(mesh, ax=ax, location="bottom", aspect=30, pad=0.02)
        bar.set_label(f"{name} ({unit})", fontsize=8)
        bar.ax.tick_params(labelsize=7)
        ax.set_xlabel("current $I$ (dimensionless)", fontsize=8)
        ax.set_ylabel("")
        for h_s0, kind in style.MODULATIONS.items():
            ax.axhline(h_s0, color=style.TYPES[kind], linewidth=1.2, linestyle="--")
    style.label(axes[0, 0], "modulation $h_{s0}$ (dimensionless)")
    for h_s0, kind in style.MODULATIONS.items():
        axes[0, 0].annotate(
            kind, (0.02, h_s0 + 0.015), xycoords=("axes fraction", "data"), fontsize=8
        )
    axes[0, 0].annotate("silent", (0.1, 0.68), xycoords="axes fraction", fontsize=8, color="0.35")
    figure.suptitle(title, fontsize=10)
    return figure


def modulation_maps(options: Options) -> Any:
    """The maps of a neuron that the current drives directly."""
    return draw(
        compute(),
        "The modulation of an mSRC sets where firing begins, how late, and whether it outlasts its cause",
    )


def modulation_maps_synapse(options: Options) -> Any:
    """The maps behind an exponential synapse."""
    return draw(
        compute(SYNAPSE),
        rf"Behind a synapse ($\alpha$ = {SYNAPSE}) the mSRC keeps its types: a constant current acts twice, "
        "the first spike comes a few steps later",
    )
