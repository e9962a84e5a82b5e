"""Types shared by the package."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from torch import Tensor

Param: TypeAlias = "float | Tensor"
"""A parameter: one number for all neurons, or a tensor that broadcasts against (batch, neuron)."""

ThresholdFn: TypeAlias = Callable[[Tensor, "Param", "Tensor | None"], Tensor]
"""Spike function of a neuron with a threshold: (distance to it, its unit, held) -> spikes."""

GradedFn: TypeAlias = Callable[[Tensor], Tensor]
"""Spike function of a neuron with graded spikes: membrane -> spikes."""
