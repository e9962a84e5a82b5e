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


def sweep(
    lin: Linearisation,
    grad_spikes: Tensor,
    carry: Carry,
    out: Mapping[str, Tensor],
    *,
    w_rec: Tensor | None = None,
) -> Carry:
    """Run one segment backwards.

    Args:
        lin: Derivatives at the segment's steps.
        grad_spikes: Gradient of the segment's spikes from outside, (steps, batch, neuron).
        carry: From the segment after this one.
        out: Where gradients along the segment are written, (steps, batch, neuron), by name: "I" for the input, which
            must be there, "z" for the total of the spikes, names of states for the states after each step.
        w_rec: Recurrent weights (neuron to, neuron from); None leaves the recurrent path out.

    Returns:
        What the segment before this one needs.
    """
    ndim = grad_spikes.ndim
    names = _states(lin, carry)
    tracks = {name: track.unbind(0) for name, track in out.items() if name != "I"}
    deltas = out["I"].unbind(0)
    incoming, recurrent = dict(carry.state), carry.recurrent
    for k in reversed(range(grad_spikes.shape[0])):
        grad_z = grad_spikes[k]
        for part in (incoming.get("z"), recurrent):
            grad_z = grad_z if part is None else grad_z + part
        adjoint: dict[str, Tensor | None] = {"z": grad_z, "I": None}
        for name in names:
            adjoint[name] = _add(incoming.get(name), lin.spikes.get(name), grad_z, k, ndim)
        for name, coefficient in lin.current.items():
            adjoint["I"] = _add(adjoint["I"], coefficient, adjoint[name], k, ndim, out=deltas[k])
        incoming = {}
        for (to, source), coefficient in lin.state.items():
            part = _add(incoming.get(source), coefficient, adjoint[to], k, ndim)
            if part is not None:
                incoming[source] = part
        for name, track in tracks.items():
            value = adjoint.get(name)
            track[k].zero_() if value is None else track[k].copy_(value)
        recurrent = None if w_rec is None else deltas[k] @ w_rec
    return Carry(incoming, recurrent)


def _states(lin: Linearisation, carry: Carry) -> list[str]:
    """States that may have a gradient, each once."""
    names = [*lin.spikes, *lin.current, *(to for to, _ in lin.state), *carry.state]
    return [name for name in dict.fromkeys(names) if name != "z"]


def _add(
    total: Tensor | None,
    coefficient: Coefficient | None,
    value: Tensor | None,
    k: int,
    ndim: int,
    out: Tensor | None = None,
) -> Tensor | None:
    """`total + coefficient[k] * value`, where None is zero."""
    if coefficient is None or value is None:
        return total
    if isinstance(coefficient, Tensor):
        factor = coefficient[k] if coefficient.ndim == ndim else coefficient
        if total is None:
            return torch.mul(factor, value, out=out)
        return torch.addcmul(total, factor, value, out=out)
    if total is None:
        return value if coefficient == 1 and out is None else torch.mul(value, coefficient, out=out)
    return torch.add(total, value, alpha=coefficient, out=out)
