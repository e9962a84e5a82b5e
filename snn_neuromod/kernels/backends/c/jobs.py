"""The smaller calls by the compiled library: products with spikes, rate code and eligibility traces.

Of inputs, of a product and of traces alike, only those that are not zero cost anything.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from snn_neuromod.kernels.backends.c import library
from snn_neuromod.kernels.backends.eager import jobs as eager
from snn_neuromod.kernels.jobs import Advance, Gather, Product, RateCode, WeightGradient

SCAN, LIST, ADD, CONVERT, FEW = 10, 130, 2.7, 30, 8
"""What single inputs cost, in multiplications of a wide matrix product: to look at one, to list one other than 0, for
each output of one; to turn a byte into a number for the product, and what a product adds for each input. Measured with
AVX-512 on one thread."""

STRIP = 256
"""Bytes of the columns that the C sources hold side by side."""

TOGETHER = 48
"""Inputs other than 0 of a sum, on average, whose rows are in cache at a time."""

MOST = 4
"""Variables with traces that the kernels know."""


def share(x: Tensor) -> float:
    """Share of inputs, (rows, ...), that are other than 0, by a sample of them."""
    some = x[:: max(1, len(x) // 128)]
    return int(some.count_nonzero()) / max(1, some.numel())


def rare(found: float, outputs: int, *, as_bytes: bool) -> bool:
    """Whether so small a share of inputs is faster one by one than by a matrix product."""
    alone = SCAN + found * (LIST + ADD * outputs)
    together = min(2.5 * outputs, outputs + FEW) + CONVERT * as_bytes
    return alone < together


def product_unable(job: Product) -> str | None:
    """Why the library cannot serve a product; None if it can."""
    return library.unable(job.x, job.weight) or (None if job.weight.numel() else "no weights")


def product(job: Product) -> Tensor:
    """The product, (rows, outputs)."""
    x, weight, bias = job
    found, (outputs, inputs) = share(x), weight.shape
    if not rare(found, outputs, as_bytes=x.dtype == torch.uint8):
        return eager.product(job)
    strip = _strip(outputs, weight)
    padded = functional.pad(weight, (0, 0, 0, -outputs % strip)) if outputs % strip else weight
    strips = padded.view(-1, strip, inputs).transpose(1, 2).contiguous()
    first = weight.new_zeros(outputs) if bias is None else bias.contiguous()
    out = weight.new_empty(len(x), outputs)
    _sparse("forward", found, outputs, x, strips, first, out)
    return out


def gradient_unable(job: WeightGradient) -> str | None:
    """Why the library cannot serve the gradient of weights; None if it can."""
    return library.unable(job.x, job.grad) or (None if job.grad.numel() else "no gradient")


def weight_gradient(job: WeightGradient) -> Tensor:
    """The sum over rows of `grad` times `x`, (outputs, inputs)."""
    x, grad = job
    found, outputs = share(x), grad.shape[1]
    if not rare(found, outputs, as_bytes=x.dtype == torch.uint8):
        return eager.weight_gradient(job)
    out = grad.new_empty(outputs, x.shape[1])
    _sparse("weight_gradient", found, outputs, x, grad.contiguous(), None, out)
    return out


def _strip(outputs: int, like: Tensor) -> int:
    """Columns that are held side by side: all if they are few, and whole vectors."""
    size = like.dtype.itemsize
    return min(STRIP // size, outputs + -outputs % (64 // size))


def _sparse(
    direction: str, found: float, outputs: int, x: Tensor, w: Tensor, *others: Tensor | None
) -> None:
    """Sum rows of `w`: for every row of `x` over its inputs, or for every input over the rows."""
    block = min(max(64, int(TOGETHER / max(found, 1e-6)) // 64 * 64), 4096)
    kind = "bytes" if x.dtype == torch.uint8 else "reals"
    sizes = [*x.shape, outputs, torch.get_num_threads(), block, _strip(outputs, w)]
    library.call(f"sparse_{direction}_of_{kind}", sizes, [x, w, *others])


def code_unable(job: RateCode) -> str | None:
    """Why the library cannot serve a code; None if it can."""
    return library.unable(job.limit, job.key)


def rate_code(job: RateCode) -> Tensor:
    """The spikes, uint8, (blank_steps + num_steps, sample, pixel)."""
    limit, key, num_steps, blank_steps = job
    spikes = torch.zeros((blank_steps + num_steps, *limit.shape), dtype=torch.uint8)
    sizes = [num_steps, *limit.shape, torch.get_num_threads()]
    library.call("rate_code", sizes, [spikes[blank_steps:], limit.contiguous(), key.contiguous()])
    return spikes


def traces_unable(job: Advance | Gather) -> str | None:
    """Why the library cannot serve; None if it can."""
    count = len(job.traces)
    if not 0 < count <= MOST:
        return f"the kernels know 1 to {MOST} variables with traces, got {count}"
    if isinstance(job, Advance):
        (_, mask), *more = job.sources
        if more or mask is not None:
            return "the kernels know one delay, or delays by sender"
    elif job.after is not None:
        return traces_unable(job.after)
    return library.unable(*job.traces)


def advance(job: Advance) -> None:
    """Take the traces on, in place."""
    _traces(job, [None] * len(job.traces), None)


def gather(job: Gather) -> Tensor:
    """The gradient, (synapse, neuron)."""
    pairs = [(e, g) for e, g in zip(job.traces, job.grads, strict=True) if g is not None]
    grad_w = pairs[0][1].new_zeros(pairs[0][0].shape[1], pairs[0][1].shape[1])
    _traces(job.after or Advance(job.traces, {}, {}, []), job.grads, grad_w)
    for trace, grad in pairs:
        if trace.shape[-1] < grad.shape[1]:
            grad_w.addmm_(trace[..., 0].T, grad)
    return grad_w


def _traces(by: Advance, grads: Sequence[Tensor | None], grad_w: Tensor | None) -> None:
    """Take the traces on, where there is something that does, and add their share to a gradient, where it is wanted."""
    num = next(x.shape[-1] for x in (*grads, *by.inputs.values()) if x is not None)
    values = by.sources[0][0] if by.sources else None
    (batch, synapses, _), steps = by.traces[0].shape, 0 if values is None else len(values)
    order = sorted(range(len(grads)), key=lambda y: by.traces[y].shape[-1] < num)
    own = sum(trace.shape[-1] == num for trace in by.traces)
    tensors = [values, grad_w, *(by.traces[y] for y in order), *(grads[y] for y in order)]
    tensors += [by.inputs.get(y) for y in order]
    tensors += [by.factors.get((y, x)) for y in order for x in order]
    sizes = [steps, batch, synapses, num, torch.get_num_threads(), len(order), own]
    library.call("eligibility", sizes, [None if x is None else x.contiguous() for x in tensors])
