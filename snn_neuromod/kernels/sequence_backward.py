"""The backward pass of a sequence as one operator, in plain PyTorch or by the kernels that ran its forward pass.

It works on segments small enough to stay in cache: the derivatives of the segment's steps, in closed form or for other
neurons by automatic differentiation of the step alone, then the reverse sweep of `kernels.adjoint`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Optional

import torch
from torch import Tensor

from snn_neuromod.kernels import native
from snn_neuromod.kernels.adjoint import Adjoints, sweep
from snn_neuromod.kernels.delays import (
    Synapses,
    past_gradient,
    recurrent_input,
    synapses,
    weight_gradients,
)
from snn_neuromod.kernels.linearisation import Coefficient
from snn_neuromod.kernels.neurons import decode
from snn_neuromod.kernels.trajectory import (
    Trajectory,
    between,
    fused,
    kept,
    numbers,
    segment_length,
)

__all__ = ["sequence_backward"]


def single_precision(operator: Any) -> None:
    """Under autocast give an operator its half-precision inputs as float32, and compute without autocast inside."""
    for device in ("cpu", "cuda"):
        operator.register_autocast(device, torch.float32)


@torch.library.custom_op("snn_neuromod::sequence_backward", mutates_args=())
def sequence_backward(
    neuron: str,
    grad_spikes: Tensor,
    grad_state: Sequence[Optional[Tensor]],  # noqa: UP045  (operator schemas know this form)
    current: Tensor,
    params: list[Tensor],
    state: list[Tensor],
    recurrent: list[Tensor],
    delays: list[int],
    sources: list[Tensor],
    spikes: Tensor,
    tracks: list[Tensor],
    through_time: bool,
    needed: list[bool],
) -> list[Tensor]:
    """Gradients of input, parameters, initial state, past spikes and recurrent weights; arguments as of `sequence`."""
    known = decode(neuron)
    module, ndim = known.module, spikes.ndim
    made = native.made(known, current, tracks)
    if made is not None:  # the backward pass follows its forward pass
        return native.backward(
            known,
            grad_spikes,
            grad_state,
            current,
            params,
            state,
            recurrent,
            delays,
            sources,
            spikes,
            made,
            through_time,
            needed,
        )
    names = kept(known, needed, fused(known, params, recurrent, ndim))
    trajectory = Trajectory(module.State, dict(zip(names, tracks, strict=True)), spikes, state)
    fields = module.State._fields
    carry: Adjoints = {f: g for f, g in zip(fields, grad_state, strict=True) if g is not None}
    groups = synapses(recurrent[1:], delays, sources) if recurrent else []
    through = groups if through_time else []
    reach = max((group.delay for group in through), default=0)
    grad_current = torch.empty_like(spikes)
    grads = {f: torch.zeros_like(p) for f, p in zip(module.Params._fields, params, strict=True)}
    wanted = [name for name, need in zip(grads, needed, strict=True) if need]
    single = numbers(params, known)
    length = segment_length(current)
    for stop in range(spikes.shape[0], 0, -length):
        start = max(0, stop - length)
        total = current[start:stop]
        if groups and known.reads_input:
            total = total + recurrent_input(groups, recurrent[0], spikes, start, stop)
        lin = known.linearise(
            module.Params(*between(single, ndim, start, stop)),
            *trajectory.segment(start, stop),
            total,
            **trajectory.extra(start, stop),
        )
        onwards = grad_current[start : stop + reach]
        adjoints, carry = sweep(lin, grad_spikes[start:stop], carry, onwards, recurrent=through)
        for name in wanted:
            target = grads[name]
            if target.ndim == ndim and target.shape[0] > 1:
                target = target[start:stop]
            for variable, coefficient in lin.params[name]().items():
                if variable in adjoints:
                    target += _product(adjoints[variable], coefficient).sum_to_size(target.shape)
    grad_initial = [
        torch.zeros_like(s) if carry.get(f) is None else carry[f].expand_as(s).clone()
        for f, s in zip(fields, state, strict=True)
    ]
    return [
        grad_current,
        *grads.values(),
        *grad_initial,
        *_recurrent_gradients(grad_current, spikes, recurrent, groups, through),
    ]


single_precision(sequence_backward)


@sequence_backward.register_fake
def _(
    neuron: str,
    grad_spikes: Tensor,
    grad_state: Sequence[Optional[Tensor]],  # noqa: UP045
    current: Tensor,
    params: list[Tensor],
    state: list[Tensor],
    recurrent: list[Tensor],
    delays: list[int],
    sources: list[Tensor],
    spikes: Tensor,
    tracks: list[Tensor],
    through_time: bool,
    needed: list[bool],
) -> list[Tensor]:
    return [torch.empty_like(tensor) for tensor in (spikes, *params, *state, *recurrent)]


def _product(value: Tensor, coefficient: Coefficient) -> Tensor:
    return value if isinstance(coefficient, float) and coefficient == 1.0 else value * coefficient


def _recurrent_gradients(
    delta: Tensor,
    spikes: Tensor,
    recurrent: list[Tensor],
    groups: list[Synapses],
    through: list[Synapses],
) -> list[Tensor]:
    """Gradients of the spikes before the first step and of the recurrent weights."""
    if not recurrent:
        return []
    past = recurrent[0]
    return [past_gradient(through, delta, past), *weight_gradients(groups, delta, past, spikes)]
