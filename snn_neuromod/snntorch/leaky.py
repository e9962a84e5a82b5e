"""ALIF over a whole sequence, and `snntorch.Leaky` as the ALIF neuron without adaptation that it is."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Any

import snntorch
import torch
from torch import Tensor

from snn_neuromod import layers
from snn_neuromod.dynamics import alif
from snn_neuromod.snntorch.surrogate import SpikeGrad, as_psi
from snn_neuromod.surrogate import Psi

_RESETS = {"_base_sub": "subtract", "_base_zero": "zero", "_base_int": "none"}


def psi_of(spike_grad: SpikeGrad, threshold: Tensor) -> Psi | None:
    """The surrogate as the layers know it, whose width is in units of the threshold; None where there is none."""
    if isinstance(spike_grad, Psi):
        return spike_grad
    psi = as_psi(spike_grad)
    if psi is None or threshold.requires_grad or threshold.numel() != 1:
        return None
    return replace(psi, width=psi.width / float(threshold))


@lru_cache(maxsize=64)
def sequence_layer(kind: type[layers.Layer], **options: Any) -> layers.Layer:
    """A layer whose parameters are given with each sequence."""
    return kind(None, **options)


def leaky_sweep(module: Any, x: Tensor) -> Tensor | None:
    """Spikes of a `snntorch.Leaky` with a hidden state, (T, batch, ...); None for any other module or option."""
    if type(module) is not snntorch.Leaky or x.dtype != module.threshold.dtype:
        return None
    psi = psi_of(module.spike_grad, module.threshold)
    special = module.state_quant or module.inhibition or module.output or not module.reset_delay
    if psi is None or special:
        return None
    mem = module.mem if module.mem.shape == x.shape[1:] else torch.zeros_like(x[0])
    none = torch.zeros_like(module.threshold)
    params = alif.Params(module.beta.clamp(0, 1), none, none, module.threshold)
    reset = _RESETS[module.state_function.__name__]
    spikes, state = alif_sweep(params, psi, reset, x, mem, torch.zeros_like(mem))
    module.mem = state.v
    graded: Tensor = spikes * module.graded_spikes_factor
    return graded


def alif_sweep(
    params: alif.Params, psi: Psi, reset: str, current: Tensor, mem: Tensor, adapt: Tensor
) -> tuple[Tensor, alif.State]:
    """ALIF from a membrane and an adaptation on: spikes, (T, batch, ...), and the last state."""
    before = psi(mem - alif.threshold(params, adapt), params.v_th)
    state = alif.State(mem, adapt, before, torch.zeros_like(mem))
    layer = sequence_layer(layers.ALIF, psi=psi, reset=reset, detach_reset=True)
    out: tuple[Tensor, alif.State] = layer._forward(current, state, params._asdict())
    return out
