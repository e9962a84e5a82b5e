"""Random numbers for any device, none of which waits for it: a function of a seed and a place."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from snn_neuromod.errors import RunError
from snn_neuromod.kernels.jobs import mix

__all__ = ["drawn", "key_of", "normal", "order", "sent"]


def drawn(generator: torch.Generator | None, device: torch.device | None) -> Tensor:
    """A seed from a generator, int64 (1,)."""
    bound = 2**63 - 1
    return torch.randint(-bound, bound, (1,), generator=generator, device=device)


def sent(numbers: Tensor, device: torch.device) -> Tensor:
    """Numbers on a device, without waiting for it.

    Raises:
        RuntimeError: If they are the CPU's and a CUDA graph is captured, which would repeat them.
    """
    if device.type != "cuda" or numbers.device.type == "cuda":
        return numbers.to(device)
    if torch.cuda.is_current_stream_capturing():
        raise RunError(
            "random numbers: seeds and generator must be on the device while a CUDA graph is captured, got the CPU's, "
            "which each replay would repeat; give a torch.Generator('cuda') or a tensor of seeds"
        )
    return numbers.pin_memory().to(device, non_blocking=True)


def key_of(seeds: Tensor) -> Tensor:
    """The two words of each seed, int32 (sample, 2), from int64 (sample,)."""
    low, high = seeds.to(torch.int32), (seeds >> 32).to(torch.int32)
    return torch.stack([mix(low + mix(high)), mix(high + mix(low + 0x3C6EF372))], dim=1)


def _words(key: Tensor, places: int) -> Tensor:
    """A word of each place, int32 (sample, place), all words of a sample different, from `key_of`."""
    place = torch.arange(places, dtype=torch.int32, device=key.device)
    return mix(mix(place ^ key[:, :1]) + key[:, 1:])


def order(places: int, generator: torch.Generator | None, device: torch.device) -> Tensor:
    """All places in random order: a generator's own, or elsewhere than on its device by its next number."""
    own = torch.device("cpu") if generator is None else generator.device
    if device == own:
        return torch.randperm(places, generator=generator, device=device)
    return _words(key_of(sent(drawn(generator, own), device)), places)[0].argsort()


def normal(key: Tensor, places: int) -> Tensor:
    """Standard normal noise of each place, float64 (sample, place)."""
    uniform = (((_words(key, places) >> 8) & ((1 << 24) - 1)).double() + 0.5) / (1 << 24)
    return math.sqrt(2) * torch.erfinv(2 * uniform - 1)
