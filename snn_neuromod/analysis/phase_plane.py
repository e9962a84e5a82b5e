"""Phase portrait of a neuron: how far one step moves its membrane and its slow variable, from everywhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from snn_neuromod import _palette as palette
from snn_neuromod.analysis.equilibria import FixedPoints, fixed_points, plot_fixed_points
from snn_neuromod.analysis.simulation import prepared
from snn_neuromod.analysis.source import Source, Value
from snn_neuromod.analysis.step_map import Array, StepMap, jacobian, step_map
from snn_neuromod.analysis.trace import VoltageTrace, voltage_trace
from snn_neuromod.errors import ConfigError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LINES = 161
"""Lines of the grid on which nullclines are looked for, in each direction."""


class PhasePortrait(NamedTuple):
    """The plane of two state variables, membrane across and slow variable up, under a constant input.

    Attributes:
        names: The two variables.
        x: Membrane, (X,).
        y: Slow variable, (Y,).
        dx: Displacement of the membrane by one step, (Y, X).
        dy: Displacement of the slow variable by one step, (Y, X).
        x_nullcline: Where the membrane stays, as line segments (K, end, coordinate).
        y_nullcline: Where the slow variable stays, likewise.
        fixed_points: All of them, with their stability.
        trajectory: The run from `start`, of all state variables.
        start: Where it starts, (2,).
        frozen: State variables that are not on the axes, with the values that they have in the plane.
    """

    names: tuple[str, str]
    x: Array
    y: Array
    dx: Array
    dy: Array
    x_nullcline: Array
    y_nullcline: Array
    fixed_points: FixedPoints
    trajectory: VoltageTrace
    start: Array
    frozen: dict[str, float]


def phase_portrait(
    source: Source,
    current: float,
    *,
    x_range: tuple[float, float] | None = None,
    y_range: tuple[float, float] | None = None,
    resolution: int = 21,
    num_steps: int = 500,
    start: Mapping[str, float] | None = None,
    frozen: Mapping[str, float] | None = None,
    slow: str | None = None,
    **parameters: Value,
) -> PhasePortrait:
    """Vector field, nullclines, fixed points and a trajectory.

    A plane has two variables. The others have one value all over it, which the result states: what `frozen` says; else
    where they come to rest if they only depend on themselves and the input, as a synapse does; else their value at the
    start. Fixed points are those of the whole neuron, except that variables with a memory of their own are held where
    they are in the plane, such as the ultra-slow one of the BSRC; so they lie where the nullclines cross. The
    trajectory is the whole neuron's, nothing held.

    Args:
        source: The neuron, see `neuron`: a dynamics module, a layer, a neuron of your own.
        current: Constant input.
        x_range: Lowest and highest membrane; None: what trajectory and fixed points need, and a margin.
        y_range: Of the slow variable, likewise.
        resolution: Number of arrows in each direction, >= 2.
        num_steps: Length of the trajectory, >= 1.
        start: State variables that the trajectory starts with, in the place of rest.
        frozen: State variables off the plane, with their values.
        slow: State variable on the vertical axis; None: the neuron's own choice.
        **parameters: Parameters of the neuron, numbers.

    Returns:
        The portrait.

    Raises:
        ValueError: If a name is unknown, a range is empty, or the neuron is several or has one variable only.

    Examples:
        >>> from snn_neuromod.dynamics import msrc
        >>> portrait = phase_portrait(msrc, 2.3, h_s0=0.9)
        >>> portrait.names, portrait.fixed_points.kinds
        (('h', 'h_s'), ('unstable node',))
    """
    found = prepared(source, parameters)
    second = slow or found.slow
    if second is None:
        raise ConfigError(
            "phase_portrait: slow must name a second state variable, the neuron has none; draw a voltage_trace"
        )
    names = (found.membrane, second)
    if set(names) & set(frozen or {}):
        raise ConfigError(f"phase_portrait: frozen must leave {names} free, got {frozen}")
    if not resolution >= 2:
        raise ConfigError(f"phase_portrait: resolution must be >= 2, got {resolution}")
    whole = step_map(found, current=current, caller="phase_portrait")
    if second not in whole.names or second == found.membrane:
        raise ConfigError(
            f"phase_portrait: slow must be one of {', '.join(n for n in whole.names if n != names[0])}, got {second!r}"
        )
    others, held = _others(whole, names, float(current), frozen)
    trajectory = voltage_trace(
        found, float(current), num_steps=num_steps, start={**(frozen or {}), **(start or {})}
    )
    rest = dict(zip(whole.names, whole.rest.tolist(), strict=True))
    begin = np.array([float((start or {}).get(name, rest[name])) for name in names])
    points = fixed_points(found, current, frozen=held)
    seen = [
        np.concatenate([trajectory.states[name], points.states[name], begin[k : k + 1]])
        for k, name in enumerate(names)
    ]
    (x0, x1), (y0, y1) = (
        _range(given, values) for given, values in zip((x_range, y_range), seen, strict=True)
    )
    plane = step_map(found, current=current, frozen=others, caller="phase_portrait")

    def displacement(x: Array, y: Array) -> tuple[Array, Array]:
        at = np.empty((x.size, 2))
        i, j = plane.names.index(names[0]), plane.names.index(names[1])
        at[:, i], at[:, j] = x.ravel(), y.ravel()
        moved = plane.f(at, np.full(x.size, float(current))) - at
        return moved[:, i].reshape(x.shape), moved[:, j].reshape(x.shape)

    x, y = np.linspace(x0, x1, resolution), np.linspace(y0, y1, resolution)
    dx, dy = displacement(*np.meshgrid(x, y))
    lines = np.meshgrid(np.linspace(x0, x1, _LINES), np.linspace(y0, y1, _LINES))
    nullclines = [_zeros(*lines, lambda x, y, k=k: displacement(x, y)[k]) for k in (0, 1)]
    return PhasePortrait(
        names, x, y, dx, dy, nullclines[0], nullclines[1], points, trajectory, begin, others
    )  # fmt: skip


def plot_phase_portrait(
    portrait: PhasePortrait,
    ax: Axes | None = None,
    *,
    colour: str = palette.SKY,
    arrows: bool = True,
) -> Axes:
    """Draw a portrait: arrows of equal length, nullclines, iterates of the run and their direction, fixed points.

    Args:
        portrait: What `phase_portrait` found.
        ax: A matplotlib Axes; None: that of a new figure.
        colour: Of the trajectory.
        arrows: Draw the vector field; only directions are shown, as lengths differ by orders of magnitude.

    Returns:
        The Axes.
    """
    ax = palette.axes(ax)
    from matplotlib.collections import LineCollection

    x, y = portrait.names
    wide, high = np.ptp(portrait.x), np.ptp(portrait.y)
    if arrows:
        u, v = portrait.dx / wide, portrait.dy / high
        length = np.hypot(u, v)
        length[length == 0] = 1.0
        ax.quiver(
            portrait.x, portrait.y, u / length, v / length, color=palette.GREY, alpha=0.5,
            angles="uv", scale=1.2 * len(portrait.x), width=0.004, zorder=1,
        )  # fmt: skip
    for lines, shade, name in (
        (portrait.x_nullcline, palette.BLACK, x),
        (portrait.y_nullcline, palette.GREY, y),
    ):
        segments = LineCollection(
            list(lines), colors=shade, linewidths=1.3, capstyle="round", zorder=3
        )
        ax.add_collection(segments)
        ax.plot([], [], color=shade, linewidth=1.3, label=f"{palette.symbol(name)}-nullcline")
    run = np.stack(
        [
            np.append(portrait.start[k], portrait.trajectory.states[name])
            for k, name in enumerate((x, y))
        ]
    )
    ax.plot(*run, color=colour, linewidth=0.4, alpha=0.5, zorder=2)
    ax.plot(*run, ".", color=colour, markersize=2.5, zorder=2, label="iterates")
    _direction(ax, run / [[wide], [high]], run, colour)
    plot_fixed_points(portrait.fixed_points, ax, x=x, y=y)
    ax.set_xlim(portrait.x[0] - 0.02 * wide, portrait.x[-1] + 0.02 * wide)
    ax.set_ylim(portrait.y[0] - 0.02 * high, portrait.y[-1] + 0.02 * high)
    ax.set_xlabel(f"membrane {palette.symbol(x)}", fontsize=8)
    ax.set_ylabel(f"slow variable {palette.symbol(y)}", fontsize=8)
    return ax


def _direction(ax: Axes, scaled: Array, run: Array, colour: str) -> None:
    """Heads of arrows on four of a run's longer steps, in the direction of time."""
    moved = np.hypot(*np.diff(scaled))
    long = np.flatnonzero(moved > 0.02)
    for k in long[np.linspace(0, len(long) - 1, min(4, len(long))).astype(int)]:
        ax.annotate(
            "", tuple(run[:, k + 1]), tuple(run[:, k]), zorder=4,
            arrowprops={"arrowstyle": "-|>", "color": colour, "linewidth": 0.6, "mutation_scale": 7},
        )  # fmt: skip


