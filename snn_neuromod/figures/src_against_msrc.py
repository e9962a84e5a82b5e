"""SRC against mSRC: a straight slow feedback against a parabola that the modulation slides along."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from snn_neuromod.analysis import (
    PhasePortrait,
    neuron,
    phase_portrait,
    plot_phase_portrait,
    plot_voltage_trace,
)
from snn_neuromod.dynamics import msrc, src
from snn_neuromod.figures import style
from snn_neuromod.figures.registry import Options

CURRENTS = {1.5: 5.0, 0.9: 2.3, 0.5: 3.6}
"""Modulation -> a current at which the mSRC fires."""
SRC_CURRENT = 3.0
STEPS = 200
PLANE: dict[str, Any] = {"x_range": (-1.1, 1.1), "y_range": (-1.15, 1.15)}


class Found(NamedTuple):
    """What the figure shows.

    Attributes:
        h_s: Slow variable, (K,).
        straight: Slow feedback and bias of the SRC, (K,).
        parabolas: Slow feedback of the mSRC for each modulation, (K,).
        portraits: SRC, then the mSRC for each modulation.
    """

    h_s: NDArray[np.float64]
    straight: NDArray[np.float64]
    parabolas: dict[float, NDArray[np.float64]]
    portraits: list[PhasePortrait]


def compute() -> Found:
    """Feedback, nullclines and traces of both neurons."""
    h_s = np.linspace(-1, 1, 201)
    cell = neuron(src).params
    parabolas = {
        h_s0: np.asarray(msrc.slow_feedback(neuron(msrc, h_s0=h_s0).params, h_s))  # type: ignore[arg-type]
        for h_s0 in CURRENTS
    }
    runs: list[tuple[Any, float, dict[str, Any]]] = [(src, SRC_CURRENT, {})]
    runs += [(msrc, current, {"h_s0": h_s0}) for h_s0, current in CURRENTS.items()]
    return Found(
        h_s,
        cell.r_s * h_s + cell.b,
        parabolas,
        [phase_portrait(m, i, num_steps=STEPS, resolution=17, **PLANE, **p) for m, i, p in runs],
    )


def draw(found: Found) -> Any:
    """Draw what `compute` found.

    Returns:
        A matplotlib figure.
    """
    names = ["SRC", *(f"mSRC, $h_{{s0}}$ = {h_s0:g}" for h_s0 in found.parabolas)]
    colours = [style.SKY, *(style.colour_of(h_s0) for h_s0 in found.parabolas)]
    feedback = [found.straight, *found.parabolas.values()]
    figure, axes = style.grid(
        3, len(names), size=(2.1, 2.0), height_ratios=[1, 1.7, 1], sharey="row"
    )
    for k, (name, colour) in enumerate(zip(names, colours, strict=True)):
        top, plane, trace = axes[:, k]
        top.plot(found.h_s, feedback[k], color=colour, linewidth=1.8)
        top.axhline(0, color=style.PALE, linewidth=0.8, zorder=0)
        top.set_xlabel("slow variable $h_{s}$", fontsize=8)
        portrait = found.portraits[k]
        top.set_title(f"{name}\nat I = {portrait.fixed_points.current:g}", fontsize=9)
        plot_phase_portrait(portrait, plane, colour=colour)
        plot_voltage_trace(portrait.trajectory, trace, colour=colour)
        trace.set_xlim(0, STEPS)
        if k:
            for ax in (top, plane, trace):
                ax.set_ylabel("")
    style.label(axes[0, 0], "slow feedback\n(added to I)")
    figure.legend(
        handles=axes[1, 0].get_legend_handles_labels()[0][:2],
        loc="outside lower center", ncols=2, fontsize=7, frameon=False,
    )  # fmt: skip
    figure.suptitle(
        "The SRC's slow feedback is a line, the mSRC's a parabola that the modulation slides",
        fontsize=10,
    )
    return figure


def src_against_msrc(options: Options) -> Any:
    """SRC and mSRC side by side: slow feedback, nullclines, traces."""
    return draw(compute())
