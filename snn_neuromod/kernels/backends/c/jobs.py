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

SCAN, LIST, ADD, CONVERT, FEW = 10, 130, 2.7, 30, 8
"""What single inputs cost, in multiplications of a wide matrix product: to look at one, to list one other than 0, for
each output of one; to turn a byte into a number for the product, and what a product adds for each input. Measured with
AVX-512 on one thread."""

STRIP = 256
"""Bytes of the columns that the C sources hold side by side."""

TOGETHER = 48
"""Inputs other than 0 of a sum, on average, whose rows are in cache at a time."""

MOST, STEPS = 4, 240
"""Variables and steps of a segment that the kernels know."""


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
