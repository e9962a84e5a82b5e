"""Phase portraits with the traces below them: the SRC, and the mSRC in its three types of excitability.

Currents and modulations are those of the thesis summary; the neuron is driven directly (the current is x) and starts at
rest: where it stays without input. What a panel's title says is read off the run that it shows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

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
PLANE: dict[str, Any] = {"x_range": (-1.1, 1.1), "y_range": (-1.15, 1.15)}


class Panel(NamedTuple):
    """One current.

    Attributes:
        portrait: The plane and the run in it.
        rest: The run from rest, where the portrait's starts while the neuron fires.
    """

    portrait: PhasePortrait
    rest: VoltageTrace | None = None


def panel(
    module: Any, current: float, start: Mapping[str, float] | None = None, **parameters: Any
) -> Panel:
    """One current, from rest or from `start`."""
    portrait = phase_portrait(
        module, current, num_steps=STEPS, start=start, resolution=17, **PLANE, **parameters
    )
    return Panel(portrait)


def src_panels() -> list[Panel]:
    """SRC with the published bias, b = -6, at I = 0, 0.85 and 3."""
    points = fixed_points(src, 0.0).states
    rest = {name: float(points[name][0]) for name in ("h", "h_s")}
    return [panel(src, current, rest) for current in (0.0, 0.85, 3.0)]


def msrc_panels(h_s0: float) -> list[Panel]:
    """The mSRC at the currents of the summary for its modulation.

    Args:
        h_s0: 1.5, 0.9 or 0.5. For 0.5 the last current is reached from firing.

    Returns:
        The panels.
    """
    currents = {1.5: (0.0, 5.0, 8.0), 0.9: (0.0, 2.15, 2.3), 0.5: (0.0, 3.0, 3.6)}[h_s0]
    panels = [panel(msrc, current, h_s0=h_s0) for current in currents]
    if h_s0 == 0.5:
        run = panels[-1].portrait.trajectory
        fired = int(run.time[run.spikes][-1])
        firing = {name: float(values[fired]) for name, values in run.states.items()}
        rest = voltage_trace(msrc, 2.5, num_steps=STEPS, h_s0=h_s0)
        panels.append(panel(msrc, 2.5, firing, h_s0=h_s0)._replace(rest=rest))
    return panels


def draw(panels: list[Panel], message: str, *, colour: str) -> Any:
    """Portraits above, traces below.

    Args:
        panels: One for each current.
        message: What the figure says.
        colour: Of the runs.

    Returns:
        A matplotlib figure.
    """
    from matplotlib.lines import Line2D

    figure, axes = style.grid(
        2, len(panels), size=(2.35, 2.3), height_ratios=[2.2, 1], sharey="row"
    )
    for (above, below), found in zip(axes.T, panels, strict=True):
        portrait = found.portrait
        plot_phase_portrait(portrait, above, colour=colour)
        above.set_title(_title(found), fontsize=9)
        if found.rest is not None:
            plot_voltage_trace(found.rest, below, colour=style.GREY)
            below.lines[-1].set_linestyle("--")
            below.set_title("dashed: from rest", fontsize=7, loc="right", pad=1)
        plot_voltage_trace(portrait.trajectory, below, colour=colour)
        below.set_ylim(-1.25, 1.25)
        below.set_xlim(0, STEPS)
    for ax in axes[:, 1:].flat:
        ax.set_ylabel("")
    dot: dict[str, Any] = {"marker": "o", "linestyle": "none", "color": "black", "markersize": 6}
    marks = {
        "stable": Line2D([], [], label="stable fixed point", **dot),
        "saddle": Line2D(
            [], [], label="saddle", fillstyle="left", markerfacecoloralt="white", **dot
        ),
        "unstable": Line2D([], [], label="unstable fixed point", markerfacecolor="white", **dot),
    }
    met = {kind.split()[0] for found in panels for kind in found.portrait.fixed_points.kinds}
    handles = [
        *axes[0, 0].get_legend_handles_labels()[0],
        *(mark for kind, mark in marks.items() if kind in met),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, fontsize=7, frameon=False)
    figure.suptitle(message, fontsize=10)
    return figure


def _title(found: Panel) -> str:
    run = found.portrait.trajectory
    fired = run.time[run.spikes]
    fires = (fired > STEPS / 2).sum() > 1
    name = "from rest" if found.rest is None else "after firing"
    if not len(fired):
        said = "silent"
    elif found.rest is not None:
        said = "fires on" if fires else "falls silent"
    else:
        said = f"first spike at step {fired[0]}" if fires else f"{len(fired)} spike, then silent"
    return f"I = {found.portrait.fixed_points.current:g}, {name}:\n{said}"


def src_portraits(options: Options) -> Any:
    """SRC (b = -6) at I = 0, 0.85, 3: rest, a damped rhythm, firing."""
    message = "SRC: the current moves the fixed point until it loses its stability (b = -6)"
    return draw(src_panels(), message, colour=style.SKY)


def type_2_portraits(options: Options) -> Any:
    """The mSRC at h_s0 = 1.5: I = 0, 5, 8. One fixed point; firing begins when it loses its stability."""
    return draw(
        msrc_panels(1.5),
        "mSRC, type 2 ($h_{s0}$ = 1.5): the only fixed point turns unstable",
        colour=style.colour_of(1.5),
    )


def type_1_portraits(options: Options) -> Any:
    """The mSRC at h_s0 = 0.9: I = 0, 2.15, 2.3. The nullclines all but touch, and firing begins slowly."""
    return draw(
        msrc_panels(0.9),
        "mSRC, type 1 ($h_{s0}$ = 0.9): the run passes slowly where the nullclines all but touch",
        colour=style.colour_of(0.9),
    )


def type_2_star_portraits(options: Options) -> Any:
    """The mSRC at h_s0 = 0.5: I = 0, 3, 3.6, then 2.5. Rest and a rhythm above it exist side by side."""
    return draw(
        msrc_panels(0.5),
        "mSRC, type 2* ($h_{s0}$ = 0.5): rest vanishes late, and firing goes on below its onset",
        colour=style.colour_of(0.5),
    )
