"""SRC, mSRC and BSRC on the "c" backend, with the arguments and results of the eager form."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from snn_neuromod.kernels.library import call, structure
from snn_neuromod.kernels.neurons import Neuron

KINDS = ("src", "msrc", "bsrc")
PARAMS = ("alpha", "rho", "r", "r_s", "z", "z_hyp", "z_dep", "b", "h_s0", "r_u", "z_u", "h_u0")
STATES = ("i", "h", "h_s", "h_u")
"""All three in the order of the C sources."""

ARGUMENTS = structure(
    "num_steps rows num threads kind straight_through detach_recurrence "
    + " ".join(f"{name}_by_row {name}_by_neuron" for name in PARAMS)
    + " h_s0_by_step",
    "",
    " ".join(
        [
            *PARAMS,
            "current",
            "spikes",
            *(f"{name}_state" for name in STATES),
            *STATES,
            "grad_spikes",
            "grad_current",
            *(f"grad_state_{name}" for name in STATES),
            *(f"grad_{name}" for name in PARAMS),
        ]
    ),
)


def _run(
    direction: str,
    neuron: Neuron,
    params: Sequence[Tensor],
    current: Tensor,
    **tensors: Tensor,
) -> None:
    tensors["current"] = current = current.contiguous()
    kind = str(neuron.module.__name__).rpartition(".")[2]
    shape = current.shape[1:]
    num = shape[-1]
    numbers: dict[str, float] = {
        "num_steps": current.shape[0],
        "rows": math.prod(shape) // num if num else 0,
        "num": num,
        "threads": torch.get_num_threads(),
        "kind": KINDS.index(kind),
        "straight_through": neuron.options["straight_through"],
        "detach_recurrence": neuron.options["detach_recurrence"],
    }
    for name, p in zip(neuron.module.Params._fields, params, strict=True):
        tensor, by_step, by_row, by_neuron = _strides(p, current)
        tensors[name] = tensor
        numbers[f"{name}_by_row"], numbers[f"{name}_by_neuron"] = by_row, by_neuron
        if by_step:
            numbers[f"{name}_by_step"] = by_step
    call(f"src_{direction}", ARGUMENTS, current.dtype, tensors, numbers)


def _strides(p: Tensor, current: Tensor) -> tuple[Tensor, int, int, int]:
    """A parameter, contiguous, and its strides between steps, rows and neurons; 0 where it does not change."""
    if p.ndim > 1:  # as (steps or 1, rows or 1, neurons or 1)
        axes = (1,) * (current.ndim - p.ndim) + tuple(p.shape)
        batch = axes[1:-1] if math.prod(axes[1:-1]) == 1 else tuple(current.shape[1:-1])
        p = p.expand(axes[0], *batch, axes[-1]).reshape(axes[0], math.prod(batch), axes[-1])
    p = p.contiguous()
    steps, rows, num = (1,) * (3 - p.ndim) + tuple(p.shape)
    return (
        p,
        rows * num if steps > 1 else 0,
        num if rows > 1 else 0,
        1 if num > 1 else 0,
    )


def forward(
    neuron: Neuron,
    current: Tensor,
    params: Sequence[Tensor],
    state: Sequence[Tensor],
    spikes: Tensor,
    tracks: dict[str, Tensor],
) -> list[Tensor]:
    """Run a sequence; arguments and result as of `native.forward`."""
    last = {
        f"{name}_state": s.clone(memory_format=torch.contiguous_format)
        for name, s in zip(neuron.module.State._fields, state, strict=True)
    }
    _run("forward", neuron, params, current, spikes=spikes, **last, **tracks)
    return list(last.values())


def backward(
    neuron: Neuron,
    grad_spikes: Tensor,
    grad_state: Sequence[Tensor | None],
    current: Tensor,
    params: Sequence[Tensor],
    state: Sequence[Tensor],
    tracks: dict[str, Tensor],
    needed: Sequence[bool],
) -> list[Tensor]:
    """Gradients of a sequence; arguments and results as of `native.backward`."""
    carry = {
        f"grad_state_{name}": torch.zeros_like(s, memory_format=torch.contiguous_format)
        if grad is None
        else grad.expand_as(s).clone(memory_format=torch.contiguous_format)
        for name, s, grad in zip(neuron.module.State._fields, state, grad_state, strict=True)
    }
    learned = {
        f"grad_{name}": torch.empty_like(
            current if p.ndim == current.ndim and p.shape[0] > 1 else current[:1],
            memory_format=torch.contiguous_format,
        )
        for name, p, need in zip(neuron.module.Params._fields, params, needed, strict=True)
        if need
    }
    grad_current = torch.empty_like(current, memory_format=torch.contiguous_format)
    _run(
        "backward",
        neuron,
        params,
        current,
        grad_spikes=grad_spikes.contiguous(),
        grad_current=grad_current,
        **tracks,
        **carry,
        **learned,
    )
    grad_params = [
        learned[f"grad_{name}"].sum_to_size(p.shape) if need else torch.zeros_like(p)
        for name, p, need in zip(neuron.module.Params._fields, params, needed, strict=True)
    ]
    return [grad_current, *grad_params, *carry.values()]
