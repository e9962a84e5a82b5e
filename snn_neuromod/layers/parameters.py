"""Parameters of neuron layers: a number, one value per neuron, or a distribution to draw them from; learned or not."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from numbers import Integral
from typing import TypeAlias

import torch
from torch import Tensor, nn

from snn_neuromod.dynamics.parameter import Range
from snn_neuromod.errors import ConfigError, KindError


@dataclass(frozen=True)
class Uniform:
    """One value per neuron, drawn from U(low, high) when the layer is made.

    Args:
        low: Lower end.
        high: Upper end, > low.

    Raises:
        ValueError: If `high` is not above `low`.
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        if not self.high > self.low:
            raise ConfigError(f"Uniform: high must be > low, got low={self.low}, high={self.high}")

    def sample(self, num_neurons: int) -> Tensor:
        """Draw with PyTorch's global generator, shape (num_neurons,)."""
        return torch.empty(num_neurons).uniform_(self.low, self.high)


@dataclass(frozen=True)
class Normal:
    """One value per neuron, drawn from N(mean, std^2) when the layer is made.

    Args:
        mean: Mean.
        std: Standard deviation, > 0.

    Raises:
        ValueError: If `std` is not positive.
    """

    mean: float
    std: float

    def __post_init__(self) -> None:
        if not self.std > 0:
            raise ConfigError(f"Normal: std must be > 0, got {self.std}")

    def sample(self, num_neurons: int) -> Tensor:
        """Draw with PyTorch's global generator, shape (num_neurons,)."""
        return torch.empty(num_neurons).normal_(self.mean, self.std)


@dataclass(frozen=True)
class LogNormal:
    r"""One value per neuron, $m\, e^{\sigma n}$ with n ~ N(0, 1), drawn when the layer is made.

    Positive whatever is drawn, as time constants must be.

    Args:
        median: Median m, > 0.
        sigma: Standard deviation $\sigma$ of the logarithm, > 0.

    Raises:
        ValueError: If an argument is not positive.
    """

    median: float
    sigma: float

    def __post_init__(self) -> None:
        for name in ("median", "sigma"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"LogNormal: {name} must be > 0, got {getattr(self, name)}")

    def sample(self, num_neurons: int) -> Tensor:
        """Draw with PyTorch's global generator, shape (num_neurons,)."""
        return torch.empty(num_neurons).log_normal_(math.log(self.median), self.sigma)


@dataclass(frozen=True)
class Groups:
    """Neighbouring groups of neurons, all neurons of a group with the same value.

    Args:
        values: Value of each group.
        shares: Size of each group relative to the others, > 0.

    Raises:
        ValueError: If values and shares are not equally many, or a share is not positive.

    Examples:
        >>> Groups([0.0, 0.184], [3, 1]).sample(8)  # three quarters LIF, one quarter ALIF
        tensor([0.0000, 0.0000, 0.0000, 0.0000, 0.0000, 0.0000, 0.1840, 0.1840])
    """

    values: Sequence[float]
    shares: Sequence[float]

    def __post_init__(self) -> None:
        if len(self.values) != len(self.shares) or not self.values:
            raise ConfigError(
                f"Groups: shares must be as many as values, got {list(self.values)} and {list(self.shares)}"
            )
        if not all(0 < share < math.inf for share in self.shares):
            raise ConfigError(f"Groups: shares must be > 0 and finite, got {list(self.shares)}")

    def sample(self, num_neurons: int) -> Tensor:
        """Value of each neuron, (num_neurons,); sizes of groups are rounded."""
        ends = torch.tensor(list(self.shares), dtype=torch.float64).cumsum(0)
        sizes = (ends / ends[-1] * num_neurons).round().long().diff(prepend=torch.tensor([0]))
        return torch.tensor([float(value) for value in self.values]).repeat_interleave(sizes)


Value: TypeAlias = float | Tensor | Sequence[float] | Uniform | Normal | LogNormal | Groups
"""What a layer accepts as a parameter: a number for all neurons, one per neuron, or what gives one per neuron."""


