r"""Reverse-time sweep: gradients of a sequence from the derivatives of its steps.

With $\lambda^y_t$ the gradient of the loss with respect to variable y of step t (its adjoint), $g_t$ the one with
respect to the spikes from outside the layer and $W_d$ the recurrent weights of delay d,

$$
\lambda^x_t = \sum_y \frac{\partial y_t}{\partial x_t} \lambda^y_t
+ \sum_y \frac{\partial y_{t+1}}{\partial x_t} \lambda^y_{t+1}
\;\; (+\, g_t + \sum_d W_d^\top \lambda^I_{t+d} \text{ for the spikes } x = z)
$$

All terms: backpropagation through time. Without $W_d^\top \lambda^I$: e-prop, in its factorised form.

Variables that feed one another form a block. Only within a block must the steps follow one another; everything between
blocks is computed for all steps at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import TypeAlias

import torch
from torch import Tensor

from snn_neuromod.kernels.fusion.jacobian import INPUT, SPIKES, Edge, Jacobian
from snn_neuromod.kernels.synapses import Synapses

__all__ = ["Adjoints", "Coefficient", "accumulate", "sweep"]

Adjoints: TypeAlias = "Mapping[str, Tensor]"

Coefficient: TypeAlias = "float | Tensor"
"""A number, one per neuron, or one per step and neuron (steps or 1, batch, neuron)."""


def sweep(
    lin: Jacobian,
    grad_spikes: Tensor,
    carry: Adjoints,
    grad_current: Tensor,
    *,
    recurrent: Sequence[Synapses] = (),
) -> tuple[Adjoints, Adjoints]:
    """Run one segment backwards.

    Args:
        lin: Derivatives at the segment's steps.
        grad_spikes: Gradient of the segment's spikes from outside, (steps, batch, neuron).
        carry: What the steps after the segment add to the adjoints of its last step; absent where it is zero.
        grad_current: Gradient of the input, (steps and more, batch, neuron): written at the segment's steps, read at as
            many later ones as the recurrent weights reach back from.
        recurrent: Recurrent weights by delay; none leaves the recurrent path out.

    Returns:
        adjoints: Adjoint of each variable along the segment, (steps, batch, neuron); absent where it is zero.
        carry: What the segment before this one needs, without the recurrent path.
    """
    drive = _driven_alone(lin)
    onwards, grad_current = grad_current, grad_current[: len(grad_spikes)]
    lagged = (*lin.lagged, (drive, SPIKES)) if recurrent else (*lin.lagged,)
    adjoints: dict[str, Tensor] = {}
    for block in _blocks(lagged, tuple(lin.within), tuple(carry)):
        outside = {
            x: _from_outside(x, block, lin, adjoints, grad_spikes, grad_current) for x in block
        }
        if any(x in block and y in block for y, x in lagged):
            buffers = {
                x: grad_current if x == drive else torch.empty_like(grad_spikes) for x in block
            }
            _sweep_block(block, lin, outside, carry, buffers, recurrent, onwards)
            adjoints.update(buffers)
        else:
            for x, value in outside.items():
                if x in carry:
                    value = torch.zeros_like(grad_spikes) if value is None else value.clone()
                    value[-1] += carry[x]
                if value is not None:
                    adjoints[x] = value
    grad_i = adjoints.get(INPUT)
    if grad_i is None:
        grad_current.zero_()
    elif grad_i.data_ptr() != grad_current.data_ptr():
        grad_current.copy_(grad_i)
    outgoing: dict[str, Tensor] = {}
    for (y, x), coefficient in lin.lagged.items():
        if y in adjoints:
            if isinstance(coefficient, Tensor) and coefficient.ndim == grad_spikes.ndim:
                coefficient = coefficient[0]
            outgoing[x] = accumulate(outgoing.get(x), coefficient, adjoints[y][0])
    return adjoints, outgoing


def _driven_alone(lin: Jacobian) -> str:
    """The variable whose adjoint is that of the input, or the input itself."""
    driven = [(y, c) for (y, x), c in lin.within.items() if x == INPUT]
    y, coefficient = driven[0]
    alone = len(driven) == 1 and isinstance(coefficient, float) and coefficient == 1.0
    return y if alone else INPUT


@cache
def _blocks(
    lagged: tuple[Edge, ...], within: tuple[Edge, ...], carried: tuple[str, ...]
) -> list[list[str]]:
    """Variables that feed one another, block after block in the order of the sweep."""
    edges = [*lagged, *within]
    names = dict.fromkeys([SPIKES, *(name for edge in edges for name in edge), *carried])
    after = {x: _reachable(x, edges) for x in names}
    order = {x: len(_reachable(x, within)) for x in names}
    blocks = dict.fromkeys(
        tuple(sorted((y for y in after[x] if x in after[y]), key=lambda y: (order[y], y)))
        for x in names
    )
    return [list(block) for block in sorted(blocks, key=lambda block: len(after[block[0]]))]


def _reachable(start: str, edges: Iterable[Edge]) -> set[str]:
    """Variables that `start` feeds, itself included."""
    found = {start}
    while True:
        more = {y for y, x in edges if x in found} - found
        if not more:
            return found
        found |= more


def _from_outside(
    x: str,
    block: list[str],
    lin: Jacobian,
    adjoints: Adjoints,
    grad_spikes: Tensor,
    grad_current: Tensor,
) -> Tensor | None:
    """What other blocks and the layer's output add to the adjoint of x at every step, perhaps an alias of it."""
    total = grad_spikes if x == SPIKES else None
    out = grad_current if x == INPUT else None
    for (y, source), coefficient in lin.within.items():
        if source == x and y not in block and y in adjoints:
            total = accumulate(total, coefficient, adjoints[y], out)
    for (y, source), coefficient in lin.lagged.items():
        if source == x and y not in block and y in adjoints:
            total = torch.zeros_like(grad_spikes) if total is None else total.clone()
            later = coefficient
            if isinstance(later, Tensor) and later.ndim == grad_spikes.ndim and later.shape[0] > 1:
                later = later[1:]
            total[:-1] += later * adjoints[y][1:]
    return total


