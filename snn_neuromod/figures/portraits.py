"""Phase portraits above one run through their currents: the SRC, and the mSRC in its three types of excitability.

Currents and modulations are those of the thesis summary; the neuron is driven directly (the current is x) and starts at
rest: where it stays without input. The current steps from one value to the next, and each portrait shows the part
of the run under its current. What a panel's title says is read off that part.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from snn_neuromod.analysis import (
    PhasePortrait,
    VoltageTrace,
    fixed_points,
    phase_portrait,
    plot_phase_portrait,
    plot_voltage_trace,
    voltage_trace,
)
from snn_neuromod.dynamics import msrc, src
from snn_neuromod.figures import style
from snn_neuromod.figures.registry import Options

STEPS = 200
"""For which each current is held."""
PLANE: dict[str, Any] = {"x_range": (-1.1, 1.1), "y_range": (-1.15, 1.15)}
CURRENTS = {1.5: (0.0, 5.0, 8.0), 0.9: (0.0, 2.15, 2.3), 0.5: (0.0, 3.0, 3.6, 2.5)}
"""Modulation -> currents of the summary, one after the other."""


class Run(NamedTuple):
    """A run through several currents.

    Attributes:
        portraits: The plane at each current, with the part of the run under it.
        trace: The whole run.
        from_rest: The run at the last current from rest, where it differs: it is silent and the other fires.
    """

    portraits: list[PhasePortrait]
    trace: VoltageTrace
    from_rest: VoltageTrace | None


def run(module: Any, currents: tuple[float, ...], **parameters: Any) -> Run:
    """Hold one current after the other.

    Args:
        module: Dynamics module of the neuron.
        currents: The currents.
        **parameters: Parameters of the neuron.

    Returns:
        The run and its portraits.
    """
    points = fixed_points(module, currents[0], **parameters).states
    begin = {name: float(points[name][0]) for name in ("h", "h_s")}
    trace = voltage_trace(module, np.repeat(currents, STEPS), start=begin, **parameters)
    portraits = []
    for k, current in enumerate(currents):
        if k:
            begin = {name: float(values[k * STEPS - 1]) for name, values in trace.states.items()}
        portraits.append(
            phase_portrait(
                module, current, num_steps=STEPS, start=begin, resolution=17, **PLANE, **parameters
            )
        )
    rest = voltage_trace(module, currents[-1], num_steps=STEPS, **parameters)
    fires = portraits[-1].trajectory.spikes[STEPS // 2 :].any()
    return Run(portraits, trace, rest if fires and not rest.spikes.any() else None)


def draw(found: Run, message: str, *, colour: str) -> Any:
    """Portraits above, the run below.

    Args:
        found: The run.
        message: What the figure says.
        colour: Of the run.

    Returns:
        A matplotlib figure.
    """
    from matplotlib.figure import Figure

    count = len(found.portraits)
    figure = Figure(figsize=(2.5 * count, 4.8), layout="constrained")
    cells = figure.add_gridspec(2, count, height_ratios=[2.2, 1])
    first = figure.add_subplot(cells[0, 0])
    planes = [
        first,
        *(figure.add_subplot(cells[0, k], sharey=first) for k in range(1, count)),
    ]
    below = figure.add_subplot(cells[1, :])
    style.letter([*planes, below])
    for ax, portrait in zip(planes, found.portraits, strict=True):
        plot_phase_portrait(portrait, ax, colour=colour)
        ax.set_title(_title(portrait), fontsize=9)
    for ax in planes[1:]:
        ax.set_ylabel("")
    _draw_run(found, below, colour)
    figure.legend(
        handles=_legend(found, first),
        loc="outside lower center",
        ncols=6,
        fontsize=7,
        frameon=False,
    )
    figure.suptitle(message, fontsize=10)
    return figure


def _draw_run(found: Run, ax: Any, colour: str) -> None:
    plot_voltage_trace(found.trace, ax, colour=colour)
    end = len(found.trace.time)
    for k, portrait in enumerate(found.portraits):
        current = portrait.fixed_points.current
        ax.text((k + 0.5) * STEPS, 1.15, f"I = {current:g}", ha="center", fontsize=8)
        if k:
            ax.axvline(k * STEPS, color=style.GREY, linewidth=0.6, zorder=0)
    if found.from_rest is not None:
        ax.plot(
            end - STEPS + found.from_rest.time, found.from_rest.membrane, "--", color=style.GREY,
            linewidth=0.9, zorder=1,
        )  # fmt: skip
        ax.text(end, -1.08, "dashed: from rest", ha="right", va="top", fontsize=7)
    ax.set_ylim(-1.6, 1.45)
    ax.set_xlim(0, end)


def _legend(found: Run, ax: Any) -> list[Any]:
    from matplotlib.lines import Line2D

    dot: dict[str, Any] = {"marker": "o", "linestyle": "none", "color": "black", "markersize": 6}
    marks = {
        "stable": Line2D([], [], label="stable fixed point", **dot),
        "saddle": Line2D(
            [], [], label="saddle", fillstyle="left", markerfacecoloralt="white", **dot
        ),
        "unstable": Line2D([], [], label="unstable fixed point", markerfacecolor="white", **dot),
    }
    met = {kind.split()[0] for portrait in found.portraits for kind in portrait.fixed_points.kinds}
    lines: list[Any] = ax.get_legend_handles_labels()[0]
    return [*lines, *(mark for kind, mark in marks.items() if kind in met)]


def _title(portrait: PhasePortrait) -> str:
    run = portrait.trajectory
    fired = run.time[run.spikes]
    if not len(fired):
        said = "silent"
    elif (fired > STEPS / 2).sum() > 1:
        said = f"fires, first after {fired[0] + 1} step{'s' * bool(fired[0])}"
    else:
        said = f"{len(fired)} spike, then silent"
    return f"I = {portrait.fixed_points.current:g}:\n{said}"


def src_portraits(options: Options) -> Any:
    """SRC (b = -6) at I = 0, 0.85, 3: rest, a damped rhythm, firing."""
    message = "SRC: the current moves the fixed point until it loses its stability (b = -6)"
    return draw(run(src, (0.0, 0.85, 3.0)), message, colour=style.SKY)


def type_2_portraits(options: Options) -> Any:
    """The mSRC at h_s0 = 1.5: I = 0, 5, 8. One fixed point; firing begins when it loses its stability."""
    return draw(
        run(msrc, CURRENTS[1.5], h_s0=1.5),
        "mSRC, type 2 ($h_{s0}$ = 1.5): the only fixed point turns unstable",
        colour=style.colour_of(1.5),
    )


def type_1_portraits(options: Options) -> Any:
    """The mSRC at h_s0 = 0.9: I = 0, 2.15, 2.3. The nullclines all but touch, and firing begins slowly."""
    return draw(
        run(msrc, CURRENTS[0.9], h_s0=0.9),
        "mSRC, type 1 ($h_{s0}$ = 0.9): the run passes slowly where the nullclines all but touch",
        colour=style.colour_of(0.9),
    )


def type_2_star_portraits(options: Options) -> Any:
    """The mSRC at h_s0 = 0.5: I = 0, 3, 3.6, 2.5 in one run. Rest and a rhythm above it exist side by side."""
    return draw(
        run(msrc, CURRENTS[0.5], h_s0=0.5),
        "mSRC, type 2* ($h_{s0}$ = 0.5): rest vanishes late, and firing goes on below its onset",
        colour=style.colour_of(0.5),
    )
