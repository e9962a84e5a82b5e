"""Eligibility traces by the kernels in `kernels/c/eligibility.h`, in one pass over memory.

Of the inputs s only those that are not zero cost anything.
"""

from __future__ import annotations

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
    values = job.sources[0][0]
    _run(
        "forward",
        job.traces,
        len(values),
        {
            "s": values.contiguous(),
            **{f"d_{y}": delta.contiguous() for y, delta in job.inputs.items()},
            **{f"f_{y}_{x}": factor.contiguous() for (y, x), factor in job.factors.items()},
        },
    )


def gather(job: Gather) -> Tensor:
    """The gradient, (synapse, neuron)."""
    grad_w = job.traces[0].new_empty(job.traces[0].shape[1:])
    given = {f"g_{y}": grad.contiguous() for y, grad in enumerate(job.grads)}
    _run("gradient", job.traces, 0, {"grad_w": grad_w, **given})
    return grad_w


def _run(
    direction: str, traces: Sequence[Tensor], num_steps: int, tensors: dict[str, Tensor]
) -> None:
    rows, inputs, num = traces[0].shape
    numbers = {
        "steps": num_steps,
        "rows": rows,
        "inputs": inputs,
        "num": num,
        "threads": torch.get_num_threads(),
        "count": len(traces),
    }
    states = {f"e_{y}": trace for y, trace in enumerate(traces)}
    name, dtype = f"eligibility_{direction}", traces[0].dtype
    library.call(name, "ELIGIBILITY", dtype, {**states, **tensors}, numbers)
