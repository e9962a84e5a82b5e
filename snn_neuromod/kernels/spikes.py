r"""Products of weights with spikes that are bytes: only spikes cost anything.

$$
y_r = b + \sum_i x_{ri} w_{\cdot i}, \qquad
\frac{\partial L}{\partial w_{\cdot i}} = \sum_r x_{ri} \frac{\partial L}{\partial y_r}
$$

with rows r (steps and samples) and inputs i. On a CPU the sums run over the spikes alone while these are rare; else,
and without the compiled library, they are matrix products. Elsewhere `functional.linear` runs on converted spikes.
"""

from __future__ import annotations

from typing import Any, Optional

import torch
from torch import Tensor
from torch.nn import functional

from snn_neuromod.kernels import backends
from snn_neuromod.kernels.library import call, load, structure

__all__ = ["SPIKE_DTYPES", "compiled", "spike_linear"]

SPIKE_DTYPES = (torch.uint8, torch.bool)
"""Types of spikes that are bytes."""

RARE = 0.2
"""Share of inputs other than 0 below which single spikes are faster than a matrix product."""

_ARGUMENTS = structure("rows inputs outputs padded threads", "", "x w first out grad_out grad_w")


def spike_linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`functional.linear` that also takes spikes as bytes.

    Args:
        x: Input, (..., inputs): floating point, or spikes as uint8 (0 and 1, or small counts) or bool.
        weight: (outputs, inputs).
        bias: (outputs,), or None.

    Returns:
        (..., outputs). For bytes on a CPU in the dtype of `weight`, also within autocast.
    """
    if x.dtype not in SPIKE_DTYPES:
        return functional.linear(x, weight, bias)
    kind = x.device.type
    if kind != "cpu":
        mixed = torch.is_autocast_enabled(kind)
        dtype = torch.get_autocast_dtype(kind) if mixed else weight.dtype
        return functional.linear(x.to(dtype), weight, bias)
    bytes_ = x if x.dtype == torch.uint8 else x.view(torch.uint8)
    out: Tensor = torch.ops.snn_neuromod.spike_linear(bytes_, weight, bias)
    return out


def compiled(*tensors: Tensor) -> bool:
    """Whether the compiled library serves these tensors, bytes and int32 aside of the types it knows.

    Raises:
        RuntimeError: If the backend "c" was asked for and there is no library.
    """
    if backends.requested() not in ("auto", "c"):
        return False
    known = (torch.float32, torch.float64, torch.uint8, torch.int32, torch.int64)
    if any(x.device.type != "cpu" or x.dtype not in known for x in tensors):
        return False
    library, reason = load()
    if library is None and backends.requested() == "c":
        raise RuntimeError(
            f"backend 'c' was asked for by name and cannot serve: its library is {reason}; ask for 'auto' or 'eager'"
        )
    return library is not None


def _event_driven(x: Tensor, weights: Tensor) -> bool:
    if not compiled(x, weights):
        return False
    some = x[:: max(1, len(x) // 256)]  # enough to know whether spikes are rare
    return int(some.count_nonzero()) <= RARE * some.numel()


def _run(direction: str, x: Tensor, outputs: int, **tensors: Tensor) -> None:
    some = next(iter(tensors.values()))
    numbers = {
        "rows": x.shape[0],
        "inputs": x.shape[1],
        "outputs": outputs,
        "padded": some.shape[-1],
        "threads": torch.get_num_threads(),
    }
    call(f"spike_{direction}", _ARGUMENTS, some.dtype, {"x": x, **tensors}, numbers)


def _padded(columns: Tensor) -> Tensor:
    """Rows of whole vectors of 64 bytes."""
    width = 64 // columns.element_size()
    return functional.pad(columns, (0, -columns.shape[1] % width)).contiguous()


@torch.library.custom_op("snn_neuromod::spike_linear", mutates_args=())
def _spike_linear(
    x: Tensor,
    weight: Tensor,
    bias: Optional[Tensor],  # noqa: UP045  (operator schemas know this form)
) -> Tensor:
    rows, outputs = x.reshape(-1, x.shape[-1]).contiguous(), len(weight)
    shape = (*x.shape[:-1], outputs)
    if not _event_driven(rows, weight):
        with torch.autocast(x.device.type, enabled=False):
            return functional.linear(rows.to(weight.dtype), weight, bias).view(shape)
    w = _padded(weight.T)
    first = w.new_zeros(w.shape[1])
    if bias is not None:
        first[:outputs] = bias
    out = weight.new_empty(len(rows), outputs)
    _run("forward", rows, outputs, w=w, first=first, out=out)
    return out.view(shape)


@torch.library.custom_op("snn_neuromod::spike_linear_weight", mutates_args=())
def _weight_gradient(x: Tensor, grad: Tensor) -> Tensor:
    rows, grad_rows = x.reshape(-1, x.shape[-1]).contiguous(), grad.reshape(-1, grad.shape[-1])
    outputs = grad_rows.shape[1]
    if not _event_driven(rows, grad_rows):
        with torch.autocast(x.device.type, enabled=False):
            return grad_rows.T @ rows.to(grad.dtype)
    grad_out = _padded(grad_rows)
    grad_w = grad.new_empty(rows.shape[1], grad_out.shape[1])
    _run("weight_gradient", rows, outputs, grad_out=grad_out, grad_w=grad_w)
    return grad_w[:, :outputs].T.contiguous()


@_spike_linear.register_fake
def _(x: Tensor, weight: Tensor, bias: Optional[Tensor]) -> Tensor:  # noqa: UP045
    return weight.new_empty(*x.shape[:-1], weight.shape[0])


@_weight_gradient.register_fake
def _(x: Tensor, grad: Tensor) -> Tensor:
    return grad.new_empty(grad.shape[-1], x.shape[-1])


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(inputs[0])


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    (x,) = ctx.saved_tensors
    _, needs_weight, needs_bias = ctx.needs_input_grad
    return (
        None,
        torch.ops.snn_neuromod.spike_linear_weight(x, grad) if needs_weight else None,
        grad.reshape(-1, grad.shape[-1]).sum(0) if needs_bias else None,
    )


def _backward_twice(ctx: Any, grad_grad: Tensor) -> tuple[None, Tensor]:
    (x,) = ctx.saved_tensors
    return None, torch.ops.snn_neuromod.spike_linear(x, grad_grad, None)


_spike_linear.register_autograd(_backward, setup_context=_keep)
_weight_gradient.register_autograd(_backward_twice, setup_context=_keep)
