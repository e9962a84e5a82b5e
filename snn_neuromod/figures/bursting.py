r"""Bursts of the BSRC: one cell without input, and where cells burst over drive, modulation and offset.

Figure 9 of the thesis summary (Bernard 2023) and its surroundings. The form of the ultra-slow feedback, and the offset
$h_{u0}$ in it, are a RECONSTRUCTION of this package, see `snn_neuromod.dynamics.bsrc`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from snn_neuromod import analysis
from snn_neuromod.analysis.bsrc_bounds import bsrc_offset_bounds
from snn_neuromod.dynamics import bsrc
from snn_neuromod.figures import style
from snn_neuromod.figures.registry import Options

TRACE_STEPS = 2600
SYNAPSE = 0.5
OFFSETS = (0.0, 0.5, 0.55, 0.6, 0.65)
PIXELS = 33
MAP_STEPS, MAP_DISCARD = 9000, 3000
BOUNDS_AT = np.arange(0.3, 0.89, 0.04)
KINDS = ("silent", "tonic", "bursting")


def bursting(options: Options) -> Any:
    """Membrane, ultra-slow variable and intervals of a cell without input."""
    trace = analysis.voltage_trace(bsrc, 0.0, num_steps=TRACE_STEPS, alpha=SYNAPSE, h_s0=0.7)
    found = analysis.bursts(bsrc, 0.0, alpha=SYNAPSE, h_s0=0.7, discard=2500)
    return draw_trace(trace, found)


def draw_trace(trace: Any, found: analysis.Bursts) -> Any:
    """Draw a bursting cell.

    Args:
        trace: Its voltage trace.
        found: Its statistics.

    Returns:
        A matplotlib figure.
    """
    figure, (membrane, slow, gaps) = style.panels(3, heights=[1.3, 0.9, 1.2])
    colour = style.TYPES["bursting"]
    membrane.plot(trace.time, trace.membrane, color=colour, linewidth=0.6)
    style.label(membrane, "membrane $h$")
    slow.plot(trace.time, trace.states["h_u"], color=style.GREEN, linewidth=1.2)
    style.label(slow, "ultra-slow $h_u$")
    times = trace.time[trace.spikes]
    gaps.semilogy(times[1:], np.diff(times), ".", color=colour, markersize=4)
    style.label(gaps, "interval to the\nspike before (steps)")
    gaps.set_xlabel("time (steps)", fontsize=8)
    gaps.set_ylim(10, 1000)
    for level, at, words in ((found.interval, 0.5, "within a burst"), (found.pause, 1.15, "pause")):
        gaps.axhline(float(level), color=style.GREY, linewidth=0.7, linestyle=":")
        gaps.annotate(
            f"{words}: {float(level):.0f} steps on average",
            (1.0, float(level) * at),
            xycoords=("axes fraction", "data"),
            ha="right",
            fontsize=7,
        )
    membrane.set_title(
        f"Without input the BSRC bursts: {float(found.spikes_per_burst):.0f} spikes every "
        f"{float(found.period):.0f} steps, while $h_u$ goes up and down",
        fontsize=9,
    )
    return figure


class Maps(NamedTuple):
    """Firing patterns over drive, modulation and offset.

    Attributes:
        x: Drives, (X,).
        h_s0: Modulations, (S,).
        kind: Patterns at the offsets `OFFSETS`, (offset, S, X).
        h_u0: Offsets, (U,).
        without_input: Patterns at x = 0, (U, S).
        bounds_at: Modulations at which the bounds are computed.
        bounds: Lower and upper bound of the offset at x = 0, (2, modulation).
    """

    x: NDArray[np.float64]
    h_s0: NDArray[np.float64]
    kind: NDArray[Any]
    h_u0: NDArray[np.float64]
    without_input: NDArray[Any]
    bounds_at: NDArray[np.float64]
    bounds: NDArray[np.float64]


def compute_maps() -> Maps:
    """Patterns over a grid of drives, modulations and offsets, and the bounds."""
    x, h_s0 = np.linspace(-1.0, 1.0, PIXELS), np.linspace(0.3, 1.3, PIXELS)
    h_u0 = np.linspace(0.3, 0.75, PIXELS + 5)
    steps: dict[str, Any] = {"num_steps": MAP_STEPS, "discard": MAP_DISCARD}
    offsets = np.array(OFFSETS)[:, None, None]
    return Maps(
        x,
        h_s0,
        analysis.bursts(bsrc, x, h_s0=h_s0[:, None], h_u0=offsets, **steps).kind,
        h_u0,
        analysis.bursts(bsrc, 0.0, h_s0=h_s0, h_u0=h_u0[:, None], **steps).kind,
        BOUNDS_AT,
        np.array([bsrc_offset_bounds(h_s0=value) for value in BOUNDS_AT]).T,
    )


def draw_maps(maps: Maps) -> Any:
    """Draw the maps, one for each offset and one without input.

    Args:
        maps: Result of `compute_maps`.

    Returns:
        A matplotlib figure.
    """
    from matplotlib.colors import ListedColormap
    from matplotlib.patches import Patch

    colours = ListedColormap([style.TYPES[kind] for kind in KINDS])
    figure, axes = style.grid(2, 3, size=(2.7, 2.6))
    options = {"cmap": colours, "vmin": -0.5, "vmax": 2.5, "shading": "nearest", "rasterized": True}
    *rest, last = axes.flat
    for ax, offset, kind in zip(rest, OFFSETS, maps.kind, strict=True):
        ax.pcolormesh(maps.x, maps.h_s0, _codes(kind), **options)
        share = (kind == "bursting").mean()
        ax.set_title(f"$h_{{u0}}$ = {offset:g}: {100 * share:.0f} % bursting", fontsize=9)
        ax.set_xlabel("drive $x$ (dimensionless)", fontsize=8)
        style.label(ax, "modulation $h_{s0}$")
    axes[0, 2].plot(0, 0.7, "*", color="black", markersize=8)
    last.pcolormesh(maps.h_s0, maps.h_u0, _codes(maps.without_input), **options)
    for bound, line, name in zip(
        maps.bounds, ("--", "-"), ("fires on below", "silent above"), strict=True
    ):
        last.plot(maps.bounds_at, bound, line, color="black", linewidth=1.3, label=name)
    last.plot(0.7, 0.55, "*", color="black", markersize=8, label="default")
    last.set_title("no input, $x$ = 0; lines: bounds", fontsize=9)
    last.set_xlabel("modulation $h_{s0}$ (dimensionless)", fontsize=8)
    style.label(last, "offset $h_{u0}$")
    last.set_ylim(maps.h_u0[0], maps.h_u0[-1])
    last.legend(fontsize=6.5, loc="lower right")
    figure.legend(
        handles=[Patch(color=style.TYPES[kind], label=kind) for kind in KINDS],
        loc="outside lower center",
        ncols=3,
        fontsize=8,
        frameon=False,
    )
    figure.suptitle(
        "The BSRC bursts only where an offset of its ultra-slow feedback (a reconstruction) lets it",
        fontsize=10,
    )
    return figure


def _codes(kind: NDArray[Any]) -> NDArray[np.float64]:
    return np.select([kind == name for name in KINDS], [0.0, 1.0, 2.0], np.nan)


def bursting_map(options: Options) -> Any:
    """Where the BSRC bursts."""
    return draw_maps(compute_maps())
