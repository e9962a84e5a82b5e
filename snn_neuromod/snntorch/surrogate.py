"""Spike functions in snnTorch's form, a function of the distance to the threshold alone."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

import torch
from torch import Tensor

from snn_neuromod._types import Param
from snn_neuromod.errors import ConfigError
from snn_neuromod.surrogate import Psi, Shape, heaviside

SpikeGrad: TypeAlias = "Callable[[Tensor], Tensor] | Psi"
"""What `spike_grad` takes: a function from `snntorch.surrogate`, any other of its form, or a `Psi`."""


@dataclass(frozen=True)
class _Slope(Psi):
    """The derivative of snnTorch's arctangent, rounded as there."""

    alpha: float = 2.0

    def derivative(self, distance: Tensor, unit: Param, held: Tensor | None = None) -> Tensor:
        """At a distance to the threshold, whatever the unit."""
        return self.alpha / 2 / (1 + (math.pi / 2 * self.alpha * distance).square())


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
            raise ConfigError(f"ATan: alpha must be > 0, got {self.alpha}")

    def __call__(self, distance: Tensor) -> Tensor:
        """Spikes in {0, 1} at a distance to the threshold, any shape."""
        return _Slope(alpha=self.alpha)(distance, 1.0)

    def psi(self) -> Psi:
        """The same as a `Psi` of unit 1."""
        width = 2 / (math.pi * self.alpha)
        return Psi("arctan", gamma=self.alpha / 2, width=width, scale="none")


@lru_cache(maxsize=64)
def as_psi(spike_grad: Callable[[Tensor], Tensor]) -> Psi | None:
    """A surrogate as a `Psi` of unit 1 that has its derivative; None where there is none.

    It is recognised by what it does: snnTorch's own are closures.

    Args:
        spike_grad: A function of the distance to the threshold.

    Returns:
        The same spikes and, to 1e-4, the same derivative; or None.

    Examples:
        >>> from snntorch import surrogate
        >>> as_psi(surrogate.fast_sigmoid(slope=25))
        Psi(shape='fast_sigmoid', gamma=1.0, width=0.04, scale='none', refractory=0.0, at_spike=None)
    """
    if isinstance(spike_grad, ATan):
        return spike_grad.psi()
    distance = torch.linspace(-3, 3, 601, requires_grad=True)
    try:
        with torch.enable_grad():
            spikes = spike_grad(distance)
            (slope,) = torch.autograd.grad(spikes.sum(), distance)
    except (RuntimeError, TypeError, ValueError):  # without a gradient, or not of this form
        return None
    if not torch.equal(spikes, (distance > 0).float()):
        return None
    peak, side = float(slope[300]), float(slope[303])  # at 0 and 0.03
    if not 0 < side < peak < math.inf:
        return None
    widths: dict[Shape, float] = {
        "arctan": 0.03 / math.sqrt(peak / side - 1),
        "fast_sigmoid": 0.03 / (math.sqrt(peak / side) - 1),
        "triangular": 0.03 / (1 - side / peak),
        "gaussian": 0.03 / math.sqrt(2 * math.log(peak / side)),
    }
    for shape, width in widths.items():
        psi = Psi(shape, gamma=_round(peak), width=_round(width), scale="none")
        if torch.allclose(
            psi.derivative(distance.detach(), 1.0), slope, rtol=1e-4, atol=1e-5 * peak
        ):
            return psi
    return None


def _round(value: float) -> float:
    """Seven digits at most: what was measured in float32 was set in fewer."""
    return (
        float(f"{value:.5g}") if math.isclose(value, float(f"{value:.5g}"), rel_tol=1e-5) else value
    )


def no_surrogate(distance: Tensor) -> Tensor:
    """Spikes in {0, 1} without any gradient; NaN where `distance` is NaN."""
    return heaviside(distance.detach())