def positive_integer(who: str, name: str, value: int) -> int:
    """The value as a plain int.

    Args:
        who: Class whose argument it is.
        name: Name of the argument.
        value: Its value.

    Raises:
        ValueError: If it is no integer, not positive, or more than a tensor's size can be.
    """
    if isinstance(value, bool) or not isinstance(value, Integral) or not value >= 1:
        raise ConfigError(f"{who}: {name} must be an integer >= 1, got {value!r}")
    if value >= 2**63:
        raise ConfigError(f"{who}: {name} must be below 2**63, got {value}")
    return int(value)


def positive(who: str, name: str, value: float) -> float:
    """The value, if it is > 0.

    Args:
        who: Class whose argument it is.
        name: Name of the argument.
        value: Its value.

    Raises:
        ValueError: If it is not.
    """
    if not value > 0:
        raise ConfigError(f"{who}: {name} must be > 0, got {value}")
    return value


def register(
    module: nn.Module,
    name: str,
    value: Value,
    allowed: Range,
    *,
    num_neurons: int | None,
    learn: bool,
) -> None:
    """Give a layer one parameter: an `nn.Parameter` if learned, else a buffer.

    A number is learned as one value per neuron; a 0-d tensor as one value that all neurons share.

    Args:
        module: The layer.
        name: Name of the parameter.
        value: Its value.
        allowed: Its range.
        num_neurons: Number of neurons; None for a layer of any shape, which takes numbers only.
        learn: Whether it is learned.

    Raises:
        ValueError: If the value is outside its range or does not have one element per neuron.
        TypeError: If it is not made of numbers.
    """
    make = partial(_made, type(module).__name__, name, value, allowed, num_neurons, learn)
    module.__dict__.setdefault("_given", {})[name] = make
    tensor = make().to(torch.get_default_device())
    if learn:
        module.register_parameter(name, nn.Parameter(tensor))
    else:
        module.register_buffer(name, tensor)


def initialise(module: nn.Module) -> None:
    """Give the parameters that `register` gave a module their first values again; what was drawn is drawn anew."""
    with torch.no_grad():
        for name, make in module.__dict__["_given"].items():
            getattr(module, name).copy_(make())


def _made(
    who: str, name: str, value: Value, allowed: Range, num_neurons: int | None, learn: bool
) -> Tensor:
    """A parameter's values on the CPU, also where layers are made on the meta device; errors as of `register`."""
    with torch.device("cpu"):
        tensor = _tensor(who, name, value, num_neurons, learn)
    if tensor.ndim > 0 and tuple(tensor.shape) != (num_neurons,):
        raise ConfigError(
            f"{who}: {name} must be a number or have shape ({num_neurons},), got {tuple(tensor.shape)}"
        )
    outside = tensor[~allowed.holds(tensor)]
    if outside.numel():
        raise ConfigError(f"{who}: {name} must {allowed}, got {outside[0].item():g}{allowed.fix}")
    return tensor


def _tensor(who: str, name: str, value: Value, num_neurons: int | None, learn: bool) -> Tensor:
    if isinstance(value, Uniform | Normal | LogNormal | Groups):
        if num_neurons is None:
            raise ConfigError(
                f"{who}: {name} must be a number where the number of neurons is not given"
            )
        return value.sample(num_neurons)
    shared = isinstance(value, Tensor)
    try:
        tensor = torch.as_tensor(value, dtype=torch.get_default_dtype()).detach().clone()
    except (TypeError, ValueError, RuntimeError) as error:
        raise KindError(
            f"{who}: {name} must be a number, one for each neuron, or a distribution such as Uniform(0.1, 0.3), "
            f"got {value!r}"
        ) from error
    if tensor.is_meta:
        raise ConfigError(f"{who}: {name} must have values, got a tensor on the meta device")
    tensor = tensor.cpu()
    if learn and tensor.ndim == 0 and num_neurons is not None and not shared:
        tensor = tensor.expand(num_neurons).clone()
    return tensor
