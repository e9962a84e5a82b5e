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

from snn_neuromod.kernels.backends.eager.linearisation import (
    Coefficient,
    Edge,
    Linearisation,
    holds,
)


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
    for y, row in zip(names, _jacobian(results, (current, *before)), strict=True):
        if y == "z" and row[0] is None:  # spikes and input stay in one block of the sweep
            row[0] = torch.zeros_like(current)
        if row[0] is not None:
            within[(y, "I")] = row[0]
        lagged |= {(y, x): d for x, d in zip(before._fields, row[1:], strict=True) if d is not None}

    @cache
    def by_param() -> Mapping[str, dict[str, Coefficient]]:
        expanded = tuple(p.expand(current.shape) for p in params)
        columns: dict[str, dict[str, Coefficient]] = {name: {} for name in params._fields}
        for y, row in zip(names, _jacobian(results_by_params, expanded), strict=True):
            for name, derivative in zip(params._fields, row, strict=True):
                if derivative is not None:
                    columns[name][y] = derivative
        return columns

    return Linearisation(
        lagged, within, {name: partial(_column, by_param, name) for name in params._fields}
    )


def _column(
    by_param: Callable[[], Mapping[str, dict[str, Coefficient]]], name: str
) -> Mapping[str, Coefficient]:
    return by_param()[name]


def _jacobian(
    results: Callable[..., tuple[Tensor, ...]], inputs: tuple[Tensor, ...]
) -> list[list[Tensor | None]]:
    """Derivative of each result by each input, elementwise; None where it is zero.

    One forward pass, and one reverse pass for each result over its own part of the graph. Inside `torch.func.vjp`
    automatic differentiation works in an operator's kernel too, where autograd itself is switched off.
    """
    places: list[list[int | None]] = []

    def differentiate(*tensors: Tensor) -> tuple[Tensor, list[Tensor]]:
        found: list[Tensor] = []
        rows: dict[int, list[int | None]] = {}
        values = results(*tensors)
        for value in values:
            if id(value) not in rows:  # spikes are often a state as well
                rows[id(value)] = _collect(value, tensors, found)
            places.append(rows[id(value)])
        return values[0], found

    outcome: Any = torch.func.vjp(differentiate, *inputs, has_aux=True)
    *_, found = outcome
    kept = [derivative if holds(derivative.any(), otherwise=True) else None for derivative in found]
    return [[None if k is None else kept[k] for k in row] for row in places]


def _collect(value: Tensor, inputs: tuple[Tensor, ...], found: list[Tensor]) -> list[int | None]:
    """Append the derivatives of a value to `found` and tell where they are."""
    if not value.requires_grad:
        return [None] * len(inputs)
    ones = torch.ones_like(value)
    gradients = torch.autograd.grad(value, inputs, ones, retain_graph=True, allow_unused=True)
    row: list[int | None] = []
    for gradient in gradients:
        row.append(None if gradient is None else len(found))
        found += [] if gradient is None else [gradient]
    return row
