"""Recurrent layers: printed kernels of one step between matrix products."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from snn_neuromod.kernels.call import Call
from snn_neuromod.kernels.fusion.kernel import Gradients, Kernel

_X, _Z, _GZ, _GX, _PARAMS = range(5)
"""Places of tensors in the order of `fusion/driver.h`."""


def forward(
    kernel: Kernel, call: Call, params: Sequence[Tensor], tracks: Mapping[str, Tensor]
) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """Run a sequence.

    Args:
        kernel: Of the neuron.
        call: The sequence, with recurrent weights.
        params: Its parameters, as the kernel takes them.
        tracks: From `printed.kept`.

    Returns:
        Spikes, last state, and the tracks.
    """
    current = call.current.contiguous()
    spikes, keep = torch.empty_like(current), bool(tracks)
    total, *kept = tracks.values() if keep else [torch.empty_like(current[:1])]
    last = [s.clone(memory_format=torch.contiguous_format) for s in call.state]
    given = [kernel.param(k, p, current) for k, p in enumerate(params)]
    tensors = [total, spikes, None, None, *given, *last, *kept]
    step = kernel.bound(current, tensors, given, keep=keep, reverse=False, num_steps=1)
    size = total[0].numel() * total.element_size()
    places = _PARAMS + len(given) + len(last)
    moves = dict.fromkeys([_Z, *range(places, places + len(kept))], size)
    moves |= {_X: size} if keep else {}
    moves |= _per_step(kernel, given)
    num = current.shape[-1]
    rows, flat = total.view(len(total), -1, num), current.view(len(current), -1, num)
    past = [*call.recurrent[0].reshape(len(call.recurrent[0]), -1, num).unbind(0)]
    past += spikes.view(len(current), -1, num).unbind(0)
    first = len(call.recurrent[0])
    weights = [(group, group.weights.T.contiguous()) for group in call.synapses]
    for t, here in enumerate(flat.unbind(0)):
        for group, w in weights:
            sent = group.select(past[first + t - group.delay])
            here = torch.addmm(here, sent, w, out=rows[t if keep else 0])
        step()
        step.move(moves)
    return spikes, last, [*tracks.values()]


def backward(
    kernel: Kernel,
    call: Call,
    params: Sequence[Tensor],
    grad_spikes: Tensor,
    grad_state: Sequence[Tensor | None],
    spikes: Tensor,
    tracks: Sequence[Tensor],
) -> Gradients:
    """Gradients of a sequence, step by step from the last.

    Args:
        kernel: Of the neuron.
        call: The sequence, with recurrent weights.
        params: Its parameters, as the kernel takes them.
        grad_spikes: Gradient of the spikes.
        grad_state: Gradients of the last state, None where it is zero.
        spikes: What `forward` gave.
        tracks: What it kept.

    Returns:
        Gradients of the input, of the first state and of the parameters that need one.
    """
    steps, (total, *kept) = len(spikes), tracks
    adjoints = [
        torch.zeros_like(s) if g is None else g.expand_as(s).clone()
        for s, g in zip(call.state, grad_state, strict=True)
    ]
    adjoints = [a.contiguous() for a in adjoints]
    per_step = kernel.variant.per_step
    grads = [torch.zeros_like(total if k in per_step else total[0]) for k in kernel.variant.needed]
    grad_current, first = torch.empty_like(total), [s.contiguous() for s in call.state]
    given = [kernel.param(k, p, total) for k, p in enumerate(params)]
    signal = grad_spikes.contiguous().clone()
    tensors = [total, None, signal, grad_current, *given, *first, *kept, *adjoints, *grads]
    step = kernel.bound(total, tensors, given, keep=True, reverse=True, num_steps=1)
    size = total[0].numel() * total.element_size()
    kept_at = _PARAMS + len(given) + len(first)
    grads_at = kept_at + len(kept) + len(adjoints)
    moves = dict.fromkeys([_X, _GZ, _GX, *range(kept_at, kept_at + len(kept))], size)
    moves |= {grads_at + j: size for j, k in enumerate(kernel.variant.needed) if k in per_step}
    moves |= _per_step(kernel, given)
    step.move({place: (steps - 1) * move for place, move in moves.items()})
    back = {place: -move for place, move in moves.items()}
    num, through = total.shape[-1], call.synapses if call.paths.hops is None else []
    signals = signal.view(steps, -1, num).unbind(0)
    arrived = grad_current.view(steps, -1, num).unbind(0)
    for t in range(steps - 1, -1, -1):
        for group in through:
            if t + group.delay < steps and group.sources is None:
                signals[t].addmm_(arrived[t + group.delay], group.weights)
            elif t + group.delay < steps:
                signals[t].add_(group.back(arrived[t + group.delay]))
        step()
        step.move(back)
    return Gradients(grad_current, adjoints, grads)


def _per_step(kernel: Kernel, given: Sequence[Tensor]) -> dict[int, int]:
    """Bytes from step to step of the parameters that change."""
    return {
        _PARAMS + k: given[k].stride(0) * given[k].element_size() for k in kernel.variant.per_step
    }
