"""Change of the sampling rate."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["resample"]


def resample(samples: NDArray[np.float64], rate: int, new_rate: int) -> NDArray[np.float64]:
    """Resample by cutting or extending the spectrum (`scipy.signal.resample`): nothing is aliased.

    The signal is taken as periodic; so that no end reaches into the other, pad it with silence
    where it does not begin and end with some.

    Args:
        samples: Shape (samples,).
        rate: Samples per second, greater than 0.
        new_rate: Samples per second afterwards, greater than 0.

    Returns:
        float64, shape (ceil(samples * new_rate / rate),); sample i of the old rate stands at
        i * new_rate / rate.

    Raises:
        ImportError: If scipy is not installed.

    Example:
        >>> resample(np.ones(3), 2, 4).round(2)
        array([1., 1., 1., 1., 1., 1.])
    """
    try:
        from scipy import fft, signal
    except ImportError as error:
        raise ImportError(
            "resample: scipy must be installed; run pip install 'snn-neuromod[audio]'"
        ) from error
    divisor = math.gcd(rate, new_rate)
    old, new = rate // divisor, new_rate // divisor
    # Whole periods of both rates, and a number of them whose transform is fast.
    blocks = fft.next_fast_len(math.ceil(len(samples) / old), real=True)
    whole = np.pad(samples, (0, blocks * old - len(samples)))
    resampled: NDArray[np.float64] = signal.resample(whole, blocks * new)
    return resampled[: math.ceil(len(samples) * new / old)]
