"""The other calls that backends serve: products with spikes, their gradients, rate code, eligibility traces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from snn_neuromod.errors import ConfigError, KindError

__all__ = ["Advance", "Gather", "Product", "RateCode", "WeightGradient"]


class Product(NamedTuple):
    """Product of inputs that are mostly zero, spikes above all, with weights.

    Attributes:
        x: Inputs, (rows, inputs): floating point or bytes.
        weight: (outputs, inputs).
        bias: (outputs,), or None.
    """

    x: Tensor
    weight: Tensor
    bias: Tensor | None

    def check(self) -> None:
        """Compare everything.

        Raises:
            ValueError: If a size does not fit.
            TypeError: If a type or a device does not fit.
        """
        x, weight, bias = self
        if weight.ndim != 2 or x.ndim < 1 or x.shape[-1] != weight.shape[1]:
            raise ConfigError(
                f"spike_linear: x must have shape (..., inputs) to fit the weight (outputs, inputs) = "
                f"{tuple(weight.shape)}, got {tuple(x.shape)}"
            )
        if bias is not None and tuple(bias.shape) != (weight.shape[0],):
            raise ConfigError(
                f"spike_linear: bias must have shape ({weight.shape[0]},), got {tuple(bias.shape)}"
            )
        _check_spikes("spike_linear", x, weight, "the weight")
        if bias is not None and (bias.dtype != weight.dtype or bias.device != weight.device):
            raise KindError(
                f"spike_linear: bias must be {weight.dtype} on {weight.device} as the weight, "
                f"got {bias.dtype} on {bias.device}"
            )


class WeightGradient(NamedTuple):
    """Gradient of the weights of a `Product`.

    Attributes:
        x: Inputs, (rows, inputs).
        grad: Gradient of the outputs, (rows, outputs).
    """

    x: Tensor
    grad: Tensor

    def check(self) -> None:
        """Compare both.

        Raises:
            ValueError: If a size does not fit.
            TypeError: If a type or a device does not fit.
        """
        x, grad = self
        if x.ndim < 1 or x.shape[:-1] != grad.shape[:-1] or grad.ndim < 1:
            raise ConfigError(
                f"spike_linear_weight: grad must have the rows {tuple(x.shape[:-1])} of x, got {tuple(grad.shape[:-1])}"
            )
        _check_spikes("spike_linear_weight", x, grad, "grad")


def _check_spikes(who: str, x: Tensor, like: Tensor, name: str) -> None:
    if not like.is_floating_point() or not (x.is_floating_point() or x.dtype == torch.uint8):
        raise KindError(
            f"{who}: x must be floating point or uint8 and {name} floating point, got {x.dtype} and {like.dtype}"
        )
    if x.is_floating_point() and x.dtype != like.dtype:
        raise KindError(f"{who}: x must have the dtype of {name}, {like.dtype}, got {x.dtype}")
    if x.device != like.device:
        raise KindError(
            f"{who}: x must be on the device of {name}, {like.device}, got {x.device}; move one with .to()"
        )


class RateCode(NamedTuple):
    """Spikes from random numbers that are a function of sample, step and pixel.

    Attributes:
        limit: Probability times 2^24, int32, (sample, pixel).
        key: Two words a sample, int32, (sample, 2).
        num_steps: Steps, >= 1.
        blank_steps: Silent steps before them, >= 0.
    """

    limit: Tensor
    key: Tensor
    num_steps: int
    blank_steps: int

    def check(self) -> None:
        """Compare everything.

        Raises:
            ValueError: If a size does not fit.
            TypeError: If a type or a device does not fit.
        """
        limit, key, num_steps, blank_steps = self
        if limit.ndim != 2 or tuple(key.shape) != (limit.shape[0], 2):
            raise ConfigError(
                f"rate_code: limit must have shape (sample, pixel) and key (sample, 2), "
                f"got {tuple(limit.shape)} and {tuple(key.shape)}"
            )
        if num_steps < 1 or blank_steps < 0:
            raise ConfigError(
                f"rate_code: num_steps must be >= 1 and blank_steps >= 0, got {num_steps} and {blank_steps}"
            )
        if {limit.dtype, key.dtype} != {torch.int32} or limit.device != key.device:
            raise KindError(
                f"rate_code: limit and key must be int32 on one device, got {limit.dtype} on {limit.device} and "
                f"{key.dtype} on {key.device}"
            )


def mix(k: Tensor) -> Tensor:
    """The finaliser of MurmurHash3 on int32, whose products wrap."""
    k = (k ^ ((k >> 16) & 0xFFFF)) * (0x85EBCA6B - (1 << 32))
    k = (k ^ ((k >> 13) & 0x7FFFF)) * (0xC2B2AE35 - (1 << 32))
    return k ^ ((k >> 16) & 0xFFFF)


class Advance(NamedTuple):
    r"""Eligibility traces to be taken from a segment's start to its end, in place.

    $$
    \epsilon^y_{bij} \leftarrow \sum_x f^{yx}_{bj} \epsilon^x_{bij} + \sum_t s_{tbi} \, \delta^y_{tbj}
    $$

    for samples b, synapses i, neurons j, and variables x and y of a neuron; what they mean is told in
    `snn_neuromod.learning.eprop.carried`.

    Attributes:
        traces: Of each variable, contiguous, (batch, synapse, neuron); (batch, synapse, 1) where all neurons have the
            same, and then they have the same f and delta and read no traces but such.
        factors: f by the indices (y, x) of two variables, (batch, neuron); absent where it is zero.
        inputs: delta by the index of a variable, (steps, batch, neuron); likewise.
        sources: s, (steps, batch, synapse), and which synapses bring it, (neuron, synapse); None: all. All add up.
    """

    traces: Sequence[Tensor]
    factors: Mapping[tuple[int, int], Tensor]
    inputs: Mapping[int, Tensor]
    sources: Sequence[tuple[Tensor, Tensor | None]]


class Gather(NamedTuple):
    r"""Gradient of weights through eligibility traces, $\sum_{b, y} g^y_{bj} \epsilon^y_{bij}$, (synapse, neuron).

    Attributes:
        traces: Of each variable, (batch, synapse, neuron or 1).
        grads: g of each variable, (batch, neuron); None where it is zero, but not of all.
        after: What takes these traces on before.
    """

    traces: Sequence[Tensor]
    grads: Sequence[Tensor | None]
    after: Advance | None = None
