"""Whole sequences as one differentiable call.

In plain PyTorch code that is `_Sequence`; where a graph is traced or autocast is on, the operators of `registered`.
Both run the same backends. Under `torch.func` and forward-mode differentiation it is the backend "reference", which
autograd differentiates by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from snn_neuromod.kernels import backends
from snn_neuromod.kernels.call import Call, Paths
from snn_neuromod.kernels.gradients import gradients
from snn_neuromod.kernels.neurons import decode
from snn_neuromod.kernels.registered import saved, shape_of
from snn_neuromod.kernels.synapses import Delays
from snn_neuromod.kernels.transforms import transformed

__all__ = ["run"]

_ONE_STEP, _ALL = Delays(), Paths()


def run(
    neuron: str,
    current: Tensor,
    params: Sequence[Tensor],
    state: Sequence[Tensor],
    *,
    w_rec: Tensor | None = None,
    spikes: Tensor | None = None,
    delays: Delays = _ONE_STEP,
    paths: Paths = _ALL,
    backend: str | None = None,
) -> tuple[Tensor, list[Tensor]]:
    """Run a layer of neurons over a sequence, differentiably.

    Args:
        neuron: From `neurons.encode`, or the key of a `Described`.
        current: Input, (T, batch, ..., neuron), T >= 1.
        params: Parameters, see `Call`.
        state: State before the first step, see `Call`.
        w_rec: Recurrent weights (neuron to, neuron from), or None.
        spikes: Spikes before the first step, needed with `w_rec`: (longest delay, batch, ..., neuron), oldest first;
            for a delay of one step also (batch, ..., neuron).
        delays: Delays of the recurrent weights.
        paths: Which paths the gradient keeps.
        backend: Asked for by name; None: see `backends.use`.

    Returns:
        spikes: (T, batch, ..., neuron).
        state: State after the last step.

    Raises:
        ValueError: If a size, a number of things or a delay does not fit.
        TypeError: If a type or a device does not fit.
        RuntimeError: If the backend asked for cannot serve.
    """
    recurrent: list[Tensor] = []
    if w_rec is not None and spikes is not None:
        past = spikes if spikes.ndim == current.ndim else spikes.unsqueeze(0)
        recurrent = [past, *delays.split(w_rec)]
    tensors = [current, *params, *state, *recurrent]
    keep = torch.is_grad_enabled() and any(x.requires_grad for x in tensors)
    needed = [p.requires_grad for p in params]
    steps, sources = list(delays.steps), list(delays.sources)
    asked = backend or backends.REQUESTED.get()
    if transformed(*tensors):
        asked = "reference"
    elif asked != "reference" and not _plain(current):
        given = (list(params), list(state), recurrent, steps, sources, paths.encode(), keep, needed)
        first, *rest = torch.ops.snn_neuromod.sequence(neuron, current, *given, asked)
        return first, rest[: len(state)]
    tensors_of = (current, params, state, recurrent, steps, sources)
    call = Call(decode(neuron), *tensors_of, paths, needed, keep, plain=True)
    call.check()
    name = backends.choose(call, asked)
    serves = backends.REGISTRY[name][Call]
    if keep and serves.backward is not None:
        first, *rest = _Sequence.apply(call, name, *tensors)
        return first, rest
    first, last, _ = serves.forward(call)
    return first, last


def _plain(current: Tensor) -> bool:
    """Whether nothing but autograd looks on: no compiler, no autocast, no dispatch mode, and there is real memory."""
    return (
        not torch.compiler.is_compiling()
        and type(current) in (Tensor, torch.nn.Parameter)
        and not current.is_meta
        and not torch.is_autocast_enabled(current.device.type)
        and not torch._C._len_torch_dispatch_stack()
    )


class _Sequence(torch.autograd.Function):
    """A sequence with its backward pass; takes the call, its backend, and its tensors for autograd to see."""

    @staticmethod
    def forward(ctx: Any, call: Call, name: str, *tensors: Tensor) -> tuple[Tensor, ...]:
        spikes, last, tracks = backends.REGISTRY[name][Call].forward(call)
        ctx.shape = shape_of(call, name)
        ctx.save_for_backward(*saved(call, name, spikes, tracks))
        ctx.set_materialize_grads(False)
        return (spikes, *last)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        call, spikes, tracks = ctx.shape.call_of(ctx.saved_tensors)
        grad_spikes = torch.zeros_like(spikes) if grads[0] is None else grads[0]
        needs = ctx.needs_input_grad[2:]
        wanted = needs[len(needs) - len(call.recurrent) :] if call.recurrent else ()
        found = gradients(call, ctx.shape.name, grad_spikes, grads[1:], spikes, tracks, wanted)
        return None, None, *found