def _others(
    whole: StepMap, names: tuple[str, str], current: float, frozen: Mapping[str, float] | None
) -> tuple[dict[str, float], dict[str, float]]:
    """Values of the variables off the plane, and those of them that fixed points must hold."""
    state, at = whole.rest[None].copy(), np.array([current])
    values, held = {}, dict(frozen or {})
    depends = np.abs(jacobian(whole, state, at)[0]) > 1e-9
    for k, name in enumerate(whole.names):
        if name in names or name in held:
            continue
        alone = not np.delete(depends[k], k).any()
        if alone and whole.smooth[k]:
            slope = jacobian(whole, state, at)[0, k, k]
            values[name] = float(whole.rest[k] + (whole.f(state, at) - state)[0, k] / (1 - slope))
        elif alone:
            values[name] = float(whole.f(state, at)[0, k])
        else:
            values[name] = float(whole.rest[k])
            if whole.smooth[k] and depends[k, k]:
                held[name] = values[name]
    return {**values, **held}, held


def _range(given: tuple[float, float] | None, values: Array) -> tuple[float, float]:
    if given is None:
        low, high = float(values.min()), float(values.max())
        margin = 0.1 * max(high - low, 1e-3 * max(1.0, abs(low)))
        return low - margin, high + margin
    if not (np.isfinite(given).all() and given[0] < given[1]):
        raise ConfigError(
            f"phase_portrait: x_range and y_range must be two finite numbers, low < high, got {given}"
        )
    return float(given[0]), float(given[1])


