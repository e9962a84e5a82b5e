"""Change of the sampling rate."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["resample"]


def resample(samples: NDArray[np.float64], rate: int, new_rate: int) -> NDArray[np.float64]:
    """Resample by cutting or extending the spectrum: nothing is aliased.

    The signal is taken as periodic; so that no end reaches into the other, pad it with silence
    where it does not begin and end with some.

    Args:
        samples: Shape (samples,).
        rate: Samples per second, greater than 0.
        new_rate: Samples per second afterwards, greater than 0.

    Returns:
        float64, shape (ceil(samples * new_rate / rate),); sample i of the old rate stands at
        i * new_rate / rate.

    Example:
        >>> resample(np.ones(3), 2, 4).round(2)
        array([1., 1., 1., 1., 1., 1.])
    """
    divisor = math.gcd(rate, new_rate)
    old, new = rate // divisor, new_rate // divisor
    # Whole periods of both rates, and a number of them whose transform is fast.
    blocks = _smooth(math.ceil(len(samples) / old))
    spectrum = np.fft.rfft(samples, blocks * old)
    resampled = np.fft.irfft(spectrum, blocks * new) * (new / old)
    return resampled[: math.ceil(len(samples) * new / old)]


def _smooth(number: int) -> int:
    """Smallest product of 2, 3 and 5 that is not less."""
    while True:
        rest = number
        for prime in (2, 3, 5):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return number
        number += 1
