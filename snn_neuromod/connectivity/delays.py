"""Delays of recurrent synapses: at random, or by distance."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from snn_neuromod.connectivity.masks import Space, distances
from snn_neuromod.errors import ConfigError


class DelayMap:
    """What makes the delays of a layer once its number of neurons is known."""

    def __call__(self, num_neurons: int) -> Tensor:
        """Delays in steps, int64, (neuron,) by presynaptic neuron or (neuron to, neuron from) by synapse."""
        raise NotImplementedError


@dataclass(frozen=True)
class RandomDelays(DelayMap):
    """Delays drawn uniformly, to be called with the number of neurons.

    Args:
        longest: Longest delay in steps, >= 1; the shortest is 1.
        by: One delay for each presynaptic "neuron" (axonal), which costs no more than one delay for all, or for each
            "synapse", with a matrix product for each distinct delay.
        seed: Seed; None takes PyTorch's global generator.

    Raises:
        ValueError: If `longest` is below 1 or `by` unknown.

    Examples:
        >>> RandomDelays(4, seed=0)(6).shape
        torch.Size([6])
    """

    longest: int
    by: Literal["neuron", "synapse"] = "neuron"
    seed: int | None = None

    def __post_init__(self) -> None:
        _check("RandomDelays", self.longest)
        if self.by not in ("neuron", "synapse"):
            raise ConfigError(f"RandomDelays: by must be neuron or synapse, got {self.by!r}")

    def __call__(self, num_neurons: int) -> Tensor:
        shape = (num_neurons,) if self.by == "neuron" else (num_neurons, num_neurons)
        generator = None if self.seed is None else torch.Generator().manual_seed(self.seed)
        return torch.randint(1, self.longest + 1, shape, generator=generator)


@dataclass(frozen=True)
class DistanceDelays(DelayMap):
    r"""Delays of signals that travel at a finite speed, to be called with the number of neurons.

    The delay is $\max(1, \lceil d / s \rceil)$ steps at a distance d, at most `longest`.

    Args:
        speed: Speed s in distances of neighbours per step, > 0.
        longest: Longest delay in steps, >= 1; there is a matrix product for each distinct delay.
        space: As in `distances`.

    Raises:
        ValueError: If an argument is outside its range.

    Examples:
        >>> DistanceDelays(speed=1.0, longest=3)(8)[0].tolist()
        [1, 1, 2, 3, 3, 3, 2, 1]
    """

    speed: float
    longest: int
    space: Space = "ring"

    def __post_init__(self) -> None:
        _check("DistanceDelays", self.longest)
        if not 0 < self.speed < math.inf:
            raise ConfigError(f"DistanceDelays: speed must be > 0 and finite, got {self.speed}")

    def __call__(self, num_neurons: int) -> Tensor:
        distance = distances(num_neurons, num_neurons, space=self.space)
        return (distance / self.speed).ceil().long().clamp(1, self.longest)


def _check(who: str, longest: int) -> None:
    if not longest >= 1 or int(longest) != longest:
        raise ConfigError(f"{who}: longest must be a number of steps >= 1, got {longest}")