def _sweep_block(
    block: list[str],
    lin: Jacobian,
    outside: Mapping[str, Tensor | None],
    carry: Adjoints,
    buffers: Adjoints,
    recurrent: Sequence[Synapses],
    onwards: Tensor,
) -> None:
    """Sweep the adjoints of one block, step by step, into `buffers`."""
    views = {x: buffer.unbind(0) for x, buffer in buffers.items()}
    inputs, last = onwards.unbind(0), len(buffers[block[0]]) - 1
    plan = []
    for x in block:
        terms = [
            (_by_step(coefficient, buffers[y]), views[y], lag)
            for edges, lag in ((lin.lagged, 1), (lin.within, 0))
            for (y, source), coefficient in edges.items()
            if source == x and y in block
        ]
        given = outside[x]
        plan.append((x, None if given is None else given.unbind(0), views[x], terms))
    for k in range(last, -1, -1):
        for x, from_outside, view, terms in plan:
            out = view[k]
            total = None if from_outside is None else from_outside[k]
            if k == last and x in carry:
                total = accumulate(total, 1.0, carry[x], out)
            for coefficients, values, lag in terms:
                if k + lag <= last:
                    total = accumulate(total, coefficients[k + lag], values[k + lag], out)
            for synapses in recurrent if x == SPIKES else ():
                if k + synapses.delay < len(inputs):
                    arriving = synapses.back(inputs[k + synapses.delay])
                    total = accumulate(total, 1.0, arriving, out)
            if total is None:
                out.zero_()
            elif total is not out:
                out.copy_(total)


def _by_step(coefficient: Coefficient, like: Tensor) -> tuple[Coefficient, ...]:
    """Coefficient of each step of a segment."""
    num_steps = like.shape[0]
    if isinstance(coefficient, Tensor) and coefficient.ndim == like.ndim:
        by_step = coefficient.unbind(0)
        return by_step if len(by_step) == num_steps else by_step * num_steps
    return (coefficient,) * num_steps


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
