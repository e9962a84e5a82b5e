r"""Bernoulli spikes from random numbers that are a function of sample, step and pixel.

With two words $a, b$ of a sample's seed, pixel $n$ fires at step $t$ where the upper 24 bits of

$$ m(m(n \oplus a) + m(t \oplus b)) \bmod 2^{32} $$

are below $2^{24} p_n$; $m$ is the finaliser of MurmurHash3 (A. Appleby), a bijection of 32-bit integers. Nothing
depends on an order of drawing: dark pixels cost nothing, and the compiled form, plain PyTorch and every device agree.
"""

from __future__ import annotations

import ctypes

import torch
from torch import Tensor

from snn_neuromod.kernels import backends
from snn_neuromod.kernels.library import load
from snn_neuromod.kernels.spikes import compiled

__all__ = ["key_of", "rate_code"]

LIMIT = 1 << 24
"""Limit of a pixel that fires at every step."""

CHUNK = 1 << 18
"""Random numbers made at a time in plain PyTorch, so that they stay in cache."""


def rate_code(limit: Tensor, key: Tensor, num_steps: int, *, blank_steps: int = 0) -> Tensor:
    """Spikes of every pixel.

    Args:
        limit: Probability times `LIMIT`, an integer in [0, `LIMIT`]; int32, (sample, pixel).
        key: From `key_of`, (sample, 2).
        num_steps: Steps, >= 1.
        blank_steps: Silent steps before them, >= 0.

    Returns:
        uint8, (blank_steps + num_steps, sample, pixel).
    """
    spikes: Tensor = torch.ops.snn_neuromod.rate_code(limit, key, num_steps, blank_steps)
    return spikes


def key_of(seeds: Tensor) -> Tensor:
    """The two words of each seed, int32 (sample, 2), from int64 (sample,)."""
    low, high = seeds.to(torch.int32), (seeds >> 32).to(torch.int32)
    return torch.stack([_mix(low + _mix(high)), _mix(high + _mix(low + 0x3C6EF372))], dim=1)


def _mix(k: Tensor) -> Tensor:
    """The finaliser of MurmurHash3 on int32, whose products wrap."""
    k = (k ^ ((k >> 16) & 0xFFFF)) * (0x85EBCA6B - (1 << 32))
    k = (k ^ ((k >> 13) & 0x7FFFF)) * (0xC2B2AE35 - (1 << 32))
    return k ^ ((k >> 16) & 0xFFFF)


@torch.library.custom_op("snn_neuromod::rate_code", mutates_args=())
def _rate_code(limit: Tensor, key: Tensor, num_steps: int, blank_steps: int) -> Tensor:
    shape = (blank_steps + num_steps, *limit.shape)
    spikes = torch.zeros(shape, dtype=torch.uint8, device=limit.device)
    coded = spikes[blank_steps:]
    if compiled(limit, key, backend=backends.requested()):
        tensors = [coded, limit.contiguous(), key.contiguous()]
        sizes = [num_steps, *limit.shape, torch.get_num_threads()]
        library, _ = load()
        library.rate_code(  # type: ignore[union-attr]
            *(ctypes.c_void_p(x.data_ptr()) for x in tensors), *map(ctypes.c_int64, sizes)
        )
        return spikes
    sample, pixel = limit.nonzero().unbind(1)
    below, words = limit[sample, pixel], _mix(pixel.to(torch.int32) ^ key[sample, 0])
    steps = torch.arange(num_steps, dtype=torch.int32, device=limit.device)
    flat, where = coded.flatten(1), sample * limit.shape[1] + pixel
    for some in steps.split(max(1, CHUNK // max(1, len(words)))):
        noise = _mix(words + _mix(some[:, None] ^ key[:, 1])[:, sample])
        fired = ((noise >> 8) & (LIMIT - 1)) < below
        flat[some[0] : some[-1] + 1].index_copy_(1, where, fired.to(torch.uint8))
    return spikes


@_rate_code.register_fake
def _(limit: Tensor, key: Tensor, num_steps: int, blank_steps: int) -> Tensor:
    return limit.new_empty(blank_steps + num_steps, *limit.shape, dtype=torch.uint8)
