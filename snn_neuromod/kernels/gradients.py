"""Gradients of a sequence under its rule, by the sweeps of the backend that ran it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor

from snn_neuromod.kernels import backends
from snn_neuromod.kernels.call import Adjoint, Call
from snn_neuromod.kernels.jobs import WeightGradient
from snn_neuromod.kernels.synapses import Synapses, sent_gradient

__all__ = ["Through", "gradients", "through", "weights_gradient"]

_Product: TypeAlias = Callable[[WeightGradient], Tensor]
"""What gives the gradient of the weights of a product."""


class Through(NamedTuple):
    """What takes gradients through recurrent weights: of a call, its adjoint and the gradient of the input.

    Attributes:
        hop: Gives the gradients of the spikes before the first step and of those of all steps, with what comes from
            elsewhere.
        weights: Gives the gradients of the weights of each delay.
    """

    hop: Callable[[Call, Adjoint, Tensor], tuple[Tensor, Tensor]]
    weights: Callable[[Call, Adjoint, Tensor], list[Tensor]]


def through(call: Call, name: str) -> Through:
    """What takes gradients through the recurrent weights of sequences like one that this backend runs."""
    own = backends.REGISTRY[name][Call]
    if own.hop is not None and own.weights is not None:
        return Through(own.hop, own.weights)
    like = call.current.new_empty(1, 1)
    asked = name if name == "eager" else "auto"
    product = backends.serving(WeightGradient(like, like), asked).forward
    return Through(hop, partial(weights, product))


def gradients(
    call: Call, serves: Any, given: Adjoint, wanted: Sequence[bool], through: Through
) -> list[Tensor | None]:
    r"""Gradients of a sequence under its rule.

    With k hops through the recurrent weights, the signal of the spikes is
    $\Lambda_k[t] = \Lambda[t] + \sum_d W_d^\top p_{k-1}[t+d]$, where $p_k$ is the gradient of the input that the sweep
    of the neurons gives for $\Lambda_k$: k + 1 sweeps. With the weights inside it is backpropagation through time.

    Args:
        call: The sequence.
        serves: What ran its forward pass.
        given: What comes from after it, and from its forward pass.
        wanted: Which of `call.recurrent` need a gradient.
        through: From `through`.

    Returns:
        Gradients of input, parameters, first state, and of `call.recurrent`; None where none is needed.
    """
    sweep, hops = serves.backward, call.paths.hops
    signal, early = given.grad_spikes, None
    for _ in range(hops or 0) if call.recurrent else ():
        arriving = sweep(call, given._replace(grad_spikes=signal))[0]
        early, signal = through.hop(call, given, arriving)
    delta, grad_params, grad_first = sweep(call, given._replace(grad_spikes=signal))
    found = [delta, *grad_params, *grad_first]
    if not call.recurrent:
        return found
    past, *parts = call.recurrent
    if not wanted[0]:
        early = None
    elif hops is None:
        early, _ = through.hop(call, given, delta[: len(past)])
    elif early is None:
        early = torch.zeros_like(past)
    grads = through.weights(call, given, delta) if any(wanted[1:]) else [None] * len(parts)
    return [*found, early, *grads]


def hop(call: Call, given: Adjoint, delta: Tensor) -> tuple[Tensor, Tensor]:
    """As `Through.hop`, a product for each delay."""
    early, signal = sent_gradient(call.synapses, delta, call.recurrent[0])
    return early, given.grad_spikes[: len(signal)] + signal


def weights(product: _Product, call: Call, given: Adjoint, delta: Tensor) -> list[Tensor]:
    """As `Through.weights`, by this product for each delay."""
    past, spikes = call.recurrent[0], given.spikes
    return [weights_gradient(group, delta, past, spikes, product) for group in call.synapses]


def weights_gradient(
    group: Synapses, delta: Tensor, past: Tensor, spikes: Tensor, product: _Product
) -> Tensor:
    """Sum of delta times the spikes that arrived with it, (neuron to, sources)."""
    num_steps, num = len(spikes), spikes.shape[-1]
    early = min(group.delay, num_steps)  # steps that read the spikes before the first
    before = group.select(past[len(past) - group.delay :][:early]).to(delta.dtype)
    count = before.shape[-1]
    grad = delta[:early].reshape(-1, num).T @ before.reshape(-1, count)
    if early < num_steps and delta.numel():
        seen = group.select(spikes[:-early]).reshape(-1, count).contiguous()
        grad += product(WeightGradient(seen, delta[early:].reshape(-1, num)))
    return grad
