"""Whether a call is being transformed, so that operators, which know `backward()` alone, must not be in its way."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd import forward_ad

__all__ = ["transformed"]


def transformed(*tensors: Tensor | None) -> bool:
    """Whether `torch.func` or forward-mode differentiation is at work: grad, vmap, jvp, dual tensors.

    Args:
        *tensors: What the call reads.
    """
    if torch._C._are_functorch_transforms_active():  # there is no public word for it
        return True
    if forward_ad._current_level < 0:
        return False
    return any(t is not None and forward_ad.unpack_dual(t).tangent is not None for t in tensors)
