"""Gradients of a sequence under its rule, by the sweeps of the backend that ran it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor

from snn_neuromod.kernels import backends
from snn_neuromod.kernels.call import Adjoint, Call
from snn_neuromod.kernels.jobs import WeightGradient
from snn_neuromod.kernels.synapses import Synapses, sent_gradient

__all__ = ["Product", "gradients", "product_of", "weights_gradient"]

Product: TypeAlias = Callable[[WeightGradient], Tensor]
"""What gives the gradient of weights."""


def product_of(call: Call, name: str) -> Product:
    """What gives the gradients of the recurrent weights of sequences like one that this backend runs."""
    like, asked = call.current.new_empty(1, 1), name if name in ("eager", "triton") else "auto"
    found: Product = backends.serving(WeightGradient(like, like), asked).forward
    return found


def gradients(
    call: Call, serves: Any, given: Adjoint, wanted: Sequence[bool], product: Product
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
        product: From `product_of`.

    Returns:
        Gradients of input, parameters, first state, and of `call.recurrent`; None where none is needed.
    """
    sweep = serves.backward
    groups = call.synapses if call.recurrent else []
    hops = call.paths.hops
    signal, arriving = given.grad_spikes, None  # what arrives at the spikes through the weights
    for _ in range(hops or 0 if groups else 0):
        arriving = sweep(call, given._replace(grad_spikes=signal))[0]
        signal = given.grad_spikes + sent_gradient(groups, arriving, call.recurrent[0])[1]
    delta, grad_params, grad_first = sweep(call, given._replace(grad_spikes=signal))
    found = [delta, *grad_params, *grad_first]
    if not groups:
        return found
    past = call.recurrent[0]
    through, early = delta if hops is None else arriving, None
    if wanted[0]:
        early = torch.zeros_like(past)
        if through is not None:
            early = sent_gradient(groups, through[: len(past)], past)[0]
    weights = [
        weights_gradient(group, delta, past, given.spikes, product) if need else None
        for group, need in zip(groups, wanted[1:], strict=True)
    ]
    return [*found, early, *weights]


def weights_gradient(
    group: Synapses, delta: Tensor, past: Tensor, spikes: Tensor, product: Product
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
