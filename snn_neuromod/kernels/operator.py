"""Whole sequences as one differentiable call.

In plain PyTorch code that is `_Sequence`; where a graph is traced or autocast is on, the registered operators
`torch.ops.snn_neuromod.sequence` and its backward pass; under `torch.func` and forward-mode differentiation, and where
it is asked for, the neuron's own step under autograd. All of them run the same backends.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Optional

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from snn_neuromod.kernels import backends
from snn_neuromod.kernels.backends import reference
from snn_neuromod.kernels.call import Call, Paths, call_of
from snn_neuromod.kernels.neurons import decode
from snn_neuromod.kernels.products import weight_gradient
from snn_neuromod.kernels.synapses import Delays, Synapses, past_gradient, spikes_gradient
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
    asked = backends.requested(backend)
    if asked == "reference" or transformed(current, *params, *state, w_rec, spikes):
        return reference.run(
            decode(neuron), current, params, state, w_rec, spikes, delays.delay, paths
        )
    recurrent: list[Tensor] = []
    if w_rec is not None and spikes is not None:
        past = spikes if spikes.ndim == current.ndim else spikes.unsqueeze(0)
        recurrent = [past, *delays.split(w_rec)]
    tensors = [current, *params, *state, *recurrent]
    keep = torch.is_grad_enabled() and any(x.requires_grad for x in tensors)
    needed = [p.requires_grad for p in params]
    steps, sources = list(delays.steps), list(delays.sources)
    if not _plain(current):
        given = (list(params), list(state), recurrent, steps, sources, paths.encode(), keep, needed)
        first, *rest = torch.ops.snn_neuromod.sequence(neuron, current, *given, asked)
        return first, rest[: len(state)]
    call = Call(
        decode(neuron), current, params, state, recurrent, steps, sources, paths, needed, keep
    )
    call.check()
    name = backends.choose(call, asked)
    if keep:
        first, *rest = _Sequence.apply(call, name, *tensors)
        return first, rest
    first, last, _ = backends.REGISTRY[name][Call].forward(call)
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


class _Shape(NamedTuple):
    """What the backward pass knows of a call besides its tensors."""

    call: Call
    name: str
    counts: tuple[int, int, int, int]

    def call_of(self, tensors: Sequence[Tensor]) -> tuple[Call, Tensor, list[Tensor]]:
        """The call, its spikes, and what its forward pass kept."""
        params, state, recurrent, sources = self.counts
        current, *rest = tensors
        a, b, c = params, params + state, params + state + recurrent
        d = c + sources
        call = self.call._replace(
            current=current,
            params=rest[:a],
            state=rest[a:b],
            recurrent=rest[b:c],
            sources=rest[c:d],
        )
        return call, rest[d], rest[d + 1 :]


def _shape_of(call: Call, name: str) -> _Shape:
    counts = (len(call.params), len(call.state), len(call.recurrent), len(call.sources))
    bare = call._replace(current=call.current.new_empty(0), params=(), state=(), recurrent=())
    return _Shape(bare._replace(sources=()), name, counts)


def _saved(call: Call, name: str, spikes: Tensor, tracks: Sequence[Tensor]) -> list[Tensor]:
    """Tensors for the backward pass; an input of which only the shape is read can be freed."""
    current = call.current if backends.REGISTRY[name][Call].reads(call) else spikes
    return [current, *call.params, *call.state, *call.recurrent, *call.sources, spikes, *tracks]


class _Sequence(torch.autograd.Function):
    """A sequence with its backward pass; takes the call, its backend, and its tensors for autograd to see."""

    @staticmethod
    def forward(ctx: Any, call: Call, name: str, *tensors: Tensor) -> tuple[Tensor, ...]:
        spikes, last, tracks = backends.REGISTRY[name][Call].forward(call)
        ctx.shape = _shape_of(call, name)
        ctx.save_for_backward(*_saved(call, name, spikes, tracks))
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


def gradients(
    call: Call,
    name: str,
    grad_spikes: Tensor,
    grad_state: Sequence[Tensor | None],
    spikes: Tensor,
    tracks: Sequence[Tensor],
    wanted: Sequence[bool],
) -> list[Tensor | None]:
    r"""Gradients of a sequence under its rule.

    With k hops through the recurrent weights, the signal of the spikes is
    $\Lambda_k[t] = \Lambda[t] + \sum_d W_d^\top p_{k-1}[t+d]$, where $p_k$ is the gradient of the input that the sweep
    of the neurons gives for $\Lambda_k$: k + 1 sweeps. With the weights inside it is backpropagation through time.

    Args:
        call: The sequence.
        name: Backend of its forward pass.
        grad_spikes: (T, batch, ..., neuron).
        grad_state: Gradient of the last state, None where it is zero.
        spikes: Those of the forward pass.
        tracks: What it kept.
        wanted: Which of `call.recurrent` need a gradient.

    Returns:
        Gradients of input, parameters, first state, and of `call.recurrent`; None where none is needed.
    """
    sweep = backends.REGISTRY[name][Call].backward
    groups = call.synapses if call.recurrent else []
    hops = call.paths.hops
    signal, arriving = grad_spikes, None  # what arrives at the spikes through the weights
    for _ in range(hops or 0 if groups else 0):
        arriving = sweep(call, signal, grad_state, spikes, tracks)[0]
        signal = grad_spikes + spikes_gradient(groups, arriving)
    delta, grad_params, grad_first = sweep(call, signal, grad_state, spikes, tracks)
    found = [delta, *grad_params, *grad_first]
    if not groups:
        return found
    past = call.recurrent[0]
    through, early = delta if hops is None else arriving, None
    if wanted[0]:
        early = torch.zeros_like(past) if through is None else past_gradient(groups, through, past)
    backend = "eager" if name == "eager" else "auto"
    weights = [
        _weights_gradient(group, delta, past, spikes, backend) if need else None
        for group, need in zip(groups, wanted[1:], strict=True)
    ]
    return [*found, early, *weights]


def _weights_gradient(
    group: Synapses, delta: Tensor, past: Tensor, spikes: Tensor, backend: str
) -> Tensor:
    """Sum of delta times the spikes that arrived with it, (neuron to, sources)."""
    num_steps, num = len(spikes), spikes.shape[-1]
    early = min(group.delay, num_steps)  # steps that read the spikes before the first
    before = group.select(past[len(past) - group.delay :][:early])
    count = before.shape[-1]
    grad = delta[:early].reshape(-1, num).T @ before.reshape(-1, count)
    if early < num_steps:
        seen = group.select(spikes[:-early]).reshape(-1, count).contiguous()
        grad += weight_gradient(seen, delta[early:].reshape(-1, num), backend)
    return grad


@torch.library.custom_op("snn_neuromod::sequence", mutates_args=())
def _sequence(
    neuron: str,
    current: Tensor,
    params: list[Tensor],
    state: list[Tensor],
    recurrent: list[Tensor],
    delays: list[int],
    sources: list[Tensor],
    rule: str,
    keep: bool,
    needed: list[bool],
    backend: str,
) -> list[Tensor]:
    call = call_of(neuron, current, params, state, recurrent, delays, sources, rule, keep, needed)
    spikes, last, tracks = backends.serving(call, backend).forward(call)
    return [spikes, *last, *tracks]


@_sequence.register_fake
def _(
    neuron: str,
    current: Tensor,
    params: list[Tensor],
    state: list[Tensor],
    recurrent: list[Tensor],
    delays: list[int],
    sources: list[Tensor],
    rule: str,
    keep: bool,
    needed: list[bool],
    backend: str,
) -> list[Tensor]:
    call = call_of(neuron, current, params, state, recurrent, delays, sources, rule, keep, needed)
    tracks = backends.serving(call, backend).kept(call)
    spikes = torch.empty_like(current, memory_format=torch.contiguous_format)
    return [spikes, *(torch.empty_like(s) for s in state), *tracks.values()]


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: list[Tensor]) -> None:
    *given, backend = inputs
    call = call_of(*given)
    ctx.neuron = inputs[0]
    ctx.shape = _shape_of(call, backends.choose(call, backend))
    ctx.set_materialize_grads(False)
    tracks = output[1 + len(call.state) :]
    ctx.save_for_backward(*_saved(call, ctx.shape.name, output[0], tracks))


def _backward(ctx: Any, grads: list[Tensor | None]) -> tuple[Any, ...]:
    call, spikes, tracks = ctx.shape.call_of(ctx.saved_tensors)
    count = len(call.state)
    found = sequence_backward(
        ctx.neuron,
        torch.zeros_like(spikes) if grads[0] is None else grads[0],
        list(grads[1 : 1 + count]),
        call.current,
        list(call.params),
        list(call.state),
        list(call.recurrent),
        list(call.delays),
        list(call.sources),
        spikes,
        tracks,
        call.paths.encode(),
        list(call.needed),
        ctx.shape.name,
    )
    grad_current, rest = found[0], found[1:]
    a = len(call.params)
    grad_params = [grad if need else None for grad, need in zip(rest, call.needed, strict=False)]
    grad_recurrent = rest[a + count :]
    none = [None] * len(call.sources)
    return (
        None, grad_current, grad_params, rest[a : a + count], grad_recurrent, None, none, None, None, None, None,
    )  # fmt: skip


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
    rule: str,
    needed: list[bool],
    backend: str,
) -> list[Tensor]:
    """Gradients of input, parameters, initial state, past spikes and recurrent weights; arguments as of `sequence`."""
    call = call_of(neuron, current, params, state, recurrent, delays, sources, rule, True, needed)
    _check_backward(call, backend, grad_spikes, grad_state, spikes, tracks)
    wanted = [True] * len(recurrent)
    found = gradients(call, backend, grad_spikes, grad_state, spikes, tracks, wanted)
    like = [current, *params, *state, *recurrent]
    return [torch.zeros_like(x) if g is None else g for g, x in zip(found, like, strict=True)]


def _check_backward(
    call: Call,
    backend: str,
    grad_spikes: Tensor,
    grad_state: Sequence[Tensor | None],
    spikes: Tensor,
    tracks: Sequence[Tensor],
) -> None:
    """Compare what comes from the forward pass, and the gradients, with what would come.

    Raises:
        ValueError: If something does not fit.
    """
    if backends.choose(call, backend) != backend:
        raise ValueError(
            f"sequence_backward: backend must be that of the forward pass, got {backend!r}"
        )
    like = call.current
    pairs = [("spikes", spikes, like), ("grad_spikes", grad_spikes, like)]
    pairs += [
        ("grad_state", g, s) for g, s in zip(grad_state, call.state, strict=True) if g is not None
    ]
    expected = backends.REGISTRY[backend][Call].kept(call)
    if len(expected) != len(tracks):
        raise ValueError(
            f"sequence_backward: tracks must be {', '.join(expected) or 'none'}, got {len(tracks)} tensors"
        )
    pairs += [(name, x, e) for (name, e), x in zip(expected.items(), tracks, strict=True)]
    for name, x, e in pairs:
        if x.shape != e.shape or x.dtype != like.dtype or x.device != like.device:
            raise ValueError(
                f"sequence_backward: {name} must be {like.dtype} of shape {tuple(e.shape)} on {like.device}, "
                f"got {x.dtype} of shape {tuple(x.shape)} on {x.device}"
            )


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
    rule: str,
    needed: list[bool],
    backend: str,
) -> list[Tensor]:
    return [torch.empty_like(tensor) for tensor in (spikes, *params, *state, *recurrent)]


_sequence.register_autograd(_backward, setup_context=_setup_context)
for _device in ("cpu", "cuda"):
    # Under autocast inputs of half precision come as float32, and nothing inside is autocast.
    _sequence.register_autocast(_device, torch.float32)
    sequence_backward.register_autocast(_device, torch.float32)
