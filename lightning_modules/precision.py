"""Numbers in the precision that they need, whatever the trainer's precision makes of weights and spikes."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn
from torch.func import functional_call

__all__ = ["as_weights", "at_least_float32", "read_exactly"]


def at_least_float32(tensor: Tensor) -> Tensor:
    """A floating-point tensor in float32, or as it is where it is more precise."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def as_weights(x: Tensor, network: nn.Module) -> Tensor:
    """Input in the type of a network's parameters, float32 without any; as it is where autocast sees to it."""
    if torch.is_autocast_enabled(x.device.type) and x.is_floating_point():
        return x
    return x.to(next((p.dtype for p in network.parameters()), torch.float32))


def read_exactly(readout: nn.Module, spikes: Tensor) -> Tensor:
    """Outputs of a readout, which sums over time in at least float32, also where its weights are of lower precision.

    Args:
        readout: Takes spikes (T, batch, neuron) and gives back outputs and a state.
        spikes: Of any floating-point type.

    Returns:
        The outputs.
    """
    exact = at_least_float32(spikes)
    named = itertools.chain(readout.named_parameters(), readout.named_buffers())
    lower = {n: at_least_float32(v) for n, v in named if v.dtype in (torch.bfloat16, torch.float16)}
    outputs: Tensor
    outputs, _ = functional_call(readout, lower, (exact,)) if lower else readout(exact)
    return outputs
