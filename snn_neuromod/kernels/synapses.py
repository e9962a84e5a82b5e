r"""Synaptic delays: recurrent weights in groups of equal delay, one matrix product each.

$$
I_t = W_\text{in} x_t + \sum_d W_d\, z_{t-d}, \qquad (W_d)_{ji} = W_{ji} \text{ where } d_{ji} = d, \text{ else } 0
$$

and backwards $\lambda^z_t \mathrel{+}= \sum_d W_d^\top \lambda^I_{t+d}$. Of $W_d$ only the columns of neurons that have
a synapse of it are kept: the products for delays by neuron are together as large as the one for a common delay.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class Delays(NamedTuple):
    """Delays of the synapses among N neurons, by distinct delay.

    Attributes:
        delay: As `grouped` was given it.
        steps: The distinct delays in steps, ascending.
        sources: Neurons with a synapse of each delay, ascending; empty: all neurons.
        masks: Which of the weights (N, sources) have each delay; empty: all.
    """

    delay: int | Tensor = 1
    steps: tuple[int, ...] = (1,)
    sources: tuple[Tensor, ...] = ()
    masks: tuple[Tensor, ...] = ()

    @property
    def longest(self) -> int:
        """The longest delay in steps: how many past spikes are needed."""
        return self.steps[-1]

    def split(self, w_rec: Tensor) -> list[Tensor]:
        """Weights (N, sources) of each delay, from all weights (neuron to, neuron from)."""
        if not self.sources:
            return [w_rec]
        columns = w_rec.index_select(1, torch.cat(self.sources))
        if self.masks:
            columns = columns * torch.cat(self.masks, 1).to(w_rec.dtype)
        return [*columns.split([len(source) for source in self.sources], 1)]


def grouped(delay: int | Tensor) -> Delays:
    """Group synapses by delay.

    Args:
        delay: Steps >= 1: one number, (N,) by presynaptic neuron, or (N, N) by synapse (neuron to, neuron from).

    Returns:
        The groups.
    """
    if isinstance(delay, int):
        return Delays(delay, (delay,))
    steps = tuple(int(d) for d in delay.unique())
    if len(steps) == 1:
        return Delays(delay, steps)
    masks = [delay == d for d in steps]
    if delay.ndim == 1:
        return Delays(delay, steps, tuple(mask.nonzero()[:, 0] for mask in masks))
    sources = tuple(mask.any(0).nonzero()[:, 0] for mask in masks)
    return Delays(
        delay, steps, sources, tuple(m[:, s] for m, s in zip(masks, sources, strict=True))
    )


class Synapses(NamedTuple):
    """Recurrent weights of one delay.

    Attributes:
        weights: (neuron to, sources).
        delay: Steps.
        sources: Neurons that the columns belong to; None: all.
    """

    weights: Tensor
    delay: int
    sources: Tensor | None

    def select(self, spikes: Tensor) -> Tensor:
        """Spikes of the sources, (..., sources)."""
        return spikes if self.sources is None else spikes.index_select(-1, self.sources)

    def back(self, grad_current: Tensor) -> Tensor:
        """Gradient of the spikes of all neurons, (..., neuron)."""
        grad = grad_current.to(self.weights.dtype) @ self.weights
        if self.sources is None:
            return grad
        out = torch.zeros_like(grad_current, dtype=grad.dtype)
        return out.index_copy_(-1, self.sources, grad)


def sent_gradient(groups: Sequence[Synapses], delta: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of the spikes before the first step and of those of all steps, from that of the input, through it."""
    longest, num_steps = len(past), len(delta)
    grad = past.new_zeros(longest + num_steps, *delta.shape[1:])
    for group in groups:
        start = longest - group.delay
        grad[start : start + num_steps] += group.back(delta)
    return grad[:longest], grad[longest:]
