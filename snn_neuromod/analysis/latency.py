"""Steps that a neuron at rest takes to its first spike."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike

from snn_neuromod.analysis.simulation import (
    Array,
    Batch,
    batch,
    check_steps,
    grid,
    prepared,
    swept,
)
from snn_neuromod.analysis.source import Source, Value


def spiking_delay(
    source: Source,
    currents: ArrayLike,
    *,
    num_steps: int = 2000,
    synapse: float | None = None,
    progress: bool = False,
    **parameters: Value,
) -> Array:
    """Step of the first spike after a constant current is switched on at rest.

    Args:
        source: The neuron, see `neuron`; rest is its `initial_state`.
        currents: Currents, any shape, in the neuron's unit.
        num_steps: Steps to wait at most, >= 1.
        synapse: Decay of an exponential synapse in front of the neuron, in [0, 1); None for none beyond its own.
        progress: Show how far it is, on standard error.
        **parameters: Parameters to replace: numbers, or arrays that broadcast against the currents.

    Returns:
        Index of the step of the first spike, counted from 0, of the common shape of currents and parameters; NaN where
        none came within `num_steps`. Ctrl-C ends the computation with a warning and leaves NaN.

    Raises:
        ValueError: If an argument is outside its range or shapes do not fit.

    Examples:
        >>> from snn_neuromod.dynamics import msrc
        >>> spiking_delay(msrc, [3.0, 3.4, 3.5, 3.6], h_s0=0.5)
        array([ nan, 172.,  42.,  24.])
    """
    check_steps("spiking_delay", num_steps)
    values = grid("spiking_delay", "currents", currents)
    neurons = batch(prepared(source, parameters, synapse), values)
    delay = np.full(neurons.current.shape, np.nan)

    def measure(piece: Batch, tick: Any) -> Array:
        return delay_of(piece.run(num_steps, until_first=True, tick=tick).first, num_steps)

    pieces = list(neurons.parts())
    for where, found in swept(
        "spiking_delay", "delay", pieces, num_steps, measure, progress=progress
    ):
        delay[where] = found
    return delay.reshape(neurons.shape)


def delay_of(first: torch.Tensor, num_steps: int) -> Array:
    """Steps to the first spike; NaN where none came."""
    return np.where(first.numpy() < num_steps, first.numpy(), np.nan)
