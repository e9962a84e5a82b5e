"""What the PyTorch variants share: data as tensors, and the loss sent back."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch
from torch import Tensor

from snn_neuromod.benchmarks.outcome import Outcome
from snn_neuromod.benchmarks.problems import Problem

__all__ = ["backward", "tensors"]


def tensors(problem: Problem, learned: Collection[str] = ()) -> dict[str, Tensor]:
    """The problem's arrays in its type and on its device; those in `learned` require a gradient."""
    dtype = getattr(torch, problem.dtype)
    return {
        name: torch.from_numpy(array).to(problem.device, dtype).requires_grad_(name in learned)
        for name, array in problem.arrays.items()
    }


def backward(
    out: Tensor, cotangent: Tensor, inputs: Sequence[Tensor], spikes: Tensor | None = None
) -> Outcome:
    """Send the loss <cotangent, out> back to `inputs`."""
    gradients = torch.autograd.grad(out, inputs, cotangent)
    return Outcome(gradients, out if spikes is None else spikes)
