r"""Spike functions: what a neuron emits, and the derivative used when learning.

Two families. Neurons with a threshold (ALIF, STDP-ALIF, Izhikevich) emit $z = H(d)$ of the distance
$d = v - A$ to the threshold, with $H(0) = 0$; the backward pass uses a pseudo-derivative $\psi$ in the
place of the derivative of $H$. What is not a number gives NaN, and no silence. The SRC family emits graded spikes,
$\max(0, h)$.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

import torch
from torch import Tensor
from torch.autograd import forward_ad

from snn_neuromod._types import Param
from snn_neuromod.errors import ConfigError

Shape = Literal["triangular", "exponential", "boxcar", "fast_sigmoid", "gaussian", "arctan"]


PROFILES: dict[str, Callable[[Tensor], Tensor]] = {
    "triangular": lambda x: torch.clamp(1 - x.abs(), min=0),
    "exponential": lambda x: torch.exp(torch.clamp(x, max=0)),
    "boxcar": lambda x: (x.abs() < 0.5).to(x.dtype),
    "fast_sigmoid": lambda x: 1 / (1 + x.abs()) ** 2,
    "gaussian": lambda x: torch.exp(-(x**2) / 2),
    "arctan": lambda x: 1 / (1 + x**2),
}
"""Shapes of a pseudo-derivative, over its dampening factor, of the distance in widths."""


def heaviside(distance: Tensor) -> Tensor:
    """Spikes at a distance to the threshold, without a gradient: 1 above it, else 0; NaN where that is NaN."""
    return distance.clamp(0, 1).ceil()


def _spikes(distance: Tensor, held: Tensor | None) -> Tensor:
    return heaviside(distance) if held is None else heaviside(distance) * ~held


def _is_constant(x: Tensor) -> bool:
    """Whether nothing can ask for a derivative: what is kept for one costs more than the spikes themselves."""
    return forward_ad._current_level < 0 and not (torch.is_grad_enabled() and x.requires_grad)


class _Heaviside(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(distance: Tensor, psi: Tensor, held: Tensor | None) -> Tensor:
        return _spikes(distance, held)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.save_for_backward(inputs[1])

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None, None]:
        (psi,) = ctx.saved_tensors
        return grad_outputs[0] * psi, None, None


class _DualHeaviside(_Heaviside):
    """The same with a forward-mode derivative, which `torch.compile` does not take."""

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.save_for_backward(inputs[1])
        ctx.save_for_forward(inputs[1])

    @staticmethod
    def jvp(ctx: Any, *tangents: Tensor) -> Tensor:
        (psi,) = ctx.saved_tensors
        tangent: Tensor = tangents[0] * psi
        return tangent


class _StraightThroughReLU(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(h: Tensor) -> Tensor:
        return torch.relu(h)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> Tensor:
        return grad_outputs[0]


class _DualStraightThroughReLU(_StraightThroughReLU):
    @staticmethod
    def jvp(ctx: Any, *tangents: Tensor) -> Tensor:
        return tangents[0].clone()


def straight_through_relu(h: Tensor) -> Tensor:
    """`torch.relu` forward, identity as its derivative; any shape."""
    if _is_constant(h):
        return torch.relu(h)
    function = _DualStraightThroughReLU if forward_ad._current_level >= 0 else _StraightThroughReLU
    out: Tensor = function.apply(h)
    return out


@dataclass(frozen=True)
class Psi:
    r"""Pseudo-derivative $\psi = \partial z / \partial v$ of a spike $z = H(d)$, $d = v - A$.

    With $x = d / (w\,u)$, where $u$ is the unit of the distance (the baseline threshold of a LIF neuron, the
    peak potential of an Izhikevich neuron) and $w$ is `width`:

    | shape | $\psi / \gamma$ |
    |---|---|
    | triangular | $\max(0, 1 - \lvert x \rvert)$, e-prop's |
    | exponential | $e^{\min(x, 0)}$, the Izhikevich neuron's |
    | boxcar | 1 where $\lvert x \rvert < 1/2$ |
    | fast_sigmoid | $(1 + \lvert x \rvert)^{-2}$ |
    | gaussian | $e^{-x^2 / 2}$ |
    | arctan | $(1 + x^2)^{-1}$ |

    Calling the object emits the spikes.

    Args:
        shape: One of the shapes above.
        gamma: Dampening factor $\gamma$, > 0.
        width: Width $w$ in units of $u$, > 0.
        scale: "threshold" divides by $u$ (Bellec et al.), "none" does not (Traub et al.).
        refractory: Value while the neuron is refractory, in units of $\gamma$: 0 (Bellec et al.), -1 (Traub
            et al.) or +1.
        at_spike: Value at the step of a spike in units of $\gamma$; None keeps the shape's own.

    Raises:
        ValueError: If `shape` or `scale` is unknown, `gamma` or `width` is not positive, or a value is not finite.

    References:
        Bellec et al., Nat. Commun. 11:3625 (2020), Methods. Traub et al., arXiv 2006.09988 (2020),
        Eqs. (17), (29).
    """

    OPTIONS: ClassVar[dict[str, tuple[Any, ...]]] = {
        "shape": get_args(Shape),
        "gamma": (float,),
        "width": (float,),
        "scale": ("threshold", "none"),
        "refractory": (float,),
        "at_spike": (None, float),
    }
    """What each argument may be: one of some values, or any number of a type."""

    shape: Shape = "triangular"
    gamma: float = 0.3
    width: float = 1.0
    scale: Literal["threshold", "none"] = "threshold"
    refractory: float = 0.0
    at_spike: float | None = None

    def __post_init__(self) -> None:
        if self.shape not in Shape.__args__:  # type: ignore[attr-defined]
            known = ", ".join(Shape.__args__)  # type: ignore[attr-defined]
            raise ConfigError(f"Psi: shape must be one of {known}, got {self.shape!r}")
        if self.scale not in ("threshold", "none"):
            raise ConfigError(f"Psi: scale must be 'threshold' or 'none', got {self.scale!r}")
        for name in ("gamma", "width"):
            if not 0 < getattr(self, name) < math.inf:
                raise ConfigError(f"Psi: {name} must be > 0 and finite, got {getattr(self, name)}")
        for name in ("refractory", "at_spike"):
            value = getattr(self, name)
            if value is not None and not math.isfinite(value):
                raise ConfigError(f"Psi: {name} must be finite, got {value}")

    def derivative(self, distance: Tensor, unit: Param, held: Tensor | None = None) -> Tensor:
        """Pseudo-derivative at a distance to the threshold.

        Args:
            distance: $v - A$, any shape.
            unit: Unit $u$ of the distance, > 0, broadcastable to it.
            held: True where the neuron is refractory; None: nowhere.

        Returns:
            The pseudo-derivative, shape of `distance`.
        """
        psi = self.gamma * self._profile(distance / (self.width * unit))
        if self.at_spike is not None:
            psi = torch.where(distance > 0, self.gamma * self.at_spike, psi)
        if held is not None:
            psi = torch.where(held, self.gamma * self.refractory, psi)
        return psi / unit if self.scale == "threshold" else psi

    def _profile(self, x: Tensor) -> Tensor:
        return PROFILES[self.shape](x)

    def __call__(self, distance: Tensor, unit: Param, held: Tensor | None = None) -> Tensor:
        """Spikes in {0, 1}: 1 where `distance` > 0 and the neuron is not held; NaN where `distance` is NaN."""
        if _is_constant(distance):
            return _spikes(distance, held)
        psi = self.derivative(distance.detach(), unit, held)
        function = _DualHeaviside if forward_ad._current_level >= 0 else _Heaviside
        spikes: Tensor = function.apply(distance, psi.detach(), held)
        return spikes


def smooth(distance: Tensor, unit: Param, held: Tensor | None = None) -> Tensor:
    """Logistic spike function, differentiable: for gradient checks of whole neurons."""
    spikes = torch.sigmoid(distance / unit)
    return spikes if held is None else spikes * ~held
