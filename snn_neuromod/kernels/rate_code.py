r"""Bernoulli spikes from random numbers that are a function of sample, step and pixel.

With two words $a, b$ of a sample's seed, pixel $n$ fires at step $t$ where the upper 24 bits of

$$ m(m(n \oplus a) + m(t \oplus b)) \bmod 2^{32} $$

are below $2^{24} p_n$; $m$ is the finaliser of MurmurHash3 (A. Appleby), a bijection of 32-bit integers. Nothing
depends on an order of drawing: dark pixels cost nothing, and the compiled form, plain PyTorch and every device agree.
"""

from __future__ import annotations

import torch
from torch import Tensor

from snn_neuromod.kernels import backends
from snn_neuromod.kernels.jobs import RateCode

__all__ = ["rate_code"]

LIMIT = 1 << 24
"""Limit of a pixel that fires at every step."""


def rate_code(limit: Tensor, key: Tensor, num_steps: int, *, blank_steps: int = 0) -> Tensor:
    """Spikes of every pixel.

    Args:
        limit: Probability times `LIMIT`, an integer in [0, `LIMIT`]; int32, (sample, pixel).
        key: From `noise.key_of`, (sample, 2).
        num_steps: Steps, >= 1.
        blank_steps: Silent steps before them, >= 0.

    Returns:
        uint8, (blank_steps + num_steps, sample, pixel).

    Raises:
        ValueError: If a size does not fit.
        TypeError: If a type or a device does not fit.
    """
    spikes: Tensor = torch.ops.snn_neuromod.rate_code(limit, key, num_steps, blank_steps)
    return spikes


@torch.library.custom_op("snn_neuromod::rate_code", mutates_args=())
def _rate_code(limit: Tensor, key: Tensor, num_steps: int, blank_steps: int) -> Tensor:
    job = RateCode(limit, key, num_steps, blank_steps)
    job.check()
    if not limit.numel():
        return limit.new_zeros((blank_steps + num_steps, *limit.shape), dtype=torch.uint8)
    spikes: Tensor = backends.serving(job, backends.requested()).forward(job)
    return spikes


@_rate_code.register_fake
def _(limit: Tensor, key: Tensor, num_steps: int, blank_steps: int) -> Tensor:
    RateCode(limit, key, num_steps, blank_steps).check()
    return limit.new_empty(blank_steps + num_steps, *limit.shape, dtype=torch.uint8)
