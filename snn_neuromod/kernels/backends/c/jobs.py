"""The smaller calls by the compiled library: products with spikes, rate code and eligibility traces.

Of inputs, of a product and of traces alike, only those that are not zero cost anything.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from snn_neuromod.kernels.backends.c import library
from snn_neuromod.kernels.backends.eager import jobs as eager
from snn_neuromod.kernels.jobs import Advance, Gather, Product, RateCode, WeightGradient

RARE = 0.4
"""Share of inputs other than 0 below which single ones are faster than a matrix product."""

VECTOR = 64
"""Bytes of a vector in the C sources."""

MOST, STEPS = 4, 240
"""Variables and steps of a segment that the kernels know."""


def rare(x: Tensor, below: float = RARE) -> bool:
    """Whether few inputs, (rows, ...), are other than 0, by a sample of them."""
    some = x[:: max(1, len(x) // 128)]
    return int(some.count_nonzero()) <= below * some.numel()


def product_unable(job: Product) -> str | None:
    """Why the library cannot serve a product; None if it can."""
    return library.unable(job.x, job.weight) or (None if job.weight.numel() else "no weights")


def product(job: Product) -> Tensor:
    """The product, (rows, outputs)."""
    x, weight, bias = job
    if not rare(x):
        return eager.product(job)
    outputs, inputs = weight.shape
    strip = 4 * VECTOR // weight.dtype.itemsize
    padded = functional.pad(weight, (0, 0, 0, -outputs % strip))
    w = padded.view(-1, strip, inputs).transpose(1, 2).contiguous()
    first = w.new_zeros(outputs) if bias is None else bias.contiguous()
    out = weight.new_empty(len(x), outputs)
    _sparse("forward", x, outputs, [w, first, out, None, None])
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
    _sparse("weight_gradient", x, outputs, [None, None, None, grad.contiguous(), grad_w])
    return grad_w[:, :outputs].T.contiguous()


def _sparse(direction: str, x: Tensor, outputs: int, tensors: Sequence[Tensor | None]) -> None:
    kind = "bytes" if x.dtype == torch.uint8 else "reals"
    sizes = [*x.shape, outputs, torch.get_num_threads()]
    library.call(f"sparse_{direction}_of_{kind}", sizes, [x, *tensors])


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
        (values, mask), *more = job.sources
        if more or mask is not None:
            return "the kernels know one delay, or delays by sender"
        if len(values) > STEPS:
            return f"the kernels know segments of at most {STEPS} steps, got {len(values)}"
    return library.unable(*job.traces)


def advance(job: Advance) -> None:
    """Take the traces on, in place."""
    every = range(len(job.traces))
    values = job.sources[0][0]
    inputs = [job.inputs.get(y) for y in every]
    factors = [job.factors.get((y, x)) for y in every for x in every]
    _traces(
        "forward", job.traces, len(values), [values, None], [None] * len(every), inputs, factors
    )


def gather(job: Gather) -> Tensor:
    """The gradient, (synapse, neuron)."""
    grad_w = job.traces[0].new_empty(job.traces[0].shape[1:])
    _traces("gradient", job.traces, 0, [None, grad_w], job.grads)
    return grad_w


def _traces(
    direction: str,
    traces: Sequence[Tensor],
    num_steps: int,
    first: Sequence[Tensor | None],
    *others: Sequence[Tensor | None],
) -> None:
    rest = [None if x is None else x.contiguous() for x in itertools.chain(first, *others)]
    sizes = [num_steps, *traces[0].shape, torch.get_num_threads(), len(traces)]
    tensors = [*rest[:2], *traces, *rest[2:]]
    library.call(f"eligibility_{direction}", sizes, tensors)
