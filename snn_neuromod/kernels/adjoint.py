r"""Reverse-time sweep: gradients of a sequence from the derivatives of its steps.

With $\lambda_t$ the gradient of the loss with respect to the state after step t, $g_t$ the one with respect to its spikes
from outside the layer and $W$ the recurrent weights,

$$
\begin{aligned}
\bar z_t  &= g_t + (\partial s_{t+1} / \partial z_t)^\top \lambda_{t+1} + W^\top \delta_{t+1} \\
\lambda_t &= (\partial s_{t+1} / \partial s_t)^\top \lambda_{t+1} + (\partial z_t / \partial s_t)^\top \bar z_t \\
\delta_t  &= (\partial s_t / \partial I_t)^\top \lambda_t
\end{aligned}
$$

All terms: backpropagation through time. Without $W^\top \delta$: e-prop, in its factorised form.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from snn_neuromod.kernels.linearisation import Coefficient, Linearisation


class Carry(NamedTuple):
    """What a sweep hands to the steps before it.

    Attributes:
        state: Gradient of the state at the segment's start, by name; absent where it is zero.
        recurrent: Gradient of the spikes at the segment's start through the recurrent weights.
    """

    state: Mapping[str, Tensor]
    recurrent: Tensor | None = None


class Sweep(NamedTuple):
    """Gradients along one segment.

    Attributes:
        state: Gradient of the states after each step, (steps, batch, neuron), by name.
        spikes: Gradient of the spikes of each step, total, likewise.
        current: Gradient of the input of each step, likewise.
        carry: What is handed on.
    """

    state: dict[str, Tensor]
    spikes: Tensor
    current: Tensor
    carry: Carry


def sweep(
    lin: Linearisation, grad_spikes: Tensor, carry: Carry, w_rec: Tensor | None = None
) -> Sweep:
    """Run one segment backwards.

    Args:
        lin: Derivatives at the segment's steps.
        grad_spikes: Gradient of the segment's spikes from outside, (steps, batch, neuron).
        carry: From the segment after this one.
        w_rec: Recurrent weights (neuron to, neuron from); None leaves the recurrent path out.

    Returns:
        The gradients along the segment.
    """
    steps, ndim = grad_spikes.shape[0], grad_spikes.ndim
    names = _states(lin, carry)
    adjoints: dict[str, list[Tensor]] = {name: [] for name in names}
    spikes, currents = [], []
    recurrent = carry.recurrent
    incoming = dict(carry.state)
    for k in reversed(range(steps)):
        grad_z = grad_spikes[k]
        for part in (incoming.get("z"), recurrent):
            grad_z = grad_z if part is None else grad_z + part
        adjoint: dict[str, Tensor] = {}
        for name in names:
            total = _add(incoming.get(name), lin.spikes.get(name), grad_z, k, ndim)
            adjoint[name] = torch.zeros_like(grad_z) if total is None else total
        current: Tensor | None = None
        for name, coefficient in lin.current.items():
            current = _add(current, coefficient, adjoint[name], k, ndim)
        incoming = {}
        for (to, source), coefficient in lin.state.items():
            part = _add(incoming.get(source), coefficient, adjoint[to], k, ndim)
            if part is not None:
                incoming[source] = part
        for name in names:
            adjoints[name].append(adjoint[name])
        spikes.append(grad_z)
        currents.append(torch.zeros_like(grad_z) if current is None else current)
        recurrent = None if w_rec is None else currents[-1] @ w_rec
    return Sweep(
        state={name: _forward_in_time(values) for name, values in adjoints.items()},
        spikes=_forward_in_time(spikes),
        current=_forward_in_time(currents),
        carry=Carry(incoming, recurrent),
    )


def _states(lin: Linearisation, carry: Carry) -> list[str]:
    """States that may have a gradient, each once."""
    names = [*lin.spikes, *lin.current, *(to for to, _ in lin.state), *carry.state]
    return [name for name in dict.fromkeys(names) if name != "z"]


def _add(
    total: Tensor | None, coefficient: Coefficient | None, value: Tensor, k: int, ndim: int
) -> Tensor | None:
    """`total + coefficient[k] * value`, where None is zero."""
    if coefficient is None:
        return total
    if isinstance(coefficient, Tensor):
        factor = coefficient[k] if coefficient.ndim == ndim else coefficient
        return factor * value if total is None else torch.addcmul(total, factor, value)
    if total is None:
        return value if coefficient == 1 else coefficient * value
    return torch.add(total, value, alpha=coefficient)


def _forward_in_time(values: list[Tensor]) -> Tensor:
    return torch.stack(values[::-1])
