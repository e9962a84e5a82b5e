"""Products with spikes as products of matrices."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from snn_neuromod.kernels.jobs import Product, WeightGradient


def forward(job: Product) -> Tensor:
    """The product, (rows, outputs)."""
    x, weight, bias = job
    with torch.autocast(x.device.type, enabled=False):
        return functional.linear(x.to(weight.dtype), weight, bias)


def weight_gradient(job: WeightGradient) -> Tensor:
    """The sum over rows of `grad` times `x`, (outputs, inputs)."""
    x, grad = job
    with torch.autocast(x.device.type, enabled=False):
        return grad.T @ x.to(grad.dtype)
