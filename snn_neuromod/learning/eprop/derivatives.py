"""Derivatives of one step of any neuron, by automatic differentiation of its `step`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

__all__ = ["Derivatives", "differentiate"]


class Derivatives(NamedTuple):
    """Derivatives of one step, each (batch, neuron); what is always zero is absent from `states`.

    Attributes:
        states: State variable or "spikes" -> state variable before the step, or input "I" -> derivative.
        params: Learned parameter -> state variable or "spikes" -> derivative.
    """

    states: dict[str, dict[str, Tensor]]
    params: dict[str, dict[str, Tensor]]


def differentiate(neuron: Any, state: Any, current: Tensor) -> tuple[Tensor, Any, Derivatives]:
    """Advance the neurons by one step of their equations and differentiate it."""
    params = neuron.params(current.dtype)
    own = {
        name: p.detach().expand(current.shape).clone().requires_grad_()
        for name, p in params._asdict().items()
        if p.requires_grad
    }
    before = {name: s.clone().requires_grad_() for name, s in state._asdict().items()}
    inputs = {**before, "I": current.clone().requires_grad_()}
    with torch.enable_grad():
        spikes, after = neuron.dynamics.step(
            params._replace(**own), type(state)(**before), inputs["I"], **neuron.step_options()
        )
    found = Derivatives({}, {name: {} for name in own})
    for y, value in {**after._asdict(), "spikes": spikes}.items():
        grads: Sequence[Tensor | None] = [None] * len(inputs) + [None] * len(own)
        if value.requires_grad:
            grads = torch.autograd.grad(
                value.sum(), [*inputs.values(), *own.values()], retain_graph=True, allow_unused=True
            )
        found.states[y] = {x: g for x, g in zip(inputs, grads, strict=False) if g is not None}
        for name, grad in zip(own, grads[len(inputs) :], strict=True):
            found.params[name][y] = torch.zeros_like(current) if grad is None else grad
    return spikes.detach(), type(state)(*(s.detach() for s in after)), found
