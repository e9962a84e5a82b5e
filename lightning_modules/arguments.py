"""Arguments of classes: numbers in their ranges, words out of their choices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar, get_args

import torch
from torch import Tensor

from snn_neuromod.dynamics.parameter import Range
from snn_neuromod.errors import ConfigError
from snn_neuromod.layers.parameters import positive_integer

__all__ = ["check", "check_sequences", "layer_sizes", "per_layer"]

T = TypeVar("T")

ZERO_OR_MORE, ONE_OR_MORE = Range(0, infinite=True), Range(1, infinite=True)
POSITIVE = Range(0, open_low=True, infinite=True)
UNIT, FRACTION = Range(0, 1), Range(0, 1, open_high=True)


def check(who: str, name: str, value: Any, allowed: Any) -> None:
    """Refuse a value that is not allowed.

    Args:
        who: Class whose argument it is.
        name: Name of the argument.
        value: Its value, or a list of them.
        allowed: A `Range`, or a `Literal` of words.

    Raises:
        ConfigError: If the value, or one of a list, is not allowed; NaN never is.

    Examples:
        >>> check("WarmUp", "final", 1.5, UNIT)
        Traceback (most recent call last):
            ...
        snn_neuromod.errors.ConfigError: WarmUp: final must lie in [0, 1], got 1.5
    """
    if isinstance(allowed, Range):
        if not allowed.holds(torch.as_tensor(value, dtype=torch.float64)).all():
            raise ConfigError(f"{who}: {name} must {allowed}, got {value}")
    elif value not in (words := get_args(allowed)):
        known = " or ".join(words) if len(words) == 2 else f"one of {', '.join(words)}"
        raise ConfigError(f"{who}: {name} must be {known}, got {value!r}")


def layer_sizes(who: str, sizes: Sequence[int]) -> list[int]:
    """Number of inputs of a network, then of neurons in each layer, as plain ints.

    Raises:
        ConfigError: If one is not positive, or there is no layer.
    """
    sizes = [positive_integer(who, "sizes", size) for size in sizes]
    if len(sizes) < 2:
        raise ConfigError(
            f"{who}: sizes must be the number of inputs and of neurons in each layer, got {sizes}"
        )
    return sizes


def per_layer(who: str, name: str, value: T | Sequence[T], number: int) -> list[T]:
    """One value for each layer, from one for all of them or from a list.

    Raises:
        ConfigError: If a list has another length.

    Examples:
        >>> per_layer("FeedForward", "recurrent", False, 2)
        [False, False]
    """
    values: list[Any] = list(value) if isinstance(value, list | tuple) else [value] * number
    if len(values) != number:
        raise ConfigError(
            f"{who}: {name} must be one for all layers or one for each of {number}, got {len(values)}"
        )
    return values


def check_sequences(who: str, x: Tensor, num_inputs: int) -> None:
    """Refuse what is no batch of sequences of `num_inputs` inputs."""
    if x.ndim != 3 or x.shape[-1] != num_inputs or not len(x):
        raise ConfigError(
            f"{who}: x must have shape (T, batch, {num_inputs}), got {tuple(x.shape)}; sequences have at least one "
            "frame, and the sizes of a network start with the number of inputs of the data"
        )
