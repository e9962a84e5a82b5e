"""Products with inputs that are mostly zero by the kernels in `kernels/c/sparse.h`."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from snn_neuromod.kernels.backends.c import library
from snn_neuromod.kernels.backends.eager import products as eager
from snn_neuromod.kernels.jobs import Product, WeightGradient

RARE = 0.4
"""Share of inputs other than 0 below which single ones are faster than a matrix product."""

VECTOR = 64
"""Bytes of a vector in the C sources."""


def rare(x: Tensor, below: float = RARE) -> bool:
    """Whether few inputs, (rows, ...), are other than 0, by a sample of them."""
    some = x[:: max(1, len(x) // 128)]
    return int(some.count_nonzero()) <= below * some.numel()


def unable(job: Product) -> str | None:
    """Why the library cannot serve a product; None if it can."""
    return library.unable(job.x, job.weight) or (None if job.weight.numel() else "no weights")


def forward(job: Product) -> Tensor:
    """The product, (rows, outputs)."""
    x, weight, bias = job
    if not rare(x):
        return eager.forward(job)
    outputs, inputs = weight.shape
    strip = 4 * VECTOR // weight.dtype.itemsize
    padded = functional.pad(weight, (0, 0, 0, -outputs % strip))
    w = padded.view(-1, strip, inputs).transpose(1, 2).contiguous()
    first = w.new_zeros(outputs) if bias is None else bias.contiguous()
    out = weight.new_empty(len(x), outputs)
    _run("forward", x, outputs, [w, first, out, None, None])
    return out


def gradient_unable(job: WeightGradient) -> str | None:
    """Why the library cannot serve the gradient of weights; None if it can."""
    return library.unable(job.x, job.grad) or (None if job.grad.numel() else "no gradient")


def weight_gradient(job: WeightGradient) -> Tensor:
    """The sum over rows of `grad` times `x`, (outputs, inputs)."""
    x, grad = job
    outputs = grad.shape[1]
    # A few columns take as long as a strip of them, the product of matrices does not.
    if not rare(x, RARE * min(1.0, outputs / 64)):
        return eager.weight_gradient(job)
    padded = outputs + -outputs % (VECTOR // grad.dtype.itemsize)
    grad_w = grad.new_empty(x.shape[1], padded)
    _run("weight_gradient", x, outputs, [None, None, None, grad.contiguous(), grad_w])
    return grad_w[:, :outputs].T.contiguous()


def _run(direction: str, x: Tensor, outputs: int, tensors: Sequence[Tensor | None]) -> None:
    kind = "bytes" if x.dtype == torch.uint8 else "reals"
    sizes = [*x.shape, outputs, torch.get_num_threads()]
    library.call(f"sparse_{direction}_of_{kind}", sizes, [x, *tensors])
