"""What a parameter of a neuron is, stated once beside the equations that read it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor


@dataclass(frozen=True)
class Range:
    """Values that a parameter may take.

    Attributes:
        low: Lowest value.
        high: Highest value.
        open_low: Whether `low` itself is excluded.
        open_high: Whether `high` itself is excluded.
        infinite: Whether infinity is a value.
        fix: What to do about a value outside, for the error message.
    """

    low: float = -math.inf
    high: float = math.inf
    open_low: bool = False
    open_high: bool = False
    infinite: bool = False
    fix: str = ""

    def __str__(self) -> str:
        finite = "" if self.infinite else " and finite"
        if math.isinf(self.low) and math.isinf(self.high):
            return "be finite"
        if math.isinf(self.high):
            return f"be {'>' if self.open_low else '>='} {self.low:g}{finite}"
        if math.isinf(self.low):
            return f"be {'<' if self.open_high else '<='} {self.high:g}{finite}"
        return f"lie in {'(' if self.open_low else '['}{self.low:g}, {self.high:g}{')' if self.open_high else ']'}"

    @property
    def phrase(self) -> str:
        """The range in words, nothing where every finite value is in it."""
        text = str(self).removesuffix(" and finite").removeprefix("be ")
        return "" if text == "finite" else text.replace("lie in", "in")

    def holds(self, value: Tensor) -> Tensor:
        """Which elements lie in the range; NaN does not."""
        above = value > self.low if self.open_low else value >= self.low
        below = value < self.high if self.open_high else value <= self.high
        return above & below if self.infinite else above & below & torch.isfinite(value)

    def keep(self, value: Tensor) -> Tensor:
        """Project a learned value into the range; open ends are kept at a distance of 1e-4."""
        low = self.low + 1e-4 if self.open_low else self.low
        high = self.high - 1e-4 if self.open_high else self.high
        if math.isinf(low) and math.isinf(high):
            return value
        kept: Tensor = _Project.apply(value, low, high)
        return kept


class _Project(torch.autograd.Function):
    """Clamp whose gradient vanishes only where a descent step would lead further outside.

    A plain clamp stops the gradient of a value that has left the range, so that it can never come back.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(value: Tensor, low: float, high: float) -> Tensor:
        return value.clamp(low, high)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, float, float], output: Tensor) -> None:
        value, ctx.low, ctx.high = inputs
        ctx.save_for_backward(value)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None, None]:
        (value,) = ctx.saved_tensors
        grad = grad_outputs[0]
        outward = ((value < ctx.low) & (grad > 0)) | ((value > ctx.high) & (grad < 0))
        return grad.masked_fill(outward, 0.0), None, None


POSITIVE = Range(0.0, open_low=True)
POSITIVE_OR_INF = Range(0.0, open_low=True, infinite=True)
NOT_NEGATIVE = Range(0.0)
GATE = Range(0.0, 1.0, open_high=True)


class Parameter(NamedTuple):
    r"""A parameter as users set it, in every form of the neuron.

    Attributes:
        symbol: Field of the neuron's `Params` that it sets.
        default: Its default.
        text: What it is.
        unit: Its unit; none where it is dimensionless or the neuron's page says it.
        range: Values that it may take.
        note: What else is to be known of its values.
        decay: Whether it is a time constant $\tau$, of which the symbol is the decay per step, $e^{-\Delta t / \tau}$.
    """

    symbol: str
    default: float
    text: str
    unit: str = ""
    range: Range = Range()
    note: str = ""
    decay: bool = False

    @property
    def sentence(self) -> str:
        """Text, unit, range and note, as docstrings have it.

        Examples:
            >>> Parameter("alpha", 20.0, "Membrane time constant", "ms", POSITIVE_OR_INF).sentence
            'Membrane time constant in ms, > 0.'
        """
        unit = f" in {self.unit}" if self.unit else ""
        allowed = f", {self.range.phrase}" if self.range.phrase else ""
        return f"{self.text}{unit}{allowed}{'; ' if self.note else ''}{self.note}."


Parameters: TypeAlias = Mapping[str, Parameter]
"""Parameters of a neuron by their public names, `PARAMETERS` of its module."""


def ranges(dynamics: Any) -> dict[str, Range]:
    """Ranges of a neuron's parameters by their public names; none of a neuron without `PARAMETERS`."""
    return {name: p.range for name, p in getattr(dynamics, "PARAMETERS", {}).items()}
