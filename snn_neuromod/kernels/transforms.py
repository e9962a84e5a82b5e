"""Whether a call is being transformed, so that operators, which know `backward()` alone, must not be in its way."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd import forward_ad

__all__ = ["transformed"]


def transformed(*tensors: Tensor | None) -> bool:
    """Whether `torch.func`, forward-mode differentiation (jvp, dual tensors) or `torch.jit.trace` is at work.

    Args:
        *tensors: What the call reads.
    """
    # There is no public word for either. A trace sees PyTorch's own operations alone: of a kernel it would keep the
    # memory that is written to, not what writes there.
    if torch._C._are_functorch_transforms_active() or torch._C._get_tracing_state() is not None:
        return True
    if forward_ad._current_level < 0:
        return False
    return any(t is not None and forward_ad.unpack_dual(t).tangent is not None for t in tensors)
