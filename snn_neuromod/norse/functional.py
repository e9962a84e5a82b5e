"""One step of the neurons as functions of Norse's form."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from functools import reduce
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from snn_neuromod.dynamics.traits import S
from snn_neuromod.errors import ConfigError
from snn_neuromod.kernels.synapses import Delays
from snn_neuromod.layers import Layer
from snn_neuromod.learning.rules import LearningRule, resolve
from snn_neuromod.norse.states import DelayedState, alone, of_layer, recurrent

DT = 0.001
_ONE_STEP = Delays()


def step(input_tensor: Tensor, state: S, p: Layer, dt: float, **inputs: Tensor) -> tuple[Tensor, S]:
    """One step of a neuron, in the form of Norse's functions.

    Args:
        input_tensor: Input current, (batch, ..., neuron).
        state: State of the step before.
        p: The layer that owns the parameters.
        dt: Time step in seconds; the layer's own.
        **inputs: Further inputs of this step, such as a modulation.

    Returns:
        spikes: (batch, ..., neuron).
        state: State after this step.
    """
    spikes, after = p.step(input_tensor, state, **inputs)
    state_after: S = alone(p, after)
    return spikes, state_after


def recurrent_step(
    input_tensor: Tensor,
    state: S,
    input_weights: Tensor,
    recurrent_weights: Tensor,
    p: Layer,
    dt: float,
    *,
    delays: Delays = _ONE_STEP,
    learning_rule: LearningRule = "bptt",
) -> tuple[Tensor, S]:
    """One step of a recurrent neuron, in the form of Norse's functions.

    Args:
        input_tensor: Input spikes, (batch, ..., in).
        state: State of the step before, with its spikes in `z`.
        input_weights: (neuron, in).
        recurrent_weights: (neuron to, neuron from).
        p: The layer that owns the parameters.
        dt: Time step in seconds; the layer's own.
        delays: Delays of the recurrent spikes.
        learning_rule: "bptt", or "eprop": no gradient passes through the recurrent spikes.

    Returns:
        spikes: (batch, ..., neuron).
        state: State after this step.
    """
    current = functional.linear(input_tensor, input_weights)
    before = past(state).to(recurrent_weights.dtype)
    read = before if resolve("recurrent_step", learning_rule).hops is None else before.detach()
    spikes, after = p.step(current + feedback(read, recurrent_weights, delays), of_layer(p, state))
    state_after: S = recurrent(p, spikes, after, later(before, spikes[None]))
    return spikes, state_after


def past(state: Any) -> Tensor:
    """Spikes of the last steps in a recurrent state, (longest delay, batch, ..., neuron), oldest first."""
    spikes: Tensor = state.z[None]
    return torch.cat([state.earlier, spikes]) if isinstance(state, DelayedState) else spikes


def later(before: Tensor, spikes: Tensor) -> Tensor | None:
    """Spikes before the last step that the steps after it read; None for delays of one step.

    Args:
        before: Spikes before the first step, (longest delay, batch, ..., neuron).
        spikes: Spikes of the steps, (T, batch, ..., neuron).
    """
    longest = len(before)
    if longest == 1:
        return None
    return torch.cat([before.to(spikes.dtype), spikes[-longest:]])[-longest:-1]


def feedback(before: Tensor, recurrent_weights: Tensor, delays: Delays) -> Tensor:
    """Recurrent input of one step.

    Args:
        before: Spikes of the last steps, (longest delay, batch, ..., neuron), oldest first.
        recurrent_weights: (neuron to, neuron from).
        delays: Their delays.
    """
    weights = delays.split(recurrent_weights)
    sources = delays.sources or [None] * len(weights)
    parts = [
        functional.linear(z if source is None else z.index_select(-1, source), w)
        for w, source, z in zip(weights, sources, (before[-d] for d in delays.steps), strict=True)
    ]
    return reduce(operator.add, parts)


def to_dense(input_tensor: Tensor) -> Tensor:
    """Floating point and dense, which the layers need; Norse takes Boolean and sparse spikes."""
    dense = input_tensor.to_dense() if input_tensor.is_sparse else input_tensor
    return dense if dense.is_floating_point() else dense.to(torch.get_default_dtype())


def first(who: str, input_tensor: Tensor) -> Tensor:
    """Input of the first step of a sequence, dense."""
    if not input_tensor.ndim or not len(input_tensor):
        raise ConfigError(
            f"{who}: input_tensor must be (T, batch, ..., neuron) with at least one step, got "
            f"{tuple(input_tensor.shape)}"
        )
    return to_dense(input_tensor)[0]


def like(spikes: Tensor, input_tensor: Tensor) -> Tensor:
    """Spikes as sparse as the input."""
    return spikes.to_sparse() if input_tensor.is_sparse else spikes


def leaf(state: Any) -> Any:
    """Let membrane and synapse require a gradient, so that a network without parameters has a backward pass."""
    transformed = torch._C._are_functorch_transforms_active()
    if torch.is_grad_enabled() and not (torch.compiler.is_compiling() or transformed):
        for name in {"v", "h", "i"} & set(state._fields):
            getattr(state, name).requires_grad_()
    return state


def stack(states: Sequence[Any]) -> Any:
    """States of all steps as one state, time first."""
    fields = zip(*states, strict=True)
    return type(states[0])(
        *(stack(f) if isinstance(f[0], tuple) else torch.stack(f) for f in fields)
    )
