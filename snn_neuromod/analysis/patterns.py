"""Firing patterns: silent, tonic or bursting, and the statistics of bursts."""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snn_neuromod.analysis.simulation import (
    CHUNK,
    Array,
    Batch,
    Run,
    batch,
    check_steps,
    grid,
    prepared,
    swept,
)
from snn_neuromod.analysis.source import Source, Value
from snn_neuromod.errors import ConfigError

CONTRAST = 2.5
"""A pause is that many times as long as the longest interval within a burst, or longer."""
_RASTER = 2**26
"""Elements of a raster that are kept at once."""


class Bursts(NamedTuple):
    """Firing patterns; every array has the common shape of currents and parameters.

    Attributes:
        kind: "silent", "tonic" or "bursting"; "" where it was not computed, or the state is NaN.
        rate: Spikes per step; NaN there.
        spikes_per_burst: Mean over the complete bursts; NaN without bursts, as all that follow but `interval`.
        interval: Mean interval within complete bursts, steps; between all spikes where firing is tonic.
        pause: Mean interval between bursts, steps: last spike to first spike.
        period: Mean time from the first spike of a burst to that of the next, steps.
    """

    kind: NDArray[Any]
    rate: Array
    spikes_per_burst: Array
    interval: Array
    pause: Array
    period: Array


def bursts(
    source: Source,
    currents: ArrayLike,
    *,
    num_steps: int = 8000,
    discard: int = 2000,
    contrast: float = CONTRAST,
    synapse: float | None = None,
    progress: bool = False,
    **parameters: Value,
) -> Bursts:
    """Classify the firing at constant currents from rest, and measure its bursts.

    The intervals between spikes are put in order; where two neighbours differ by a factor of `contrast` at least (the
    largest such step), the longer ones are pauses. A neuron is bursting if it has two pauses or more, so that at least
    one burst is complete, and bursts of two spikes or more on average.

    Args:
        source: The neuron, see `neuron`.
        currents: Currents, any shape, in the neuron's unit.
        num_steps: Steps that are looked at, >= 1; several periods.
        discard: Steps before them, >= 0.
        contrast: See above, > 1.
        synapse: Decay of an exponential synapse in front of the neuron, in [0, 1); None for none beyond its own.
        progress: Show how far it is, on standard error.
        **parameters: Parameters to replace: numbers, or arrays that broadcast against the currents.

    Returns:
        The patterns. Ctrl-C ends the computation with a warning and leaves NaN.

    Raises:
        ValueError: If an argument is outside its range or shapes do not fit.

    Examples:
        >>> from snn_neuromod.dynamics import bsrc
        >>> found = bursts(bsrc, [0.0, 1.0])
        >>> found.kind.tolist(), round(float(found.spikes_per_burst[0]))
        (['bursting', 'tonic'], 20)
    """
    check_steps("bursts", num_steps, discard)
    if not contrast > 1:
        raise ConfigError(f"bursts: contrast must be > 1, got {contrast}")
    values = grid("bursts", "currents", currents)
    neurons = batch(prepared(source, parameters, synapse), values)
    n = len(neurons.current)
    numbers, kinds = np.full((5, n), np.nan), np.full(n, "", dtype="<U8")

    def measure(piece: Batch, tick: Any) -> Run:
        return piece.run(num_steps, discard=discard, record=True, tick=tick)

    pieces = list(neurons.parts(max(1, min(CHUNK, _RASTER // num_steps))))
    steps = discard + num_steps
    for where, found in swept(
        "bursts", "firing patterns", pieces, steps, measure, progress=progress
    ):
        numbers[0, where] = found.rate.numpy()
        kinds[where], numbers[1:, where] = _described(found.raster, contrast)
    kinds[np.isnan(numbers[0])] = ""
    return Bursts(kinds.reshape(neurons.shape), *(row.reshape(neurons.shape) for row in numbers))


def _described(raster: Any, contrast: float) -> tuple[NDArray[Any], Array]:
    """Kind and statistics of every neuron of a raster (steps, neuron)."""
    neuron, time = raster.T.contiguous().nonzero().T.numpy()
    ends = np.searchsorted(neuron, np.arange(raster.shape[1] + 1))
    kinds = np.full(raster.shape[1], "silent", dtype="<U8")
    numbers = np.full((4, raster.shape[1]), np.nan)
    for k, (start, end) in enumerate(itertools.pairwise(ends)):
        if end > start:
            kinds[k], numbers[:, k] = describe(time[start:end], contrast)
    return kinds, numbers


def describe(times: NDArray[np.integer[Any]], contrast: float = CONTRAST) -> tuple[str, Array]:
    """Pattern of one neuron.

    Args:
        times: Steps of its spikes, increasing, at least one.
        contrast: Ratio of pauses to intervals, see `bursts`.

    Returns:
        kind: "tonic" or "bursting".
        numbers: Spikes per burst, interval, pause, period; NaN where there is none.
    """
    gaps = np.diff(times)
    tonic = np.array([np.nan, gaps.mean() if len(gaps) else np.nan, np.nan, np.nan])
    if len(gaps) < 3:
        return "tonic", tonic
    ordered = np.sort(gaps)
    ratios = ordered[1:] / ordered[:-1]
    split = int(ratios.argmax())
    if ratios[split] < contrast:
        return "tonic", tonic
    pauses = np.flatnonzero(gaps > ordered[split])
    sizes = np.diff(pauses)
    if not len(sizes) or sizes.mean() < 2:
        return "tonic", tonic
    complete = gaps[pauses[0] + 1 : pauses[-1]]
    within = complete[complete <= ordered[split]]
    starts = times[pauses + 1]
    return "bursting", np.array(
        [sizes.mean(), within.mean(), gaps[pauses].mean(), np.diff(starts).mean()]
    )
