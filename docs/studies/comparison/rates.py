"""The search of a learning rate: a grid that grows until its best value lies inside."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

__all__ = ["START", "best_rate", "next_rates", "step_up"]

START = (0.01, 0.03, 0.1)
"""Where a search starts unless said otherwise."""

_ENDS = (1e-6, 100.0)


def next_rates(tried: Mapping[float, float], start: Sequence[float] = START) -> list[float]:
    """Learning rates to try next.

    Args:
        tried: Validation error by learning rate.
        start: The first grid.

    Returns:
        What is missing of `start`; then the next larger or smaller rate of the series 0.01, 0.03, 0.1, ..., as long as
        the best one is the largest or smallest; none once it lies inside.

    Raises:
        ValueError: If the search leaves all that is reasonable.

    Examples:
        >>> next_rates({0.01: 0.4, 0.03: 0.3, 0.1: 0.2})
        [0.3]
        >>> next_rates({0.01: 0.4, 0.03: 0.3, 0.1: 0.2, 0.3: 0.5})
        []
    """
    missing = [lr for lr in start if lr not in tried]
    if missing:
        return missing
    best = best_rate(tried)
    if min(tried) < best < max(tried):
        return []
    found = step_up(best, 1 if best == max(tried) else -1)
    if not _ENDS[0] < found < _ENDS[1]:
        raise ValueError(f"next_rates: the best learning rate must lie inside the grid, got {best}")
    return [found]


def best_rate(tried: Mapping[float, float]) -> float:
    """The learning rate of the lowest error, the smallest of several; what is not a number is worst."""
    return min(tried, key=lambda lr: (math.isnan(tried[lr]), tried[lr], lr))


def step_up(lr: float, steps: int) -> float:
    """The learning rate so many steps further in the series 0.01, 0.03, 0.1, 0.3, ...

    Examples:
        >>> step_up(0.03, 1), step_up(0.03, -1), step_up(0.03, -2)
        (0.1, 0.01, 0.003)
    """
    place = round(2 * math.log10(lr)) + steps
    return float(f"{10 ** (place / 2):.0e}")
