"""Eligibility traces by the kernels in `kernels/c/eligibility.h`, in one pass over memory.

Of the inputs s only those that are not zero cost anything.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor

from snn_neuromod.kernels.backends.c import library
from snn_neuromod.kernels.jobs import Advance, Gather

MOST, STEPS = 4, 240
"""Variables and steps of a segment that the kernels know."""


def unable(job: Advance | Gather) -> str | None:
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
    _run("forward", job.traces, len(values), [values, None], [None] * len(every), inputs, factors)


def gather(job: Gather) -> Tensor:
    """The gradient, (synapse, neuron)."""
    grad_w = job.traces[0].new_empty(job.traces[0].shape[1:])
    _run("gradient", job.traces, 0, [None, grad_w], job.grads)
    return grad_w


def _run(
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
