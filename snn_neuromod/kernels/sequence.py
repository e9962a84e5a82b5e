"""Whole sequences as one operator with a hand-written backward pass, in plain PyTorch.

The forward pass is the neuron's own `step` in a loop; the backward pass works on segments small enough to stay in
cache: the closed-form derivatives of the segment's steps, then the reverse sweep of `kernels.adjoint`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

from snn_neuromod import dynamics, surrogate
from snn_neuromod.kernels import src_forward
from snn_neuromod.kernels.adjoint import Carry, sweep
from snn_neuromod.kernels.alif import linearise_alif, linearise_stdp_alif
from snn_neuromod.kernels.izhikevich import linearise_izhikevich
from snn_neuromod.kernels.leaky_integrator import linearise_leaky_integrator
from snn_neuromod.kernels.linearisation import Linearisation
from snn_neuromod.kernels.src import linearise_bsrc, linearise_msrc, linearise_src

SEGMENT_ELEMENTS = 1 << 17


class Neuron(NamedTuple):
    """A neuron with its options, as the operators see it."""

    module: Any
    step: Callable[..., tuple[Tensor, Any]]
    linearise: Callable[..., Linearisation]


class _Known(NamedTuple):
    module: Any
    linearise: Callable[..., Linearisation]


_SRC_FAMILY = (dynamics.src, dynamics.msrc, dynamics.bsrc)
_KNOWN = {
    "src": _Known(dynamics.src, linearise_src),
    "msrc": _Known(dynamics.msrc, linearise_msrc),
    "bsrc": _Known(dynamics.bsrc, linearise_bsrc),
    "alif": _Known(dynamics.alif, linearise_alif),
    "stdp_alif": _Known(dynamics.stdp_alif, linearise_stdp_alif),
    "izhikevich": _Known(dynamics.izhikevich, linearise_izhikevich),
    "leaky_integrator": _Known(dynamics.leaky_integrator, linearise_leaky_integrator),
}


def encode(neuron: str, **options: Any) -> str:
    """Name and options of a neuron as one string, which operators can take.

    Args:
        neuron: Name of a module in `snn_neuromod.dynamics`.
        **options: Options of its `linearise`, where `psi` may be a `surrogate.Psi`.

    Returns:
        The argument `neuron` of `run`.
    """
    if isinstance(options.get("psi"), surrogate.Psi):
        options["psi"] = vars(options["psi"])
    return json.dumps({"neuron": neuron, **options}, sort_keys=True)


@cache
def _decode(neuron: str) -> Neuron:
    options = json.loads(neuron)
    module, linearise = _KNOWN[options.pop("neuron")]
    step_options = dict(options)
    if "psi" in options:
        options["psi"] = surrogate.Psi(**options["psi"])
        step_options["spike_fn"] = options["psi"]
        del step_options["psi"]
    if "straight_through" in options:  # same spikes either way; the closed form knows the gradient
        del step_options["straight_through"]

    def step(params: Any, state: Any, current: Tensor) -> tuple[Tensor, Any]:
        out: tuple[Tensor, Any] = module.step(params, state, current, **step_options)
        return out

    def closed_form(params: Any, before: Any, after: Any, current: Tensor) -> Linearisation:
        return linearise(params, before, after, current, **options)

    return Neuron(module, step, closed_form)


def run(
    neuron: str,
    current: Tensor,
    params: Sequence[Tensor],
    state: Sequence[Tensor],
    *,
    w_rec: Tensor | None = None,
    spikes: Tensor | None = None,
    through_time: bool = True,
) -> tuple[Tensor, list[Tensor]]:
    """Run a layer of neurons over a sequence, differentiably.

    Args:
        neuron: From `encode`.
        current: Input, (T, batch, ..., neuron), T >= 1.
        params: Parameters in the order of the neuron's `Params`; each broadcastable to (batch, ..., neuron), or with a
            leading axis of T or 1 steps and as many axes as `current`.
        state: State before the first step, in the order of its `State`, each (batch, ..., neuron).
        w_rec: Recurrent weights (neuron to, neuron from), or None.
        spikes: Spikes before the first step, needed with `w_rec`.
        through_time: Let the gradient pass through the recurrent weights; False is e-prop.

    Returns:
        spikes: (T, batch, ..., neuron).
        state: State after the last step.
    """
    recurrent = [] if w_rec is None or spikes is None else [w_rec, spikes]
    inputs = [current, *params, *state, *recurrent]
    keep = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in inputs)
    outputs = torch.ops.snn_neuromod.sequence(
        neuron, current, list(params), list(state), recurrent, through_time, keep
    )
    return outputs[0], list(outputs[1 : 1 + len(state)])


@torch.library.custom_op("snn_neuromod::sequence", mutates_args=())
def _sequence(
    neuron: str,
    current: Tensor,
    params: list[Tensor],
    state: list[Tensor],
    recurrent: list[Tensor],
    through_time: bool,
    keep: bool,
) -> list[Tensor]:
    module, step, _ = _decode(neuron)
    steps, ndim = current.shape[0], current.ndim
    spikes = torch.empty_like(current, memory_format=torch.contiguous_format)
    current_state = module.State(*state)
    tracks = [current.new_empty((steps + 1, *s.shape)) for s in state] if keep else []
    for track, s in zip(tracks, state, strict=False):
        track[0] = s
    last = recurrent[1] if recurrent else None
    full = module.Params(*params)
    if last is None and module in _SRC_FAMILY and src_forward.serves(full, ndim):
        current_state = src_forward.simulate(full, current_state, current, spikes, tracks)
        return [spikes, *(s.clone() for s in current_state), *tracks]
    for t in range(steps):
        current_t = current[t]
        if last is not None:
            current_t = current_t + last @ recurrent[0].T
        spikes_t, current_state = step(
            module.Params(*_between(params, ndim, t, t + 1, squeeze=True)), current_state, current_t
        )
        spikes[t] = spikes_t
        for track, s in zip(tracks, current_state, strict=False):
            track[t + 1] = s
        last = spikes_t if recurrent else None
    return [spikes, *(s.clone() for s in current_state), *tracks]


@_sequence.register_fake
def _(
    neuron: str,
    current: Tensor,
    params: list[Tensor],
    state: list[Tensor],
    recurrent: list[Tensor],
    through_time: bool,
    keep: bool,
) -> list[Tensor]:
    spikes = torch.empty_like(current, memory_format=torch.contiguous_format)
    tracks = [current.new_empty((current.shape[0] + 1, *s.shape)) for s in state] if keep else []
    return [spikes, *(torch.empty_like(s) for s in state), *tracks]


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: list[Tensor]) -> None:
    ctx.neuron, current, params, state, recurrent, ctx.through_time, _ = inputs
    ctx.counts = (len(params), len(state), len(recurrent))
    ctx.set_materialize_grads(False)
    tracks = output[1 + len(state) :]
    ctx.save_for_backward(current, *params, *recurrent, output[0], *tracks)


def _backward(ctx: Any, grads: list[Tensor | None]) -> tuple[Any, ...]:
    num_params, num_state, num_recurrent = ctx.counts
    current, *saved = ctx.saved_tensors
    params, saved = saved[:num_params], saved[num_params:]
    recurrent, (spikes, *tracks) = saved[:num_recurrent], saved[num_recurrent:]
    grad_spikes = torch.zeros_like(spikes) if grads[0] is None else grads[0]
    grad_state = [
        torch.zeros_like(track[0]) if grad is None else grad
        for grad, track in zip(grads[1 : 1 + num_state], tracks, strict=True)
    ]
    needed = [bool(need) for need in ctx.needs_input_grad[2]]
    out = torch.ops.snn_neuromod.sequence_backward(
        ctx.neuron, grad_spikes, grad_state, current, params, recurrent, spikes, tracks, ctx.through_time, needed
    )
    grad_current, out = out[0], out[1:]
    grad_params = [grad if need else None for grad, need in zip(out[:num_params], needed, strict=True)]
    grad_initial, grad_recurrent = out[num_params : num_params + num_state], out[num_params + num_state :]
    return None, grad_current, grad_params, grad_initial, grad_recurrent, None, None


@torch.library.custom_op("snn_neuromod::sequence_backward", mutates_args=())
def _sequence_backward(
    neuron: str,
    grad_spikes: Tensor,
    grad_state: list[Tensor],
    current: Tensor,
    params: list[Tensor],
    recurrent: list[Tensor],
    spikes: Tensor,
    tracks: list[Tensor],
    through_time: bool,
    needed: list[bool],
) -> list[Tensor]:
    module, _, linearise = _decode(neuron)
    steps, ndim = spikes.shape[0], spikes.ndim
    per_step = max(1, spikes[0].numel())
    length = max(1, min(steps, SEGMENT_ELEMENTS // per_step))
    w_rec = recurrent[0] if recurrent and through_time else None
    fields = module.State._fields
    carry = Carry(dict(zip(fields, grad_state, strict=True)))
    grad_current = torch.empty_like(spikes)
    buffers: dict[str, Tensor] = {}
    grads = {f: torch.zeros_like(p) for f, p in zip(module.Params._fields, params, strict=True)}
    wanted = [name for name, need in zip(grads, needed, strict=True) if need]
    for stop in range(steps, 0, -length):
        start = max(0, stop - length)
        before = module.State(*(track[start:stop] for track in tracks))
        after = module.State(*(track[start + 1 : stop + 1] for track in tracks))
        segment_params = module.Params(*_between(params, ndim, start, stop))
        lin = linearise(segment_params, before, after, current[start:stop])
        by_param = {name: lin.params[name]() for name in wanted}
        keys = {key for derivatives in by_param.values() for key in derivatives} - {"I"}
        adjoints = {key: buffers.setdefault(key, torch.empty_like(spikes[:length]))[: stop - start] for key in keys}
        adjoints["I"] = grad_current[start:stop]
        carry = sweep(lin, grad_spikes[start:stop], carry, adjoints, w_rec=w_rec)
        for name, derivatives in by_param.items():
            target = _between([grads[name]], ndim, start, stop)[0]
            for key, coefficient in derivatives.items():
                target += (adjoints[key] * coefficient).sum_to_size(target.shape)
    grad_initial = [
        torch.zeros_like(g) if carry.state.get(f) is None else carry.state[f].clone()
        for f, g in zip(fields, grad_state, strict=True)
    ]
    return [
        grad_current,
        *grads.values(),
        *grad_initial,
        *_recurrent_gradients(grad_current, spikes, recurrent, carry.recurrent),
    ]


@_sequence_backward.register_fake
def _(
    neuron: str,
    grad_spikes: Tensor,
    grad_state: list[Tensor],
    current: Tensor,
    params: list[Tensor],
    recurrent: list[Tensor],
    spikes: Tensor,
    tracks: list[Tensor],
    through_time: bool,
    needed: list[bool],
) -> list[Tensor]:
    return [torch.empty_like(tensor) for tensor in (spikes, *params, *grad_state, *recurrent)]


_sequence.register_autograd(_backward, setup_context=_setup_context)


def _recurrent_gradients(
    delta: Tensor, spikes: Tensor, recurrent: list[Tensor], carried: Tensor | None
) -> list[Tensor]:
    """Gradients of the recurrent weights and of the spikes before the first step."""
    if not recurrent:
        return []
    first = recurrent[1]
    num = spikes.shape[-1]
    grad = delta[0].reshape(-1, num).T @ first.reshape(-1, num)
    grad += delta[1:].reshape(-1, num).T @ spikes[:-1].reshape(-1, num)
    return [grad, torch.zeros_like(first) if carried is None else carried]


def _between(
    params: list[Tensor], ndim: int, start: int, stop: int, *, squeeze: bool = False
) -> list[Tensor]:
    """Parameters of some steps: those given per step cut, the others as they are."""
    cut = []
    for p in params:
        if p.ndim == ndim:
            p = p[start:stop] if p.shape[0] > 1 else p
            p = p[0] if squeeze else p
        cut.append(p)
    return cut
