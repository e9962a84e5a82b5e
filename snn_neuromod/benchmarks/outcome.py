"""What a timed run gives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

__all__ = ["Double", "Outcome", "Run", "UnableError", "flat", "rate"]

Double = np.ndarray[Any, np.dtype[np.float64]]


class Outcome(NamedTuple):
    """Result of one run, arrays of whatever library made them.

    Attributes:
        gradients: In the order of the reference; empty where it is not kept, as after an epoch.
        spikes: Spikes, (T, batch, neuron); graded spikes count above 0.5.
        seconds: Parts of the run, by name, for the report.
    """

    gradients: Sequence[Any]
    spikes: Any
    seconds: dict[str, float] | None = None


Run: TypeAlias = Callable[[], Outcome]


class UnableError(Exception):
    """A variant that cannot run here, or not at this size; says why."""


def _numpy(array: Any) -> Double:
    if hasattr(array, "detach"):
        array = array.detach().cpu().numpy()
    return np.asarray(array, dtype=np.float64)


def flat(outcome: Outcome) -> Double:
    """All gradients as one vector."""
    if not len(outcome.gradients):
        return np.zeros(0)
    return np.concatenate([_numpy(g).ravel() for g in outcome.gradients])


def rate(outcome: Outcome) -> float:
    """Spikes per neuron and step."""
    spikes = outcome.spikes
    if hasattr(spikes, "detach"):
        return float((spikes.detach() > 0.5).float().mean())
    return float((np.asarray(spikes) > 0.5).mean())
