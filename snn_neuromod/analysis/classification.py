"""Type of excitability over a grid of parameters."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from snn_neuromod.analysis.onsets import Hysteresis, hysteresis
from snn_neuromod.analysis.patterns import bursts
from snn_neuromod.analysis.simulation import Array, batch, check_steps, grid, prepared
from snn_neuromod.analysis.source import Neuron, Source, Value, neuron
from snn_neuromod.errors import ConfigError

PARTS, ROUNDS = 16, 2
"""Onsets are refined by that many currents between two of the sweep, that many times."""
KINDS = ("silent", "type 1", "type 2", "type 2*", "bursting", "tonic")
"""What `classify` tells apart."""


class Excitability(NamedTuple):
    """Types of excitability; the axes are those of array parameters, () without.

    Attributes:
        kind: One of `KINDS`; "" where a rate is NaN, after Ctrl-C or where the state is.
        onset_up: Lowest current that fires from rest, in the neuron's unit, sought between the currents of the sweep;
            NaN if none does.
        onset_down: Lowest current that still fires on the way down.
        jump: Rate at onset_up over the highest rate of the sweep, in (0, 1]; NaN where silent.
    """

    kind: NDArray[Any]
    onset_up: Array
    onset_down: Array
    jump: Array


def classify(
    source: Source,
    currents: ArrayLike,
    *,
    jump: float = 0.25,
    num_steps: int = 1000,
    discard: int = 500,
    burst_steps: int = 4000,
    synapse: float | None = None,
    progress: bool = False,
    **parameters: Value,
) -> Excitability:
    """Type of excitability over the given range of currents.

    In this order:

    - "silent": fires at none of the currents.
    - "bursting": fires in bursts at two neighbouring ones at least (`bursts`, from rest).
    - "tonic": fires already at the lowest current, on the way up.
    - "type 2*": fires on the way down at a lower current than on the way up: hysteresis.
    - "type 1": the FI curve begins with a rate below `jump` times its highest.
    - "type 2": it begins with a higher one.

    Types 1 and 2 pass into one another, so that `jump` is a convention; the ratio comes back for another. The onset and
    its rate are refined between the currents; hysteresis narrower than their spacing is not seen.

    Args:
        source: The neuron, see `neuron`.
        currents: Currents, increasing, (I,), in the neuron's unit, from rest to well above onset.
        jump: Rate at onset, over the highest, from which on the type is 2; in (0, 1).
        num_steps: Steps over which spikes are counted at each current, >= 1.
        discard: Steps before them, >= 0.
        burst_steps: Steps that are searched for bursts, >= 0, half as many going before; 0 does not search.
        synapse: Decay of an exponential synapse in front of the neuron, in [0, 1); None for none beyond its own.
        progress: Show how far it is, on standard error.
        **parameters: Parameters to replace: numbers, or arrays that broadcast against one another: the grid.

    Returns:
        The types.

    Raises:
        ValueError: If an argument is outside its range or shapes do not fit.

    Examples:
        >>> from snn_neuromod.dynamics import msrc
        >>> found = classify(msrc, np.arange(2, 6, 0.5), h_s0=[0.5, 0.9, 1.5], num_steps=500, burst_steps=0)
        >>> found.kind.tolist()
        ['type 2*', 'type 1', 'type 2']
    """
    if not 0 < jump < 1:
        raise ConfigError(f"classify: jump must lie in (0, 1), got {jump}")
    check_steps("classify", num_steps, discard)
    check_steps("classify", 1, burst_steps)
    values = grid("classify", "currents", currents, increasing=True)
    common: dict[str, Any] = {"synapse": synapse, "progress": progress, **parameters}
    swept = hysteresis(source, values, num_steps=num_steps, discard=discard, **common)
    up = swept.curve.up
    neurons = _with_axis(prepared(source, parameters, synapse))
    onset, rate = _refined(neurons, swept, num_steps, discard)
    relative = rate / np.where(up.any(-1), up.max(-1), np.nan)
    kind = np.where(relative < jump, "type 1", "type 2").astype("<U8")
    kind[swept.range > 0] = "type 2*"
    kind[up[..., 0] > 0] = "tonic"
    if burst_steps:
        patterns = bursts(
            neurons, values, num_steps=burst_steps, discard=burst_steps // 2, progress=progress
        )
        found = patterns.kind == "bursting"
        kind[(found[..., 1:] & found[..., :-1]).any(-1)] = "bursting"
    kind[~((up > 0) | (swept.curve.down > 0)).any(-1)] = "silent"
    kind[np.isnan(up + swept.curve.down).any(-1)] = ""
    return Excitability(kind, onset, swept.onset_down, relative)


def _with_axis(found: Neuron) -> Neuron:
    """Array parameters with an axis for the current."""
    arrays: dict[str, Any] = {
        name: value[..., None]
        for name, value in zip(found.params._fields, found.params, strict=True)
        if isinstance(value, torch.Tensor) and value.ndim
    }
    return neuron(found, **arrays)


def _refined(
    neurons: Neuron, swept: Hysteresis, num_steps: int, discard: int
) -> tuple[Array, Array]:
    """Onset from rest and the rate there, sought between the currents of the sweep."""
    currents, onset, rate = swept.curve.currents, swept.onset_up, swept.rate
    if len(currents) < 2:
        return onset, rate
    below = np.searchsorted(currents, np.nan_to_num(onset, nan=currents[0])) - 1
    low = np.where(below >= 0, currents[np.maximum(below, 0)], onset)
    for _ in range(ROUNDS):
        tried = np.nan_to_num(np.linspace(low, onset, PARTS + 1, axis=-1)[..., 1:])
        cell = batch(neurons, tried)
        with torch.inference_mode():
            late = discard + num_steps  # the first spike may take its time
            counted = cell.run(num_steps, discard=late)
        rates = counted.rate.numpy().reshape(cell.shape)
        first = (rates > 0).argmax(-1)[..., None]
        better = (rates > 0).any(-1) & (low < onset)
        found = np.take_along_axis(tried, first, -1)[..., 0]
        rate = np.where(better, np.take_along_axis(rates, first, -1)[..., 0], rate)
        low = np.where(better, found - (onset - low) / PARTS, low)
        onset = np.where(better, found, onset)
    return onset, rate
