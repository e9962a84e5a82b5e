"""SRC, mSRC and BSRC by the kernels in `kernels/c/src.h`; arguments and results as in `backends.c.sequence`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor

from snn_neuromod.kernels.backends.c.library import call as call_kernel
from snn_neuromod.kernels.backends.c.neurons import SRC_PARAMS
from snn_neuromod.kernels.call import Call

_KINDS = ("src", "msrc", "bsrc")


def forward(call: Call, spikes: Tensor, kept: Mapping[str, Tensor]) -> list[Tensor]:
    """Run a sequence: write `spikes` and what is kept, return the last state."""
    last = [s.clone(memory_format=torch.contiguous_format) for s in call.state]
    _run(
        "forward",
        call,
        {"spikes": spikes, **_states("state", last), **_states("marks", kept.values())},
    )
    return last


def backward(
    call: Call, grad_spikes: Tensor, carry: list[Tensor], kept: Sequence[Tensor]
) -> tuple[Tensor, list[Tensor | None]]:
    """Gradients of the input and of the needed parameters; `carry` becomes that of the first state."""
    current = call.current
    grads: list[Tensor | None] = [
        torch.empty_like(
            current if p.ndim == current.ndim and p.shape[0] > 1 else current[:1],
            memory_format=torch.contiguous_format,
        )
        if need
        else None
        for p, need in zip(call.params, call.needed, strict=True)
    ]
    grad_current = torch.empty_like(current, memory_format=torch.contiguous_format)
    places = map(SRC_PARAMS.index, call.neuron.module.Params._fields)
    _run(
        "backward",
        call,
        {
            "grad_spikes": grad_spikes.contiguous(),
            "grad_current": grad_current,
            **_states("marks", kept),
            **_states("grad_state", carry),
            **{f"grad_params_{k}": grad for k, grad in zip(places, grads, strict=True)},
        },
    )
    return grad_current, grads


def _states(name: str, tensors: Iterable[Tensor]) -> dict[str, Tensor | None]:
    """One tensor for each state; those of the family come in the order of the sources."""
    return {f"{name}_{k}": tensor for k, tensor in enumerate(tensors)}


def _run(direction: str, call: Call, tensors: dict[str, Tensor | None]) -> None:
    current = call.current.contiguous()
    rows = math.prod(current.shape[1:-1])
    numbers: dict[str, float] = {
        "num_steps": current.shape[0],
        "rows": rows,
        "num": current.shape[-1],
        "threads": torch.get_num_threads(),
        "kind": _KINDS.index(call.neuron.name),
        **call.neuron.options,
    }
    for name, p in call.params_by_name().items():
        k = SRC_PARAMS.index(name)
        tensors[f"params_{k}"], by_step, by_row, by_neuron = _strides(p, current)
        numbers[f"strides_{k}_0"], numbers[f"strides_{k}_1"] = by_row, by_neuron
        if by_step:
            numbers["per_step"] = by_step
    call_kernel(f"src_{direction}", "SRC", current.dtype, {**tensors, "current": current}, numbers)


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
