r"""Products of weights with inputs that are mostly zero, spikes above all: only what is not zero costs anything.

$$
y_r = b + \sum_i x_{ri} w_{\cdot i}, \qquad
\frac{\partial L}{\partial w_{\cdot i}} = \sum_r x_{ri} \frac{\partial L}{\partial y_r}
$$

with rows r (steps and samples) and inputs i, bytes or floating point. On a CPU the sums run over the inputs that are
not zero alone while these are rare; else, and without the compiled library, they are matrix products. Elsewhere
`functional.linear` runs on converted spikes.
"""

from __future__ import annotations

from typing import Any, Optional

import torch
from torch import Tensor
from torch.nn import functional

from snn_neuromod.kernels import backends
from snn_neuromod.kernels.jobs import Product, WeightGradient
from snn_neuromod.kernels.transforms import transformed

__all__ = ["SPIKE_DTYPES", "spike_linear"]

SPIKE_DTYPES = (torch.uint8, torch.bool)
"""Types of spikes that are bytes."""

WORTHWHILE = 1 << 16
"""Rows times inputs of a floating-point product below which to look for zeros does not pay."""


def spike_linear(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, *, backend: str | None = None
) -> Tensor:
    """`functional.linear` that also takes spikes as bytes, and makes use of zeros.

    Args:
        x: Input, (..., inputs): floating point, or spikes as uint8 (0 and 1, or small counts) or bool.
        weight: (outputs, inputs).
        bias: (outputs,), or None.
        backend: Asked for by name; None: see `backends.use`. The backward pass follows.

    Returns:
        (..., outputs). For bytes on a CPU in the dtype of `weight`, also within autocast.

    Raises:
        ValueError: If a size does not fit.
        TypeError: If bytes are on another device than the weight.
        RuntimeError: If floating-point inputs are of another type or device than the weight, or the backend asked for
            cannot serve.
    """
    kind, asked = x.device.type, backends.requested(backend)
    if x.dtype not in SPIKE_DTYPES:
        if not _may_be_sparse(x, weight, asked):
            return functional.linear(x, weight, bias)
    else:
        x = x.view(torch.uint8) if x.dtype == torch.bool else x
        Product(x, weight, bias).check()
        if kind != "cpu" or transformed(weight):
            mixed = kind != "meta" and torch.is_autocast_enabled(kind)
            dtype = torch.get_autocast_dtype(kind) if mixed else weight.dtype
            return functional.linear(x.to(dtype), weight, bias)
    out: Tensor = _spike_linear(x, weight, bias, asked)
    return out


def _may_be_sparse(x: Tensor, weight: Tensor, backend: str) -> bool:
    """Whether it is worth while to look for zeros among floating-point inputs."""
    return (
        x.numel() >= WORTHWHILE
        and not x.is_meta
        and x.dtype == weight.dtype
        and not torch.is_autocast_enabled(x.device.type)
        and not torch.compiler.is_compiling()  # where a product can be fused with what is around it
        and not transformed(x, weight)
        and backends.choose(Product(x, weight, None), backend) not in ("eager", "reference")
    )


@torch.library.custom_op("snn_neuromod::spike_linear", mutates_args=())
def _spike_linear(
    x: Tensor,
    weight: Tensor,
    bias: Optional[Tensor],  # noqa: UP045  (operator schemas know this form)
    backend: str,
) -> Tensor:
    job = Product(x, weight, bias)
    job.check()
    job = job._replace(x=x.reshape(-1, x.shape[-1]).contiguous())
    out: Tensor = backends.serving(job, _within_reach(job, backend)).forward(job)
    return out.view(*x.shape[:-1], weight.shape[0])


@torch.library.custom_op("snn_neuromod::spike_linear_weight", mutates_args=())
def _weight_gradient(x: Tensor, grad: Tensor, backend: str) -> Tensor:
    WeightGradient(x, grad).check()
    rows = x.reshape(-1, x.shape[-1]).contiguous()
    job = WeightGradient(rows, grad.reshape(-1, grad.shape[-1]))
    found: Tensor = backends.serving(job, _within_reach(job, backend)).forward(job)
    return found


def _within_reach(job: Product | WeightGradient, backend: str) -> str:
    """What was asked for; no backend has anything of its own for types but float32 and float64, or for no weights."""
    like = job[1]
    known = like.dtype in (torch.float32, torch.float64) and like.device.type == "cpu"
    return backend if known and like.numel() else "eager"


@_spike_linear.register_fake
def _(x: Tensor, weight: Tensor, bias: Optional[Tensor], backend: str) -> Tensor:  # noqa: UP045
    Product(x, weight, bias).check()
    return weight.new_empty(*x.shape[:-1], weight.shape[0])


@_weight_gradient.register_fake
def _(x: Tensor, grad: Tensor, backend: str) -> Tensor:
    WeightGradient(x, grad).check()
    return grad.new_empty(grad.shape[-1], x.shape[-1])


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs[:2])
    ctx.backend = inputs[-1]


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    x, weight = ctx.saved_tensors
    needs_x, needs_weight, needs_bias, _ = ctx.needs_input_grad
    return (
        grad @ weight if needs_x else None,
        torch.ops.snn_neuromod.spike_linear_weight(x, grad, ctx.backend) if needs_weight else None,
        grad.reshape(-1, grad.shape[-1]).sum(0) if needs_bias else None,
        None,
    )


def _backward_twice(ctx: Any, grad_weight: Tensor) -> tuple[Tensor | None, Tensor, None]:
    x, grad = ctx.saved_tensors
    return (
        grad @ grad_weight if ctx.needs_input_grad[0] else None,
        torch.ops.snn_neuromod.spike_linear(x, grad_weight, None, ctx.backend),
        None,
    )


_spike_linear.register_autograd(_backward, setup_context=_keep)
_weight_gradient.register_autograd(_backward_twice, setup_context=_keep)
