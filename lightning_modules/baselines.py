"""Networks to compare with: snnTorch's own leaky neurons, and neurons that do not spike."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import snntorch
import torch
from torch import Tensor, nn

from lightning_modules.arguments import UNIT, check, layer_sizes

__all__ = ["LeakyNetwork", "Perceptron"]


class Perceptron(nn.Module):
    """Layers of rectified linear units: an artificial network, with weights drawn as those of `FeedForward`.

    Args:
        sizes: Number of inputs, then of units in each layer; the last one is linear and has one unit per class.
        gain: Gain of the uniform Xavier distribution of the weights.

    Raises:
        ValueError: If sizes are not positive or there is no layer.

    Examples:
        >>> Perceptron([784, 32, 10])(torch.zeros(1, 4, 784)).shape
        torch.Size([1, 4, 10])
    """

    def __init__(self, sizes: Sequence[int], *, gain: float = 1.0) -> None:
        super().__init__()
        self.linear = _weights("Perceptron", sizes, gain)

    def forward(self, x: Tensor) -> Tensor:
        """Scores (T, batch, class) of inputs x (T, batch, sizes[0]), each step by itself."""
        out = x
        for k, linear in enumerate(self.linear):
            out = linear(out.relu() if k else out)
        return out


class LeakyNetwork(nn.Module):
    """Layers of `snntorch.Leaky` with its default spike gradient, run as in its tutorials; the class by spike count.

    Args:
        sizes: Number of inputs, then of neurons in each layer; the last one has one neuron per class.
        beta: Decay of the membrane per step, in [0, 1].
        gain: Gain of the uniform Xavier distribution of the weights.

    Raises:
        ValueError: If sizes are not positive or there is no layer, or `beta` is outside its range.

    Examples:
        >>> outputs, spikes = LeakyNetwork([784, 32, 10])(torch.zeros(20, 4, 784))
        >>> outputs.shape, [s.shape[-1] for s in spikes]
        (torch.Size([20, 4, 10]), [32, 10])
    """

    def __init__(self, sizes: Sequence[int], *, beta: float = 0.95, gain: float = 1.0) -> None:
        super().__init__()
        check("LeakyNetwork", "beta", beta, UNIT)
        self.linear = _weights("LeakyNetwork", sizes, gain)
        self.cells = nn.ModuleList([snntorch.Leaky(beta=beta) for _ in self.linear])

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Run over spikes x (T, batch, sizes[0]).

        Returns:
            outputs: Spikes of the last layer so far, (T, batch, class).
            spikes: Spikes of each layer, (T, batch, neuron).
        """
        record = []
        linear: Any
        cell: Any
        for linear, cell in zip(self.linear, self.cells, strict=True):
            membrane, steps = cell.reset_mem(), []
            for current in linear(x.to(linear.weight.dtype)):  # snnTorch's spikes are float32
                spikes, membrane = cell(current, membrane)
                steps.append(spikes)
            x = torch.stack(steps)
            record.append(x)
        return x.cumsum(dim=0), record


def _weights(who: str, sizes: Sequence[int], gain: float) -> nn.ModuleList:
    """Linear layers with biases of zero."""
    layers = [nn.Linear(a, b) for a, b in pairwise(layer_sizes(who, sizes))]
    for layer in layers:
        nn.init.xavier_uniform_(layer.weight, gain=gain)
        nn.init.zeros_(layer.bias)
    return nn.ModuleList(layers)
