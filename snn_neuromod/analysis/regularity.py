"""How regularly neurons fire: intervals between their spikes, in a recording or in a trained network."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from snn_neuromod.errors import ConfigError

Array = NDArray[np.float64]


class Intervals(NamedTuple):
    """Intervals between the spikes of neurons, those of all samples together.

    Attributes:
        rate: Spikes per unit of time, (neuron,).
        mean: Mean interval, (neuron,); NaN with fewer than one interval.
        cv: Standard deviation over mean, (neuron,): 0 for a clock, 1 for a Poisson process; NaN with fewer than two.
        local: Mean of `2 |a - b| / (a + b)` over neighbouring intervals a and b (CV2), (neuron,): unlike `cv` it does
            not take a rate that changes slowly for irregularity. NaN with fewer than two.
        number: Number of intervals, (neuron,).
    """

    rate: Array
    mean: Array
    cv: Array
    local: Array
    number: NDArray[np.int64]


def intervals(
    spikes: ArrayLike | torch.Tensor, *, dt: float = 1.0, threshold: float | None = None
) -> Intervals:
    """Intervals between spikes of every neuron.

    Args:
        spikes: (T, ..., neuron); a layer's output, of whatever device. A spike is an output above 0.
        dt: Time step, > 0; intervals and rates are in its unit.
        threshold: For graded spikes, which are several steps wide: a spike is an upward crossing of it (0.5 for the SRC
            family); None: every output above 0 is one.

    Returns:
        Rates and intervals.

    Raises:
        ValueError: If `spikes` has fewer than two axes or `dt` is not positive.

    References:
        G. R. Holt et al., J. Neurophysiol. 75 (1996), 1806-1814: CV2.

    Examples:
        >>> import torch
        >>> spikes = torch.zeros(100, 1, 2)
        >>> spikes[::10, 0, 0] = 1  # a clock; the other neuron is silent
        >>> found = intervals(spikes)
        >>> found.mean.tolist(), found.cv[0].item(), found.number.tolist()
        ([10.0, nan], 0.0, [9, 0])
    """
    values = (
        spikes.detach().cpu().numpy() if isinstance(spikes, torch.Tensor) else np.asarray(spikes)
    )
    if values.ndim < 2:
        raise ConfigError(f"intervals: spikes must have shape (T, ..., neuron), got {values.shape}")
    if not dt > 0:
        raise ConfigError(f"intervals: dt must be > 0, got {dt}")
    fired = values > (0 if threshold is None else threshold)
    if threshold is not None:
        fired[1:] &= ~fired[:-1].copy()
    trains = fired.reshape(len(fired), -1, fired.shape[-1])
    by_neuron = [_of_neuron(trains[:, :, n], dt) for n in range(trains.shape[-1])]
    rate = trains.mean((0, 1)) / dt
    mean, cv, local, number = (np.array(column) for column in zip(*by_neuron, strict=True))
    return Intervals(rate, mean, cv, local, number)


def _of_neuron(trains: NDArray[np.bool_], dt: float) -> tuple[float, float, float, int]:
    """Mean, CV, CV2 and number of the intervals of one neuron, (T, sample)."""
    found = [np.diff(np.flatnonzero(train)) * dt for train in trains.T]
    every = np.concatenate(found)
    pairs = [2 * np.abs(np.diff(gaps)) / (gaps[1:] + gaps[:-1]) for gaps in found]
    near = np.concatenate(pairs)
    mean = float(every.mean()) if every.size else np.nan
    cv = float(every.std() / every.mean()) if every.size > 1 else np.nan
    return mean, cv, float(near.mean()) if near.size else np.nan, int(every.size)
