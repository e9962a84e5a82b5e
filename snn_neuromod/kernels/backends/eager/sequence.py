"""Sequences in plain PyTorch, forwards and backwards, printed from the neuron's step.

The backward pass works on segments small enough to stay in cache: the derivatives of the segment's steps, then the
reverse sweep of `adjoint`. A step that cannot be traced, or whose reverse pass is not linear, runs as it is, and its
derivatives come from automatic differentiation of the step alone (`generic`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from snn_neuromod.kernels.backends.eager import generic, printed
from snn_neuromod.kernels.backends.eager.adjoint import Adjoints, sweep
from snn_neuromod.kernels.backends.eager.linearisation import Coefficient
from snn_neuromod.kernels.backends.eager.segments import segment_length
from snn_neuromod.kernels.call import Call

__all__ = ["backward", "forward", "new_tracks", "reads_input"]


def _way(call: Call) -> Any:
    """What runs a call: `printed` where the step can be printed, else `generic`."""
    return generic if printed.unable(call) else printed


def new_tracks(call: Call) -> dict[str, Tensor]:
    """Empty tensors for what the forward pass keeps, by name; nothing without a backward pass."""
    tracks: dict[str, Tensor] = _way(call).new_tracks(call) if call.keep else {}
    return tracks


def reads_input(call: Call) -> bool:
    """Whether the backward pass reads the input."""
    return bool(_way(call).reads_input(call))


def forward(call: Call) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """Run a sequence; results as of `backends.c.prepared.Prepared.forward`."""
    tracks = new_tracks(call)
    spikes = torch.empty_like(call.current, memory_format=torch.contiguous_format)
    last = _way(call).forward(call, spikes, tracks)
    return spikes, [s.clone() for s in last], [*tracks.values()]


def backward(
    call: Call,
    grad_spikes: Tensor,
    grad_state: Sequence[Tensor | None],
    spikes: Tensor,
    tracks: Sequence[Tensor],
) -> tuple[Tensor, list[Tensor | None], list[Tensor]]:
    """Gradients of a sequence; arguments and results as of `backends.c.prepared.Prepared.backward`."""
    ndim = spikes.ndim
    derivatives = _way(call).Derivatives(call, grad_state, spikes, tracks)
    states: Sequence[str] = derivatives.states
    carry: Adjoints = {name: g for name, g in zip(states, grad_state, strict=True) if g is not None}
    through = call.synapses if call.recurrent and call.paths.hops is None else []
    reach = max((group.delay for group in through), default=0)
    grad_current = torch.empty_like(spikes)
    grads = {
        name: torch.zeros_like(p)
        for (name, p), need in zip(call.params_by_name().items(), call.needed, strict=True)
        if need
    }
    length = segment_length(spikes)
    for stop in range(spikes.shape[0], 0, -length):
        start = max(0, stop - length)
        lin = derivatives.segment(start, stop)
        onwards = grad_current[start : stop + reach]
        adjoints, carry = sweep(lin, grad_spikes[start:stop], carry, onwards, recurrent=through)
        for name, target in grads.items():
            if target.ndim == ndim and target.shape[0] > 1:
                target = target[start:stop]
            for variable, coefficient in lin.params.get(name, {}).items():
                if variable in adjoints:
                    target += _product(adjoints[variable], coefficient).sum_to_size(target.shape)
    grad_initial = [
        torch.zeros_like(s) if carry.get(name) is None else carry[name].expand_as(s).clone()
        for name, s in zip(states, call.state, strict=True)
    ]
    return grad_current, [grads.get(name) for name in call.params_by_name()], grad_initial


def _product(value: Tensor, coefficient: Coefficient) -> Tensor:
    return value if isinstance(coefficient, float) and coefficient == 1.0 else value * coefficient
