"""The rate code by the kernel in `kernels/c/rate_code.h`."""

from __future__ import annotations

import torch
from torch import Tensor

from snn_neuromod.kernels.backends.c import library
from snn_neuromod.kernels.jobs import RateCode


def unable(job: RateCode) -> str | None:
    """Why the library cannot serve a code; None if it can."""
    return library.unable(job.limit, job.key)


def forward(job: RateCode) -> Tensor:
    """The spikes, uint8, (blank_steps + num_steps, sample, pixel)."""
    limit, key, num_steps, blank_steps = job
    spikes = torch.zeros((blank_steps + num_steps, *limit.shape), dtype=torch.uint8)
    sizes = [num_steps, *limit.shape, torch.get_num_threads()]
    library.call("rate_code", sizes, [spikes[blank_steps:], limit.contiguous(), key.contiguous()])
    return spikes
