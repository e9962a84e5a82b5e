r"""First derivatives of a neuron's step along a trajectory: all that a learning rule needs to know of a neuron.

A step maps $(s_{t-1}, I_t)$ to $s_t$ and emits $z_t$. Neurons of a layer do not see one another within a step, so the
derivatives are one small matrix per neuron and step, most of whose entries are zero or constant. The entries that are
not zero are given as edges between variables: the states by their names, the input "I", the spikes "z",
and intermediate results of the step where the chain rule is shorter through them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor

Coefficient: TypeAlias = "float | Tensor"
"""A number, one per neuron, or one per step and neuron (steps or 1, batch, neuron)."""

Edge: TypeAlias = "tuple[str, str]"
"""(y, x): the derivative of y with respect to x."""


class Linearisation(NamedTuple):
    r"""Derivatives of the steps of one segment.

    Attributes:
        lagged: $\partial y_t / \partial x_{t-1}$ at key (y, x).
        within: $\partial y_t / \partial x_t$ at key (y, x): of what x feeds in its own step.
        params: For each parameter that is asked for $\partial y_t / \partial \theta$ at key y.
    """

    lagged: Mapping[Edge, Coefficient]
    within: Mapping[Edge, Coefficient]
    params: Mapping[str, Mapping[str, Coefficient]]


def holds(condition: Tensor, otherwise: bool) -> bool:
    """Whether a condition holds, where to look costs nothing: on a CUDA device it would mean to wait for it.

    Args:
        condition: One boolean.
        otherwise: What is taken where it is not looked at: the answer that is right for both.
    """
    return otherwise if condition.device.type == "cuda" else bool(condition)


def accumulate(
    total: Tensor | None, coefficient: Coefficient, value: Tensor, out: Tensor | None = None
) -> Tensor:
    """`total + coefficient * value` in one pass over memory, where None is zero.

    Args:
        total: What to add to, or None.
        coefficient: Factor, broadcastable to `value`.
        value: Any tensor.
        out: Where to write the result, which may be `total`; not used if the result is `value` itself.

    Returns:
        The sum.
    """
    if isinstance(coefficient, Tensor):
        if total is None:
            return torch.mul(coefficient, value, out=out)
        return torch.addcmul(total, coefficient, value, out=out)
    if total is None:
        return value if coefficient == 1.0 else torch.mul(value, coefficient, out=out)
    return torch.add(total, value, alpha=coefficient, out=out)
