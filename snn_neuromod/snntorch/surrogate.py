"""Spike functions in snnTorch's form, a function of the distance to the threshold alone."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from torch import Tensor

from snn_neuromod.surrogate import Psi

SpikeGrad: TypeAlias = "Callable[[Tensor], Tensor] | Psi"
"""What `spike_grad` takes: a function from `snntorch.surrogate`, any other of its form, or a `Psi`."""


@dataclass(frozen=True)
class ATan:
    r"""snnTorch's default surrogate, as an object that can be pickled and keeps the type of its input.

    Spikes $H(d)$, with the derivative $\frac{\alpha}{2} \big(1 + (\frac{\pi}{2} \alpha d)^2\big)^{-1}$.

    Args:
        alpha: Slope, > 0.

    Raises:
        ValueError: If `alpha` is not positive.

    Examples:
        >>> import torch
        >>> ATan()(torch.tensor([-0.1, 0.0, 0.1], dtype=torch.float64))
        tensor([0., 0., 1.], dtype=torch.float64)
    """

    alpha: float = 2.0

    def __post_init__(self) -> None:
        if not self.alpha > 0:
            raise ValueError(f"ATan: alpha must be > 0, got {self.alpha}")

    def __call__(self, distance: Tensor) -> Tensor:
        """Spikes in {0, 1} at a distance to the threshold, any shape."""
        width = 2 / (math.pi * self.alpha)
        return Psi("arctan", gamma=self.alpha / 2, width=width, scale="none")(distance, 1.0)


def no_surrogate(distance: Tensor) -> Tensor:
    """Spikes in {0, 1} without any gradient."""
    return (distance > 0).to(distance.dtype)
