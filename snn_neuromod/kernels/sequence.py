"""Whole sequences as one operator with a hand-written backward pass, in plain PyTorch.

The forward pass is the neuron's own `step` in a loop, or for the SRC family `kernels.src_forward`; the backward pass is
`kernels.sequence_backward`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from snn_neuromod.kernels import backends, native, reference, src_forward
from snn_neuromod.kernels.delays import Delays, Synapses, synapses
from snn_neuromod.kernels.neurons import Described, Neuron, decode, encode
from snn_neuromod.kernels.sequence_backward import sequence_backward, single_precision
from snn_neuromod.kernels.trajectory import (
    between,
    fused,
    kept,
    new_tracks,
    numbers,
    segment_length,
)

__all__ = ["Described", "encode", "run"]


def run(
    neuron: str,
    current: Tensor,
    params: Sequence[Tensor],
    state: Sequence[Tensor],
    *,
    w_rec: Tensor | None = None,
    spikes: Tensor | None = None,
    delays: Delays | None = None,
    through_time: bool = True,
    backend: str | None = None,
) -> tuple[Tensor, list[Tensor]]:
    """Run a layer of neurons over a sequence, differentiably.

    Args:
        neuron: From `encode`, or the key of a `Described`.
        current: Input, (T, batch, ..., neuron), T >= 1.
        params: Parameters in the order of the neuron's `Params`; each broadcastable to (batch, ..., neuron), or with a
            leading axis of T or 1 steps and as many axes as `current`.
        state: State before the first step, in the order of its `State`, each (batch, ..., neuron).
        w_rec: Recurrent weights (neuron to, neuron from), or None.
        spikes: Spikes before the first step, needed with `w_rec`: (longest delay, batch, ..., neuron), oldest first;
            for a delay of one step also (batch, ..., neuron).
        delays: Delays of the recurrent weights; None: one step.
        through_time: Let the gradient pass through the recurrent weights; False is e-prop.
        backend: Asked for by name; None: see `backends.use`.

    Returns:
        spikes: (T, batch, ..., neuron).
        state: State after the last step.
    """
    delays = delays or Delays()
    asked = backends.requested(backend)
    if asked == "reference":
        return reference.run(
            decode(neuron), current, params, state, w_rec, spikes, delays.delay, through_time
        )
    recurrent: list[Tensor] = []
    if w_rec is not None and spikes is not None:
        past = spikes if spikes.ndim == current.ndim else spikes.unsqueeze(0)
        recurrent = [past, *delays.split(w_rec)]
    inputs = [current, *params, *state, *recurrent]
    keep = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in inputs)
    needed = [p.requires_grad for p in params]
    outputs = torch.ops.snn_neuromod.sequence(
        neuron,
        current,
        list(params),
        list(state),
        recurrent,
        list(delays.steps),
        list(delays.sources),
        through_time,
        keep,
        needed,
        asked,
    )
    return outputs[0], list(outputs[1 : 1 + len(state)])


@torch.library.custom_op("snn_neuromod::sequence", mutates_args=())
def _sequence(
    neuron: str,
    current: Tensor,
    params: list[Tensor],
    state: list[Tensor],
    recurrent: list[Tensor],
    delays: list[int],
    sources: list[Tensor],
    through_time: bool,
    keep: bool,
    needed: list[bool],
    backend: str,
) -> list[Tensor]:
    known = decode(neuron)
    module = known.module
    spikes = torch.empty_like(current, memory_format=torch.contiguous_format)
    if backends.choose(known, current, params, recurrent, delays, needed, backend) == "c":
        tracks = native.new_tracks(known, current) if keep else {}
        last: Any = native.forward(
            known, current, params, state, recurrent, delays, sources, spikes, tracks
        )
        return [spikes, *(s.clone() for s in last), *tracks.values()]
    is_fused = fused(known, params, recurrent, current.ndim)
    names = kept(known, needed, is_fused) if keep else []
    tracks = new_tracks(names, known, current, state)
    for name, s in zip(module.State._fields, state, strict=True):
        if name in tracks:
            tracks[name][0] = s
    full_state = module.State(*state)
    if is_fused:
        stretch = segment_length(current)
        last = src_forward.simulate(
            module.Params(*numbers(params)), full_state, current, spikes, tracks, stretch=stretch
        )
    else:
        groups = synapses(recurrent[1:], delays, sources) if recurrent else []
        past = [*recurrent[0].unbind(0)] if recurrent else []
        last = _simulate(known, params, full_state, groups, past, current, spikes, tracks)
    return [spikes, *(s.clone() for s in last), *tracks.values()]


@_sequence.register_fake
def _(
    neuron: str,
    current: Tensor,
    params: list[Tensor],
    state: list[Tensor],
    recurrent: list[Tensor],
    delays: list[int],
    sources: list[Tensor],
    through_time: bool,
    keep: bool,
    needed: list[bool],
    backend: str,
) -> list[Tensor]:
    known = decode(neuron)
    spikes = torch.empty_like(current, memory_format=torch.contiguous_format)
    if backends.choose(known, current, params, recurrent, delays, needed, backend) == "c":
        tracks = native.new_tracks(known, current) if keep else {}
    else:
        names = kept(known, needed, fused(known, params, recurrent, current.ndim)) if keep else []
        tracks = new_tracks(names, known, current, state)
    return [spikes, *(torch.empty_like(s) for s in state), *tracks.values()]


def _simulate(
    neuron: Neuron,
    params: list[Tensor],
    state: Any,
    groups: Sequence[Synapses],
    past: list[Tensor],
    current: Tensor,
    spikes: Tensor,
    tracks: dict[str, Tensor],
) -> Any:
    """Any neuron, step by step; writes `spikes` and `tracks`, returns the last state."""
    single = numbers(params, neuron)
    transposed = [(group.weights.T, group) for group in groups]
    for t, current_t in enumerate(current.unbind(0)):
        for w, group in transposed:
            current_t = current_t + group.select(past[-group.delay]) @ w
        params_t = neuron.module.Params(*between(single, current.ndim, t, t + 1, squeeze=True))
        spikes_t, state = neuron.step(params_t, state, current_t)
        spikes[t] = spikes_t
        if groups:
            past.append(spikes_t)
            del past[0]
        for name, track in tracks.items():
            track[t + 1] = getattr(state, name)
    return state


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: list[Tensor]) -> None:
    ctx.neuron, current, params, state, recurrent, ctx.delays, sources, *rest = inputs
    ctx.through_time, _, ctx.needed, _ = rest
    ctx.known = decode(ctx.neuron)  # keeps a neuron known by its step alive
    ctx.counts = (len(params), len(state), len(recurrent), len(sources))
    ctx.set_materialize_grads(False)
    tracks = output[1 + len(state) :]
    spikes, known = output[0], ctx.known
    unread = not (known.reads_input or known.src_family)
    shape = spikes if unread else current  # an input of which only the shape is read can be freed
    ctx.save_for_backward(shape, *params, *state, *recurrent, *sources, spikes, *tracks)


def _backward(ctx: Any, grads: list[Tensor | None]) -> tuple[Any, ...]:
    num_params, num_state, num_recurrent, num_sources = ctx.counts
    current, *saved = ctx.saved_tensors
    params, saved = saved[:num_params], saved[num_params:]
    state, saved = saved[:num_state], saved[num_state:]
    recurrent, saved = saved[:num_recurrent], saved[num_recurrent:]
    sources, (spikes, *tracks) = saved[:num_sources], saved[num_sources:]
    grad_spikes = torch.zeros_like(spikes) if grads[0] is None else grads[0]
    out = sequence_backward(
        ctx.neuron,
        grad_spikes,
        list(grads[1 : 1 + num_state]),
        current,
        params,
        state,
        recurrent,
        ctx.delays,
        sources,
        spikes,
        tracks,
        ctx.through_time,
        ctx.needed,
    )
    grad_current, out = out[0], out[1:]
    grad_params = [grad if need else None for grad, need in zip(out, ctx.needed, strict=False)]
    grad_initial, grad_recurrent = (
        out[num_params : num_params + num_state],
        out[num_params + num_state :],
    )
    no_sources = [None] * num_sources
    return (
        None,
        grad_current,
        grad_params,
        grad_initial,
        grad_recurrent,
        None,
        no_sources,
        None,
        None,
        None,
        None,
    )


_sequence.register_autograd(_backward, setup_context=_setup_context)
single_precision(_sequence)
