"""Whole sequences as one differentiable call.

What can be decided once is: of sequences that look alike (sizes, strides, types, devices, options, what needs a
gradient) the first is checked and gets a `Plan`, and the others follow it. In plain PyTorch code `_Sequence` makes the
result differentiable; where a graph is traced, the operators of `registered` do. Both run the same backends, outside
autocast. Under `torch.func` and forward-mode differentiation it is the backend "reference", which autograd
differentiates by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.autograd.function import once_differentiable

from snn_neuromod.errors import ConfigError
from snn_neuromod.kernels import backends
from snn_neuromod.kernels.call import Adjoint, Call, Outline, Paths
from snn_neuromod.kernels.gradients import Through, gradients, through
from snn_neuromod.kernels.neurons import decode
from snn_neuromod.kernels.registered import sequence
from snn_neuromod.kernels.synapses import Delays
from snn_neuromod.kernels.transforms import transformed

__all__ = ["Plan", "planned", "run", "watched"]

_ONE_STEP, _ALL = Delays(), Paths()
_REAL = {Tensor, torch.nn.Parameter}
_MOST = 64


class Plan(NamedTuple):
    """What is decided once for sequences that look alike.

    Attributes:
        outline: What they are besides their tensors.
        serves: What runs them, `backends.served.Served` or what that prepared.
        through: What takes gradients through recurrent weights.
        dtype: What the input is brought to before.
    """

    outline: Outline
    serves: Any
    through: Through
    dtype: torch.dtype


def planned(call: Call, asked: str) -> Plan:
    """The plan of a call.

    Args:
        call: The call, which is checked here.
        asked: The backend asked for.

    Raises:
        ValueError: If a size, a number of things or a delay does not fit.
        TypeError: If a type or a device does not fit.
        RuntimeError: If it was asked for by name and cannot serve.
    """
    given, call = call.current.dtype, call.wide
    call.check()
    name = backends.choose(call, asked)
    dtype = given if backends.REGISTRY[name][Call].narrow else call.current.dtype
    return Plan(Outline.of(call), backends.prepared(call, name), through(call, name), dtype)


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
        neuron: From `neurons.encode`, or the key of another `neurons.Neuron`.
        current: Input, (T, batch, ..., neuron), T >= 1; of half precision beside a state of float32, spikes are of
            either type.
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
    kind = current.device.type
    if not current.is_meta and torch.is_autocast_enabled(kind) and not watched():
        with torch.autocast(kind, enabled=False):
            return run(
                neuron, current, params, state, w_rec=w_rec, spikes=spikes, delays=delays, paths=paths, backend=backend
            )  # fmt: skip
    recurrent: list[Tensor] = []
    if w_rec is not None:
        if spikes is None:
            raise ConfigError(
                "operator.run: spikes before the first step are needed with w_rec, got None"
            )
        past = spikes if spikes.ndim == current.ndim else spikes.unsqueeze(0)
        recurrent = [past, *delays.split(w_rec)]
    tensors = [current, *params, *state, *recurrent, *delays.sources]
    if watched() or not _REAL.issuperset(map(type, tensors)) or current.is_meta:
        return _run_watched(neuron, current, params, state, recurrent, delays, paths, backend)
    needs = [x.requires_grad for x in tensors]
    keep = torch.is_grad_enabled() and True in needs
    call = Call(
        decode(neuron), current, params, state, recurrent, delays.steps, delays.sources, paths,
        needs[1 : 1 + len(params)], keep, plain=True,
    )  # fmt: skip
    asked, plans = backend or backends.REQUESTED.here(), call.neuron.plans
    looks = [(x.shape, x.stride(), x.dtype, x.device, x.is_neg()) for x in tensors]
    counts = len(params), len(state), len(recurrent), torch.get_num_threads()
    key = (asked, paths, delays.steps, keep, *counts, *needs, *looks)
    plan = plans.get(key)
    if plan is None:
        if len(plans) >= _MOST:  # sequences of ever new lengths
            plans.clear()
        plan = plans[key] = planned(call, asked)
    elif delays.sources:
        call.check_senders()
    if plan.dtype != current.dtype:
        tensors[0] = current.to(plan.dtype)
        call = call._replace(current=tensors[0])
    if keep and plan.serves.backward is not None:
        first, *rest = _Sequence.apply(call, plan, *tensors)
        return first, rest
    first, last, _ = plan.serves.forward(call)
    return first, last


def watched() -> bool:
    """Whether something else than autograd looks on: a compiler, a trace, `torch.func`, forward or a dispatch mode."""
    return (
        torch.compiler.is_compiling()
        or torch._C._get_tracing_state() is not None
        or torch._C._are_functorch_transforms_active()
        or forward_ad._current_level >= 0
        or torch._C._len_torch_dispatch_stack() > 0
    )


def _run_watched(
    neuron: str,
    current: Tensor,
    params: Sequence[Tensor],
    state: Sequence[Tensor],
    recurrent: Sequence[Tensor],
    delays: Delays,
    paths: Paths,
    backend: str | None,
) -> tuple[Tensor, list[Tensor]]:
    """Run it by operators, which all of these know, or where they do not by the reference, which needs none."""
    asked, tensors = backends.requested(backend), [current, *params, *state, *recurrent]
    keep = torch.is_grad_enabled() and any(x.requires_grad for x in tensors)
    needed, steps, sources = [p.requires_grad for p in params], [*delays.steps], [*delays.sources]
    if asked == "reference" or transformed(*tensors):
        call = Call(
            decode(neuron), current, params, state, recurrent, steps, sources, paths, needed, keep
        ).brought(narrow=False)
        call.check()
        spikes, last, _ = backends.serving(call, "reference").forward(call)
        return spikes, last
    given = [*params], [*state], [*recurrent], steps, sources, paths.encode(), keep, needed, asked
    spikes, *more = sequence(neuron, current, *given)
    return spikes, more[: len(state)]


class _Sequence(torch.autograd.Function):
    """A sequence with its backward pass; takes the call, its plan, and its tensors for autograd to see."""

    @staticmethod
    def forward(ctx: Any, call: Call, plan: Plan, *tensors: Tensor) -> tuple[Tensor, ...]:
        spikes, last, tracks = plan.serves.forward(call)
        # An input of which only the shape is read can be freed.
        current = call.current if plan.serves.reads(call) else spikes
        ctx.save_for_backward(current, *tensors[1:], spikes, *tracks)
        ctx.plan = plan
        ctx.set_materialize_grads(False)
        return (spikes, *last)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        saved = ctx.saved_tensors  # once: with torch.utils.checkpoint there is no second time
        kind = saved[0].device.type
        if torch.is_autocast_enabled(kind):  # sent back inside autocast
            with torch.autocast(kind, enabled=False):
                return _Sequence._back(ctx, saved, grads)
        return _Sequence._back(ctx, saved, grads)

    @staticmethod
    def _back(
        ctx: Any, saved: Sequence[Tensor], grads: Sequence[Tensor | None]
    ) -> tuple[Tensor | None, ...]:
        plan: Plan = ctx.plan
        call, (spikes, *tracks) = plan.outline.filled(saved)
        # The sign of a negated view is not in its memory.
        grads = [g if g is None else g.resolve_neg() for g in grads]
        grad_spikes = torch.zeros_like(spikes) if grads[0] is None else grads[0]
        first = 2 + len(call.tensors) - len(call.recurrent) - len(call.sources)
        wanted = ctx.needs_input_grad[first : first + len(call.recurrent)]
        given = Adjoint(grad_spikes, grads[1:], spikes, tracks)
        found = gradients(call, plan.serves, given, wanted, plan.through)
        return None, None, *found, *[None] * len(call.sources)
