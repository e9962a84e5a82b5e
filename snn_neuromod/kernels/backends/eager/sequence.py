"""Sequences in plain PyTorch, with a hand-written backward pass.

The forward pass is the neuron's own `step` in a loop, or for the SRC family `src_forward`. The backward pass works on
segments small enough to stay in cache: the derivatives of the segment's steps, in closed form or for other neurons by
automatic differentiation of the step alone, then the reverse sweep of `adjoint`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from snn_neuromod._types import Param
from snn_neuromod.kernels.backends.eager import generic, src_forward
from snn_neuromod.kernels.backends.eager.adjoint import Adjoints, sweep
from snn_neuromod.kernels.backends.eager.alif import linearise_alif, linearise_stdp_alif
from snn_neuromod.kernels.backends.eager.izhikevich import linearise_izhikevich
from snn_neuromod.kernels.backends.eager.leaky_integrator import linearise_leaky_integrator
from snn_neuromod.kernels.backends.eager.linearisation import Coefficient, Linearisation
from snn_neuromod.kernels.backends.eager.src import linearise_bsrc, linearise_msrc, linearise_src
from snn_neuromod.kernels.backends.eager.trajectory import (
    Trajectory,
    between,
    fused,
    kept,
    new_tracks,
    numbers,
    segment_length,
)
from snn_neuromod.kernels.call import Call
from snn_neuromod.kernels.synapses import recurrent_input

LINEARISE: dict[str, Callable[..., Linearisation]] = {
    "src": linearise_src,
    "msrc": linearise_msrc,
    "bsrc": linearise_bsrc,
    "alif": linearise_alif,
    "stdp_alif": linearise_stdp_alif,
    "izhikevich": linearise_izhikevich,
    "leaky_integrator": linearise_leaky_integrator,
}
"""Derivatives in closed form by the neuron's name."""


def forward(call: Call) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """Run a sequence; results as of `backends.c.sequence.forward`."""
    current, module, tracks = call.current, call.neuron.module, new_tracks(call)
    spikes = torch.empty_like(current, memory_format=torch.contiguous_format)
    state = module.State(*call.state)
    for name, s in state._asdict().items():
        if name in tracks:
            tracks[name][0] = s
    if fused(call):
        params, stretch = module.Params(*numbers(call)), segment_length(current)
        last = src_forward.simulate(params, state, current, spikes, tracks, stretch=stretch)
    else:
        last = _simulate(call, state, spikes, tracks)
    return spikes, [s.clone() for s in last], [*tracks.values()]


def _simulate(call: Call, state: Any, spikes: Tensor, tracks: dict[str, Tensor]) -> Any:
    """Any neuron, step by step; writes `spikes` and `tracks`, returns the last state."""
    step, params, ndim = _step(call), numbers(call), call.current.ndim
    groups = call.synapses if call.recurrent else []
    transposed = [(group.weights.T, group) for group in groups]
    past = [*call.recurrent[0].unbind(0)] if groups else []
    for t, current in enumerate(call.current.unbind(0)):
        for w, group in transposed:
            current = current + group.select(past[-group.delay]) @ w
        params_t = call.neuron.module.Params(*between(params, ndim, t, t + 1, squeeze=True))
        spikes_t, state = step(params_t, state, current)
        spikes[t] = spikes_t
        if groups:
            past.append(spikes_t)
            del past[0]
        for name, track in tracks.items():
            track[t + 1] = getattr(state, name)
    return state


def _step(call: Call) -> Callable[..., tuple[Tensor, Any]]:
    """The neuron's step, without what only its derivative needs."""
    neuron = call.neuron
    if neuron.described:
        step: Callable[..., tuple[Tensor, Any]] = neuron.module.step
        return step
    options = neuron.step_options()
    if "psi" in neuron.options:
        options["spike_fn"] = _hard_spikes
    elif "spike_fn" in options:
        options["spike_fn"] = torch.relu
    return partial(neuron.module.step, **options)


def _hard_spikes(distance: Tensor, unit: Param, held: Tensor | None = None) -> Tensor:
    """Spikes of `surrogate.Psi` without its derivative, which the closed form knows."""
    spikes = torch.gt(
        distance, 0, out=torch.empty_like(distance)
    )  # no detour through bool, which is slow
    return spikes if held is None else spikes.masked_fill_(held, 0.0)


def backward(
    call: Call,
    grad_spikes: Tensor,
    grad_state: Sequence[Tensor | None],
    spikes: Tensor,
    tracks: Sequence[Tensor],
) -> tuple[Tensor, list[Tensor | None], list[Tensor]]:
    """Gradients of a sequence; arguments and results as of `backends.c.sequence.backward`."""
    module, ndim, fields = call.neuron.module, spikes.ndim, call.neuron.module.State._fields
    named = dict(zip(kept(call), tracks, strict=True))
    trajectory = Trajectory(module.State, named, spikes, call.state)
    carry: Adjoints = {f: g for f, g in zip(fields, grad_state, strict=True) if g is not None}
    groups = call.synapses if call.recurrent else []
    through = groups if call.paths.hops is None else []
    reach = max((group.delay for group in through), default=0)
    grad_current = torch.empty_like(spikes)
    grads = {
        name: torch.zeros_like(p)
        for (name, p), need in zip(call.params_by_name().items(), call.needed, strict=True)
        if need
    }
    params, linearise = numbers(call), _linearise(call)
    length = segment_length(spikes)
    for stop in range(spikes.shape[0], 0, -length):
        start = max(0, stop - length)
        total = call.current[start:stop]
        if groups and call.neuron.reads_input:
            total = total + recurrent_input(groups, call.recurrent[0], spikes, start, stop)
        lin = linearise(
            module.Params(*between(params, ndim, start, stop)),
            *trajectory.segment(start, stop),
            total,
            **trajectory.extra(start, stop),
        )
        if call.paths.states is not None:
            lin = lin.following({fields[k] for k in call.paths.states})
        onwards = grad_current[start : stop + reach]
        adjoints, carry = sweep(lin, grad_spikes[start:stop], carry, onwards, recurrent=through)
        for name, target in grads.items():
            if target.ndim == ndim and target.shape[0] > 1:
                target = target[start:stop]
            for variable, coefficient in lin.params[name]().items():
                if variable in adjoints:
                    target += _product(adjoints[variable], coefficient).sum_to_size(target.shape)
    grad_initial = [
        torch.zeros_like(s) if carry.get(f) is None else carry[f].expand_as(s).clone()
        for f, s in zip(fields, call.state, strict=True)
    ]
    return grad_current, [grads.get(name) for name in call.params_by_name()], grad_initial


def _linearise(call: Call) -> Callable[..., Linearisation]:
    neuron = call.neuron
    if neuron.described:
        return partial(generic.linearise, neuron.module.step)
    return partial(LINEARISE[neuron.name], **neuron.options)


def _product(value: Tensor, coefficient: Coefficient) -> Tensor:
    return value if isinstance(coefficient, float) and coefficient == 1.0 else value * coefficient
