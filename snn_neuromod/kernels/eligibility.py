r"""Eligibility traces that are carried from one segment of a sequence to the next, by the compiled library.

$$
\epsilon^y_{bij} \leftarrow \sum_x f^{yx}_{bj} \epsilon^x_{bij} + \sum_t s_{tbi} \, \delta^y_{tbj}, \qquad
\frac{\partial L}{\partial W_{ji}} = \sum_{b, y} g^y_{bj} \epsilon^y_{bij}
$$

for samples b, synapses i, neurons j, and variables x and y of a neuron; what they mean is told in
`snn_neuromod.learning.eprop.carried`. One pass over the traces each; of the inputs s only those that are not zero cost
anything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.autograd.graph import increment_version

from snn_neuromod.kernels.library import call, structure
from snn_neuromod.kernels.spikes import compiled

__all__ = ["advance", "gradient", "serves"]

MOST, STEPS = 4, 240
"""Variables and steps of a segment that the kernels know."""

_INDICES = range(MOST)
_ARGUMENTS = structure(
    "steps rows inputs num threads count",
    "",
    " ".join(
        [
            "s",
            *(f"d{y}" for y in _INDICES),
            *(f"f{y}{x}" for y in _INDICES for x in _INDICES),
            *(f"e{y}" for y in _INDICES),
            *(f"g{y}" for y in _INDICES),
            "grad_w",
        ]
    ),
)


def serves(num_variables: int, num_steps: int, tensor: Tensor, *, backend: str) -> bool:
    """Whether the kernels know this many variables and steps, and tensors like this one.

    Raises:
        RuntimeError: If the backend "c" was asked for and there is no library.
    """
    known = 0 < num_variables <= MOST and num_steps <= STEPS
    return compiled(tensor, backend=backend) and known


def advance(
    traces: Sequence[Tensor],
    factors: Mapping[tuple[int, int], Tensor],
    inputs: Mapping[int, Tensor],
    sources: Tensor,
) -> None:
    """Take traces from a segment's start to its end, in place.

    Args:
        traces: Of each variable, contiguous, (batch, synapse, neuron).
        factors: f by the indices (y, x) of two variables, (batch, neuron); absent where it is zero.
        inputs: delta by the index of a variable, (steps, batch, neuron); likewise.
        sources: s, (steps, batch, synapse).
    """
    _run(
        "forward",
        traces,
        steps=len(sources),
        s=sources.contiguous(),
        **{f"d{y}": delta.contiguous() for y, delta in inputs.items()},
        **{f"f{y}{x}": factor.contiguous() for (y, x), factor in factors.items()},
    )
    increment_version(traces)  # so that autograd finds out when a graph still needed the old ones


def gradient(traces: Sequence[Tensor], grads: Mapping[int, Tensor]) -> Tensor:
    """Gradient of the weights through the traces.

    Args:
        traces: As of `advance`.
        grads: g by the index of a variable, (batch, neuron); absent where it is zero.

    Returns:
        (synapse, neuron).
    """
    grad_w = traces[0].new_empty(traces[0].shape[1:])
    given = {f"g{y}": grad.contiguous() for y, grad in grads.items()}
    _run("gradient", traces, steps=0, grad_w=grad_w, **given)
    return grad_w


def _run(direction: str, traces: Sequence[Tensor], *, steps: int, **tensors: Tensor) -> None:
    rows, inputs, num = traces[0].shape
    numbers = {
        "steps": steps,
        "rows": rows,
        "inputs": inputs,
        "num": num,
        "threads": torch.get_num_threads(),
        "count": len(traces),
    }
    states = {f"e{y}": trace for y, trace in enumerate(traces)}
    call(f"eligibility_{direction}", _ARGUMENTS, traces[0].dtype, {**states, **tensors}, numbers)