def _zeros(x: Array, y: Array, f: Any) -> Array:
    """Segments of the curve f(x, y) = 0 on a rectangular grid, their ends exact; (K, 2, 2)."""
    above = f(x, y) >= 0
    points: list[Array] = []
    edges: dict[tuple[int, ...], int] = {}
    for axis in (0, 1):  # edges upwards and to the right
        first = np.argwhere(np.diff(above, axis=axis))
        second = first + np.eye(2, dtype=int)[axis]
        low = np.stack([x[tuple(first.T)], y[tuple(first.T)]], 1)
        high = np.stack([x[tuple(second.T)], y[tuple(second.T)]], 1)
        positive = above[tuple(first.T)]
        for _ in range(45):
            middle = (low + high) / 2
            same = ((f(middle[:, 0], middle[:, 1]) >= 0) == positive)[:, None]
            low, high = np.where(same, middle, low), np.where(same, high, middle)
        for cell, point in zip(first.tolist(), (low + high) / 2, strict=True):
            key = (axis, *cell)
            edges[key] = len(points)
            points.append(point)
    segments = []
    corners = np.stack([above[:-1, :-1], above[1:, :-1], above[:-1, 1:], above[1:, 1:]])
    for i, j in np.argwhere(corners.any(0) & ~corners.all(0)).tolist():
        around = [(0, i, j), (1, i, j), (0, i, j + 1), (1, i + 1, j)]
        met = [points[edges[edge]] for edge in around if edge in edges]
        segments += [met[k : k + 2] for k in range(0, len(met) - 1, 2)]
    return np.array(segments).reshape(-1, 2, 2)
