"""Pattern generation: frozen input spikes, and sums of sines that a network is to give back on hearing them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.utils.data import Dataset

from snn_neuromod.data.keyed import Indexed, Key, split_key
from snn_neuromod.errors import ConfigError
from snn_neuromod.layers.parameters import positive_integer

__all__ = ["SinePatterns"]


class SinePatterns(Indexed[tuple[Tensor, Tensor]], Dataset[tuple[Tensor, Tensor]]):
    r"""Pairs of a fixed spike train and fixed signals, which come again and again.

    A signal is a sum of four sines with the given periods, amplitudes from U(0.5, 2) and phases from U(0, 2 pi); it
    starts at zero and its largest value is 1.

    Args:
        number: Samples in an epoch, >= 1; sample k is pattern k modulo `patterns`.
        patterns: Different pairs, >= 1.
        outputs: Signals of each, >= 1.
        inputs: Input neurons, >= 1.
        num_steps: Steps T, >= 1.
        p: Spike probability of an input per step, in (0, 1].
        periods: Of the sines, in steps, each in [1, T]; None: 1, 1/2, 1/3 and 1/5 of T.
        unscored_steps: First steps whose target is NaN, which count nowhere, in [0, T).
        seed: Seed of everything random, >= 0.

    Raises:
        ValueError: If an argument is outside its range.

    References:
        G. Bellec et al., Nat. Commun. 11:3625 (2020), Supplementary Fig. 7: these numbers.

    Examples:
        >>> spikes, target = SinePatterns(1)[0]
        >>> spikes.shape, target.shape, float(target.abs().max())
        (torch.Size([1000, 100]), torch.Size([1000, 1]), 1.0)
    """

    def __init__(
        self,
        number: int,
        *,
        patterns: int = 1,
        outputs: int = 1,
        inputs: int = 100,
        num_steps: int = 1000,
        p: float = 0.05,
        periods: Sequence[int] | None = None,
        unscored_steps: int = 0,
        seed: int = 0,
    ) -> None:
        who = "SinePatterns"
        self.number = positive_integer(who, "number", number)
        sizes = {"patterns": patterns, "outputs": outputs, "inputs": inputs, "num_steps": num_steps}
        patterns, outputs, inputs, num_steps = (
            positive_integer(who, name, value) for name, value in sizes.items()
        )
        if not 0 < p <= 1:
            raise ConfigError(f"{who}: p must lie in (0, 1], got {p}")
        if periods is None:
            periods = [max(1, num_steps // k) for k in (1, 2, 3, 5)]
        if not periods or not all(1 <= period <= num_steps for period in periods):
            raise ConfigError(f"{who}: periods must lie in [1, {num_steps}], got {list(periods)}")
        if not 0 <= unscored_steps < num_steps:
            raise ConfigError(
                f"{who}: unscored_steps must lie in [0, {num_steps}), got {unscored_steps}"
            )
        if not seed >= 0:
            raise ConfigError(f"{who}: seed must be >= 0, got {seed}")
        generator = torch.Generator().manual_seed(seed)
        chance = torch.rand(patterns, num_steps, inputs, generator=generator)
        self.spikes = (chance < p).to(torch.uint8)
        shape = (patterns, outputs, len(periods))
        amplitude = 0.5 + 1.5 * torch.rand(shape, generator=generator)
        phase = 2 * math.pi * torch.rand(shape, generator=generator)
        turns = torch.arange(num_steps)[:, None, None, None] / torch.tensor(list(periods))
        signal = (amplitude * torch.sin(phase + 2 * math.pi * turns)).sum(
            -1
        )  # (T, pattern, output)
        signal = signal - signal[:1]
        self.targets = (signal / signal.abs().amax(0).clamp(min=1e-6)).transpose(0, 1)
        self.targets[:, :unscored_steps] = math.nan

    def __len__(self) -> int:
        return self.number

    def __getitem__(self, key: Key) -> tuple[Tensor, Tensor]:
        """Spikes, uint8 (T, input), and targets, (T, output), NaN where none counts."""
        k = split_key(key)[1] % len(self.spikes)
        return self.spikes[k], self.targets[k]
