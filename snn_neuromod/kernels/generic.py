r"""Derivatives of any neuron's step by automatic differentiation of that step alone.

A step is elementwise: neuron j of sample b reads its own state and input only. The gradient of the sum of one of its
results, for all steps, samples and neurons at once, therefore holds the derivatives of each element by its own inputs,
and one reverse pass per result gives the whole Jacobian.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor

from snn_neuromod.kernels.linearisation import Coefficient, Edge, Linearisation


def linearise(
    step: Callable[..., tuple[Tensor, Any]], params: Any, before: Any, after: Any, current: Tensor
) -> Linearisation:
    """Derivatives of a step at every step of a segment.

    Args:
        step: `step(params, state, current) -> (spikes, state)`, elementwise.
        params: Neuron parameters, a NamedTuple of tensors, each broadcastable to `current`.
        before: States before each step of the segment, a NamedTuple of tensors (steps, batch, neuron).
        after: Not read.
        current: Whole input of each step, (steps, batch, neuron).

    Returns:
        The derivatives, without those that are zero throughout the segment.
    """
    names = ("z", *before._fields)

    def results(*inputs: Tensor) -> tuple[Tensor, ...]:
        spikes, state = step(params, type(before)(*inputs[1:]), inputs[0])
        return spikes, *state

    def results_by_params(*inputs: Tensor) -> tuple[Tensor, ...]:
        spikes, state = step(type(params)(*inputs), before, current)
        return spikes, *state

    lagged: dict[Edge, Coefficient] = {}
    within: dict[Edge, Coefficient] = {}
    for k, y in enumerate(names):
        by_current, *by_state = _gradients(results, k, (current, *before))
        if y == "z" or by_current.any():  # spikes and input stay in one block of the sweep
            within[(y, "I")] = by_current
        for x, derivative in zip(before._fields, by_state, strict=True):
            if derivative.any():
                lagged[(y, x)] = derivative

    @cache
    def by_param() -> Mapping[str, dict[str, Coefficient]]:
        expanded = tuple(p.expand(current.shape) for p in params)
        columns: dict[str, dict[str, Coefficient]] = {name: {} for name in params._fields}
        for k, y in enumerate(names):
            gradients = _gradients(results_by_params, k, expanded)
            for name, derivative in zip(params._fields, gradients, strict=True):
                if derivative.any():
                    columns[name][y] = derivative
        return columns

    return Linearisation(
        lagged, within, {name: partial(_column, by_param, name) for name in params._fields}
    )


def _column(
    by_param: Callable[[], Mapping[str, dict[str, Coefficient]]], name: str
) -> Mapping[str, Coefficient]:
    return by_param()[name]


def _gradients(
    results: Callable[..., tuple[Tensor, ...]], k: int, inputs: tuple[Tensor, ...]
) -> tuple[Tensor, ...]:
    """Derivative of result k by each input, elementwise."""
    value, backward, *_ = torch.func.vjp(lambda *tensors: results(*tensors)[k], *inputs)
    gradients: tuple[Tensor, ...] = backward(torch.ones_like(value))
    return gradients
