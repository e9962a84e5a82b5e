"""One step of the neurons as functions of Norse's form, and the states of recurrent neurons."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from snn_neuromod.layers import Layer

DT = 0.001


class SRCRecurrentState(NamedTuple):
    """State of recurrent SRC and mSRC neurons.

    Attributes:
        z: Graded spikes.
        i: Synapse.
        h: Membrane.
        h_s: Slow variable.
    """

    z: Tensor
    i: Tensor
    h: Tensor
    h_s: Tensor


class BSRCRecurrentState(NamedTuple):
    """State of recurrent BSRC neurons.

    Attributes:
        z: Graded spikes.
        i: Synapse.
        h: Membrane.
        h_s: Slow variable.
        h_u: Ultra-slow variable.
    """

    z: Tensor
    i: Tensor
    h: Tensor
    h_s: Tensor
    h_u: Tensor


_RECURRENT_STATES: dict[str, Any] = {
    "src": SRCRecurrentState,
    "msrc": SRCRecurrentState,
    "bsrc": BSRCRecurrentState,
}


def step(
    input_tensor: Tensor, state: Any, p: Layer, dt: float, **inputs: Any
) -> tuple[Tensor, Any]:
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
    return p.step(input_tensor, state, **inputs)


def recurrent_step(
    input_tensor: Tensor,
    state: Any,
    input_weights: Tensor,
    recurrent_weights: Tensor,
    p: Layer,
    dt: float,
) -> tuple[Tensor, Any]:
    """One step of a recurrent neuron, in the form of Norse's functions.

    Args:
        input_tensor: Input spikes, (batch, ..., in).
        state: State of the step before, with its spikes in `z`.
        input_weights: (neuron, in).
        recurrent_weights: (neuron to, neuron from).
        p: The layer that owns the parameters.
        dt: Time step in seconds; the layer's own.

    Returns:
        spikes: (batch, ..., neuron).
        state: State after this step.
    """
    current = functional.linear(input_tensor, input_weights)
    feedback = functional.linear(state.z.to(recurrent_weights.dtype), recurrent_weights)
    spikes, after = p.step(current + feedback, without_spikes(p, state))
    return spikes, with_spikes(p, spikes, after)


def without_spikes(p: Layer, state: Any) -> Any:
    """State of the layer: Norse's recurrent state, without `z` where the layer keeps none."""
    state_class = p.dynamics.State
    return state if "z" in state_class._fields else state_class(*state[1:])


def with_spikes(p: Layer, spikes: Tensor, state: Any) -> Any:
    """Norse's recurrent state: that of the layer, with the spikes as `z` where it keeps none."""
    if "z" in p.dynamics.State._fields:
        return state
    return _RECURRENT_STATES[p.dynamics_name](spikes, *state)


def to_dense(input_tensor: Tensor) -> Tensor:
    """Floating point and dense, which the layers need; Norse takes Boolean and sparse spikes."""
    dense = input_tensor.to_dense() if input_tensor.is_sparse else input_tensor
    return dense if dense.is_floating_point() else dense.to(torch.get_default_dtype())


def like(spikes: Tensor, input_tensor: Tensor) -> Tensor:
    """Spikes as sparse as the input."""
    return spikes.to_sparse() if input_tensor.is_sparse else spikes


def leaf(state: Any) -> Any:
    """Let membrane and synapse require a gradient, so that a network without parameters has a backward pass."""
    if torch.is_grad_enabled() and not torch.compiler.is_compiling():
        for name in {"v", "h", "i"} & set(state._fields):
            getattr(state, name).requires_grad_()
    return state


def stack(states: list[Any]) -> Any:
    """States of all steps as one state, time first."""
    return type(states[0])(*(torch.stack(field) for field in zip(*states, strict=True)))
