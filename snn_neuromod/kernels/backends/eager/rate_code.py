"""The rate code in plain PyTorch, on any device."""

from __future__ import annotations

import torch
from torch import Tensor

from snn_neuromod.kernels.jobs import RateCode, mix

CHUNK = 1 << 18
"""Random numbers made at a time, so that they stay in cache."""


def forward(job: RateCode) -> Tensor:
    """The spikes, uint8, (blank_steps + num_steps, sample, pixel)."""
    limit, key, num_steps, blank_steps = job
    shape = (blank_steps + num_steps, *limit.shape)
    spikes = torch.zeros(shape, dtype=torch.uint8, device=limit.device)
    sample, pixel = limit.nonzero().unbind(1)
    below, words = limit[sample, pixel], mix(pixel.to(torch.int32) ^ key[sample, 0])
    steps = torch.arange(num_steps, dtype=torch.int32, device=limit.device)
    flat, where = spikes[blank_steps:].flatten(1), sample * limit.shape[1] + pixel
    for some in steps.split(max(1, CHUNK // max(1, len(words)))):
        noise = mix(words + mix(some[:, None] ^ key[:, 1])[:, sample])
        fired = ((noise >> 8) & ((1 << 24) - 1)) < below
        flat[some[0] : some[-1] + 1].index_copy_(1, where, fired.to(torch.uint8))
    return spikes
