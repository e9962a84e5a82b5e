"""Rate, delay and hysteresis over current and one parameter."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

import numpy as np
import torch
from numpy.typing import ArrayLike

from snn_neuromod import _palette as palette
from snn_neuromod.analysis.firing_rate import CURRENT, RATE
from snn_neuromod.analysis.latency import delay_of
from snn_neuromod.analysis.simulation import (
    CHUNK,
    Array,
    Batch,
    batch,
    check_steps,
    grid,
    prepared,
    swept,
)
from snn_neuromod.analysis.source import Source, Value
from snn_neuromod.errors import ConfigError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import QuadMesh

Measure = Literal["rate", "delay", "hysteresis"]
UNITS = {
    "rate": RATE,
    "delay": "delay of the first spike (steps)",
    "hysteresis": "rate kept once firing (spikes per step)",
}
"""What each measure is, with its unit."""


class Heatmap(NamedTuple):
    """One measure over current and a parameter.

    Attributes:
        currents: Currents in the neuron's unit, (I,).
        values: Values of the parameter, (V,).
        parameter: Its name.
        measure: Name of the measure, see `heatmap`.
        data: The measure, (V, I), in the unit that `UNITS` states.
    """

    currents: Array
    values: Array
    parameter: str
    measure: Measure
    data: Array


def heatmap(
    source: Source,
    currents: ArrayLike,
    *,
    parameter: str,
    values: ArrayLike,
    measure: Measure,
    num_steps: int = 1500,
    discard: int = 500,
    synapse: float | None = None,
    progress: bool = False,
    **parameters: Value,
) -> Heatmap:
    """One measure over current and any parameter of the neuron.

    - "rate": spikes per step in the long run, from rest.
    - "delay": step of the first spike from rest, counted from 0; NaN where none comes.
    - "hysteresis": rate that firing, once begun, goes on with where a neuron at rest stays silent, spikes per step; 0
      where the start makes no such difference, negative where only the start from rest fires. Firing has begun in the
      state to which the highest current has led from rest; from there the current jumps to each pixel's. An adiabatic
      way down, `hysteresis`, may follow firing further where a jump falls to rest; for the mSRC both give the same
      onsets to a grain of 0.02.

    All pixels are stepped together, in parts of whole rows.

    Args:
        source: The neuron, see `neuron`.
        currents: Currents, increasing, (I,), in the neuron's unit.
        parameter: Name of the parameter of the other axis.
        values: Its values, increasing, (V,).
        measure: What is mapped.
        num_steps: Steps over which spikes are counted, >= 1.
        discard: Steps before them, >= 0; the delay is sought in all `discard + num_steps`.
        synapse: Decay of an exponential synapse in front of the neuron, in [0, 1); None for none beyond its own. For
            the SRC family that is its parameter alpha.
        progress: Show how far it is, on standard error.
        **parameters: Further parameters to replace, numbers.

    Returns:
        The map; NaN in rates where the state left the finite numbers. Ctrl-C ends the computation with a warning and
        leaves NaN in the rows that were not reached.

    Raises:
        ValueError: If an argument is unknown, outside its range or of a wrong shape.

    Examples:
        >>> from snn_neuromod.dynamics import msrc
        >>> found = heatmap(msrc, [2.5, 3.6], parameter="h_s0", values=[0.5, 0.9], measure="hysteresis")
        >>> found.data > 0
        array([[ True, False],
               [False, False]])
    """
    return heatmaps(
        source,
        currents,
        parameter=parameter,
        values=values,
        measures=[measure],
        num_steps=num_steps,
        discard=discard,
        synapse=synapse,
        progress=progress,
        **parameters,
    )[measure]


def heatmaps(
    source: Source,
    currents: ArrayLike,
    *,
    parameter: str,
    values: ArrayLike,
    measures: Collection[Measure] = get_args(Measure),
    num_steps: int = 1500,
    discard: int = 500,
    synapse: float | None = None,
    progress: bool = False,
    **parameters: Value,
) -> dict[str, Heatmap]:
    """Several measures from one simulation; arguments as of `heatmap`.

    Returns:
        Measure -> its map.
    """
    check_steps("heatmap", num_steps, discard)
    unknown = [name for name in measures if name not in UNITS]
    if unknown or not measures:
        raise ConfigError(
            f"heatmap: measure must be among {', '.join(UNITS)}, got {', '.join(unknown)}"
        )
    columns = grid("heatmap", "currents", currents, increasing=True)
    rows = grid("heatmap", "values", values, increasing=True)
    if parameter in parameters:
        raise ConfigError(f"heatmap: parameter must not be given twice, got {parameter}")
    found = prepared(source, {**parameters, parameter: rows[:, None]}, synapse)
    neurons = batch(found, columns)
    shape = (len(rows), len(columns))
    if neurons.shape != shape:
        raise ConfigError(
            f"heatmap: parameters must be numbers besides {parameter}, got a grid of {neurons.shape}, not {shape}"
        )
    maps = {name: np.full(shape, np.nan) for name in measures}
    size = max(1, CHUNK // len(columns)) * len(columns)  # whole rows
    pieces = list(neurons.parts(size))
    steps = (1 + ("hysteresis" in measures)) * (discard + num_steps)
    label = f"heatmap {shape[0]} x {shape[1]}"

    def measure(piece: Batch, tick: Any) -> dict[str, Array]:
        return _measured(piece, len(columns), measures, num_steps, discard, tick)

    for where, measured in swept("heatmap", label, pieces, steps, measure, progress=progress):
        for name in measures:
            maps[name].reshape(-1)[where] = measured[name]
    return {name: Heatmap(columns, rows, parameter, name, maps[name]) for name in measures}


def _measured(
    piece: Batch,
    columns: int,
    measures: Collection[Measure],
    num_steps: int,
    discard: int,
    tick: Any,
) -> dict[str, Array]:
    """The measures of some rows."""
    resting = piece.run(num_steps, discard=discard, tick=tick)
    found = {
        "rate": resting.rate.numpy(),
        "delay": delay_of(resting.first, discard + num_steps),
    }
    if "hysteresis" not in measures:
        return found

    def highest(field: torch.Tensor) -> torch.Tensor:
        return field.reshape(-1, columns)[:, -1:].expand(-1, columns).flatten()

    spiking = type(resting.state)(*(highest(field) for field in resting.state))
    counted = piece._replace(state=spiking).run(num_steps, discard=discard, tick=tick)
    rate, kept = found["rate"], counted.rate.numpy()
    found["hysteresis"] = np.where((rate > 0) & (kept > 0), 0.0, kept - rate)
    return found


def plot_heatmap(
    found: Heatmap, ax: Axes | None = None, *, colour_map: str = "viridis", **options: Any
) -> QuadMesh:
    """Draw a map; NaN stays grey.

    Args:
        found: Result of `heatmap`.
        ax: A matplotlib Axes; None: that of a new figure.
        colour_map: Name of matplotlib's colour map.
        **options: Passed on to `pcolormesh`, such as `vmin`, `vmax`, `norm`.

    Returns:
        The mesh, for a colour bar.
    """
    ax = palette.axes(ax)
    ax.set_facecolor("0.85")
    mesh = ax.pcolormesh(
        found.currents,
        found.values,
        np.ma.masked_invalid(found.data),
        cmap=colour_map,
        shading="nearest",
        rasterized=True,
        **options,
    )
    ax.set_xlabel(CURRENT)
    ax.set_ylabel(palette.symbol(found.parameter))
    return mesh
