"""How far the membrane reaches while a neuron fires, over the current: the cycle of a bifurcation diagram."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snn_neuromod.analysis.simulation import Array, check_steps, grid
from snn_neuromod.analysis.source import Source, Value
from snn_neuromod.analysis.trace import voltage_trace


class Amplitude(NamedTuple):
    """The rhythm over the current.

    Attributes:
        currents: (I,).
        low: Lowest membrane of the rhythm, (I,); NaN where there is none.
        high: Highest membrane, likewise.
        from_rest: True where the neuron fires from rest too, (I,).
    """

    currents: Array
    low: Array
    high: Array
    from_rest: NDArray[np.bool_]

    @property
    def amplitude(self) -> Array:
        """Half of what the membrane travels, (I,)."""
        half: Array = (self.high - self.low) / 2
        return half

    @property
    def bistable(self) -> NDArray[np.bool_]:
        """True where the rhythm goes on and rest stays silent, (I,)."""
        both: NDArray[np.bool_] = np.isfinite(self.high) & ~self.from_rest
        return both


def amplitude(
    source: Source, currents: ArrayLike, *, num_steps: int = 600, **parameters: Value
) -> Amplitude:
    """Follow the rhythm of a neuron over the current.

    Every current is run twice: from rest, and from a spike that the neuron made under the current at which it fires the
    most. What counts is the second half of each run.

    Args:
        source: The neuron, see `neuron`.
        currents: Currents, increasing, (I,), in the neuron's unit.
        num_steps: Steps of each run, >= 2.
        **parameters: Parameters of the neuron, numbers.

    Returns:
        Lowest and highest membrane over the current.

    Raises:
        ValueError: If the currents do not increase or a parameter is unknown.

    Examples:
        >>> from snn_neuromod.dynamics import msrc
        >>> found = amplitude(msrc, [2.0, 3.0, 4.0], h_s0=0.5)
        >>> found.bistable.tolist(), found.from_rest.tolist()
        ([False, True, False], [False, False, True])
    """
    check_steps("amplitude", num_steps, 0)
    values = grid("amplitude", "currents", currents, increasing=True)
    settled = slice(num_steps // 2, None)
    same: dict[str, Any] = parameters
    rest = voltage_trace(source, values[None], num_steps=num_steps, **same)
    counts = rest.spikes[settled].sum(0)
    most = int(counts.argmax())
    if not counts[most]:
        silent = np.full(len(values), np.nan)
        return Amplitude(values, silent, silent, counts > 1)
    last = np.flatnonzero(rest.spikes[:, most])[-1]
    begin = {name: float(states[last, most]) for name, states in rest.states.items()}
    firing = voltage_trace(source, values[None], num_steps=num_steps, start=begin, **same)
    fires = firing.spikes[settled].sum(0) > 1
    tail = firing.membrane[settled]
    low, high = (np.where(fires, edge, np.nan) for edge in (tail.min(0), tail.max(0)))
    return Amplitude(values, low, high, counts > 1)
