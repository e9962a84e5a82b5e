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
from torch.autograd.forward_ad import unpack_dual
from torch.nn import functional

from snn_neuromod.kernels import backends
from snn_neuromod.kernels.library import call, load, structure

__all__ = ["SPIKE_DTYPES", "compiled", "spike_linear"]

SPIKE_DTYPES = (torch.uint8, torch.bool)
"""Types of spikes that are bytes."""

RARE = 0.4
"""Share of inputs other than 0 below which single ones are faster than a matrix product."""

WORTHWHILE = 1 << 16
"""Rows times inputs of a floating-point product below which to look for zeros does not pay."""

VECTOR = 64
"""Bytes of a vector in the C sources."""

_ARGUMENTS = structure("rows inputs outputs threads", "", "x w first out grad_out grad_w")


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
    """
    kind, asked = x.device.type, backends.requested(backend)
    if x.dtype not in SPIKE_DTYPES:
        if _may_be_sparse(x, weight, asked):
            return _product(x, weight, bias, asked)
        return functional.linear(x, weight, bias)
    if kind != "cpu":
        mixed = torch.is_autocast_enabled(kind)
        dtype = torch.get_autocast_dtype(kind) if mixed else weight.dtype
        return functional.linear(x.to(dtype), weight, bias)
    return _product(x if x.dtype == torch.uint8 else x.view(torch.uint8), weight, bias, asked)


def _product(x: Tensor, weight: Tensor, bias: Tensor | None, backend: str) -> Tensor:
    out: Tensor = torch.ops.snn_neuromod.spike_linear(x, weight, bias, backend)
    return out


def _may_be_sparse(x: Tensor, weight: Tensor, backend: str) -> bool:
    """Whether it is worth while to look for zeros among floating-point inputs."""
    return (
        x.numel() >= WORTHWHILE
        and x.dtype == weight.dtype
        and not torch.is_autocast_enabled(x.device.type)
        and not torch.compiler.is_compiling()  # where a product can be fused with what is around it
        and not torch._C._are_functorch_transforms_active()  # vmap, jvp, ...: operators know none
        and all(unpack_dual(tensor).tangent is None for tensor in (x, weight))
        and compiled(x, weight, backend=backend)
    )


def compiled(*tensors: Tensor, backend: str) -> bool:
    """Whether the compiled library serves these tensors, bytes and int32 aside of the types it knows.

    Args:
        *tensors: What it would read.
        backend: What was asked for, from `backends.requested`.

    Raises:
        RuntimeError: If the backend "c" was asked for and there is no library.
    """
    if backend not in ("auto", "c"):
        return False
    known = (torch.float32, torch.float64, torch.uint8, torch.int32, torch.int64)
    if any(x.device.type != "cpu" or x.dtype not in known for x in tensors):
        return False
    library, reason = load()
    if library is None and backend == "c":
        raise RuntimeError(
            f"backend 'c' was asked for by name and cannot serve: its library is {reason}; ask for 'auto' or 'eager'"
        )
    return library is not None


def rare(x: Tensor, below: float = RARE) -> bool:
    """Whether few inputs, (rows, ...), are other than 0, by a sample of them."""
    some = x[:: max(1, len(x) // 128)]
    return int(some.count_nonzero()) <= below * some.numel()


def _rare_for_gradient(x: Tensor, outputs: int) -> bool:
    """As `rare`; a few columns take as long as a strip of them, the product of matrices does not."""
    return rare(x, RARE * min(1.0, outputs / 64))


def _run(direction: str, x: Tensor, outputs: int, **tensors: Tensor) -> None:
    numbers = {
        "rows": x.shape[0],
        "inputs": x.shape[1],
        "outputs": outputs,
        "threads": torch.get_num_threads(),
    }
    kind = "bytes" if x.dtype == torch.uint8 else "reals"
    dtype = next(iter(tensors.values())).dtype
    call(f"sparse_{direction}_of_{kind}", _ARGUMENTS, dtype, {"x": x, **tensors}, numbers)


def weight_gradient(x: Tensor, grad: Tensor) -> Tensor:
    """Sum over rows of `grad` times `x`, by the compiled library.

    Args:
        x: Inputs, contiguous, (rows, inputs).
        grad: Gradient of the outputs, (rows, outputs).

    Returns:
        (outputs, inputs).
    """
    outputs = grad.shape[1]
    padded = outputs + -outputs % (VECTOR // grad.dtype.itemsize)
    grad_w = grad.new_empty(x.shape[1], padded)
    _run("weight_gradient", x, outputs, grad_out=grad.contiguous(), grad_w=grad_w)
    return grad_w[:, :outputs].T.contiguous()


@torch.library.custom_op("snn_neuromod::spike_linear", mutates_args=())
def _spike_linear(
    x: Tensor,
    weight: Tensor,
    bias: Optional[Tensor],  # noqa: UP045  (operator schemas know this form)
    backend: str,
) -> Tensor:
    rows, outputs = x.reshape(-1, x.shape[-1]).contiguous(), len(weight)
    shape = (*x.shape[:-1], outputs)
    if not (weight.numel() and compiled(rows, weight, backend=backend) and rare(rows)):
        with torch.autocast(x.device.type, enabled=False):
            return functional.linear(rows.to(weight.dtype), weight, bias).view(shape)
    strip = 4 * VECTOR // weight.dtype.itemsize
    padded = functional.pad(weight, (0, 0, 0, -outputs % strip))
    w = padded.view(-1, strip, weight.shape[1]).transpose(1, 2).contiguous()
    first = w.new_zeros(outputs) if bias is None else bias.contiguous()
    out = weight.new_empty(len(rows), outputs)
    _run("forward", rows, outputs, w=w, first=first, out=out)
    return out.view(shape)


@torch.library.custom_op("snn_neuromod::spike_linear_weight", mutates_args=())
def _weight_gradient(x: Tensor, grad: Tensor, backend: str) -> Tensor:
    rows, grad_rows = x.reshape(-1, x.shape[-1]).contiguous(), grad.reshape(-1, grad.shape[-1])
    served = grad.numel() and compiled(rows, grad_rows, backend=backend)
    if served and _rare_for_gradient(rows, grad.shape[-1]):
        return weight_gradient(rows, grad_rows)
    with torch.autocast(x.device.type, enabled=False):
        return grad_rows.T @ rows.to(grad.dtype)


@_spike_linear.register_fake
def _(x: Tensor, weight: Tensor, bias: Optional[Tensor], backend: str) -> Tensor:  # noqa: UP045
    return weight.new_empty(*x.shape[:-1], weight.shape[0])


@_weight_gradient.register_fake
def _(x: Tensor, grad: Tensor, backend: str) -> Tensor:
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
