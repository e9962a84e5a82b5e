"""Intervals of errors over utterances and seeds, by bootstrap."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Counts", "Interval", "difference", "error", "resampled"]

RESAMPLES = 10_000
LEVEL = 0.95


class Counts(NamedTuple):
    """What a run did on the test utterances.

    Attributes:
        wrong: Wrong frames of each utterance.
        frames: Frames of each utterance.
    """

    wrong: Sequence[float]
    frames: Sequence[float]


class Interval(NamedTuple):
    """An error, or a difference of two, in percent.

    Attributes:
        value: Of all frames, mean over seeds.
        low: Lower end of the interval.
        high: Upper end.
        seeds: Number of seeds.
    """

    value: float
    low: float
    high: float
    seeds: int


def error(runs: Mapping[int, Counts]) -> Interval:
    """Frame error in percent with its interval.

    Args:
        runs: Counts by seed, at least one.

    Returns:
        The error with the middle 95 % of what it is when utterances, and independently of them seeds, are drawn anew
        with replacement.
    """
    return _interval(_wrong(runs), _frames(runs))


def difference(one: Mapping[int, Counts], other: Mapping[int, Counts]) -> Interval | None:
    """Difference of two frame errors, in points, with its interval.

    Args:
        one: Counts by seed.
        other: The same of what is subtracted, on the same utterances.

    Returns:
        The same for the difference, pair by pair: of the seeds that both have, each draw takes the same utterances and
        the same seeds for both. None without a common seed.

    Raises:
        ValueError: If the utterances differ.
    """
    seeds = sorted(set(one) & set(other))
    if not seeds:
        return None
    first, second = ({seed: runs[seed] for seed in seeds} for runs in (one, other))
    frames = _frames(first)
    if not np.array_equal(frames, _frames(second)):
        raise ValueError("difference: both must have the same utterances, got others")
    return _interval(_wrong(first) - _wrong(second), frames)


def resampled(
    wrong: NDArray[np.float64], frames: NDArray[np.float64], *, seed: int = 0
) -> NDArray[np.float64]:
    """Errors, or differences of errors, of data drawn anew.

    Args:
        wrong: Wrong frames, (run, utterance); for a difference those of one minus those of the other.
        frames: Frames, (utterance,).
        seed: Seed of the draws.

    Returns:
        Mean over the drawn runs of the part of wrong frames in the drawn utterances, `RESAMPLES` values.
    """
    generator = np.random.default_rng(seed)
    runs, utterances = wrong.shape
    times_run, times_utterance = (
        generator.multinomial(n, np.full(n, 1 / n), size=RESAMPLES) for n in (runs, utterances)
    )
    counted: NDArray[np.float64] = (times_utterance @ wrong.T * times_run).sum(1) / runs
    return counted / (times_utterance @ frames)


def _interval(wrong: NDArray[np.float64], frames: NDArray[np.float64]) -> Interval:
    ends = np.quantile(resampled(wrong, frames), ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    value, low, high = (100 * np.array([wrong.sum() / frames.sum() / len(wrong), *ends])).tolist()
    return Interval(value, low, high, len(wrong))


def _wrong(runs: Mapping[int, Counts]) -> NDArray[np.float64]:
    return np.array([runs[seed].wrong for seed in sorted(runs)])


def _frames(runs: Mapping[int, Counts]) -> NDArray[np.float64]:
    found = np.array([counts.frames for counts in runs.values()])
    if not (found == found[0]).all():
        raise ValueError("intervals: all runs must have the same utterances, got others")
    return np.asarray(found[0])
