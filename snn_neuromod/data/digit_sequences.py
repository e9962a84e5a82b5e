"""Sequences of digits of which one is to be kept, as a context signal tells."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from snn_neuromod import encoders
from snn_neuromod.data.keyed import Indexed, Key, sample_seeds, split_key
from snn_neuromod.data.spiking_images import NO_LABEL
from snn_neuromod.errors import ConfigError

__all__ = ["DigitSequences"]


class DigitSequences(Indexed[tuple[Tensor, Tensor]], Dataset[tuple[Tensor, Tensor]]):
    """Digits one after another, rate-coded, with a signal that says which of them to keep.

    While the signal "hold" is 0 the present digit is to be taken in, while it is 1 the digit taken in last is to be
    kept, whatever is shown. Which digits are let in is drawn for each sequence such that the last one, whose class is
    the label at the end, stands at each place equally often. Everything depends on (seed, epoch, index) only.

    Args:
        images: uint8, (N, ...).
        labels: int64, (N,).
        num_digits: Digits in a sequence, >= 1.
        digit_steps: Steps for which each is shown, >= 2.
        hold_after: Steps after which hold is 1 again, in [1, digit_steps]: while the digit is still there if less.
        p_max: Spike probability per step at full intensity, in [0, 1].
        seed: Seed of everything random, >= 0.

    Raises:
        ValueError: If an argument is outside its range.
    """

    def __init__(
        self,
        images: Tensor,
        labels: Tensor,
        *,
        num_digits: int = 3,
        digit_steps: int = 30,
        hold_after: int = 25,
        p_max: float = 0.5,
        seed: int = 0,
    ) -> None:
        if not num_digits >= 1:
            raise ConfigError(f"DigitSequences: num_digits must be >= 1, got {num_digits}")
        if not digit_steps >= 2:
            raise ConfigError(f"DigitSequences: digit_steps must be >= 2, got {digit_steps}")
        if not 1 <= hold_after <= digit_steps:
            raise ConfigError(
                f"DigitSequences: hold_after must lie in [1, {digit_steps}], the steps of a digit, got {hold_after}"
            )
        encoders.rate(torch.zeros(0, 1), 1, p_max=p_max)  # refuses a p_max that is none
        self.images, self.labels = images.flatten(1), labels
        self.num_digits, self.digit_steps, self.hold_after = num_digits, digit_steps, hold_after
        self.p_max, self.seed = p_max, seed

    @property
    def total_steps(self) -> int:
        """Length T of a sequence."""
        return self.num_digits * self.digit_steps

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, key: Key) -> tuple[Tensor, Tensor]:
        """Spikes and hold, uint8 (T, inputs + 1), and the label of each step, int64 (T,), -100 where none counts."""
        return self.__getitems__([key])[0]

    def __getitems__(self, keys: Sequence[Key]) -> list[tuple[Tensor, Tensor]]:
        pairs = [split_key(key) for key in keys]
        seeds = [sample_seeds(self.seed, epoch, [index])[0] for epoch, index in pairs]
        plans = [self._plan(index, seed) for (_, index), seed in zip(pairs, seeds, strict=True)]
        chosen, taken = (torch.stack(part) for part in zip(*plans, strict=True))
        return list(zip(*self.sequences(chosen, taken, seeds), strict=True))

    def sequences(
        self, chosen: Tensor, taken: Tensor, seeds: Sequence[int]
    ) -> tuple[Tensor, Tensor]:
        """Sequences of one's own choice.

        Args:
            chosen: Images of each sequence, int64 (batch, digit).
            taken: Which of them are let in, bool (batch, digit).
            seeds: Seed of the spikes of each sequence.

        Returns:
            spikes: And hold as the last input, uint8 (batch, T, inputs + 1).
            labels: Of each step, int64 (batch, T), -100 where none counts.
        """
        spikes = encoders.rate(
            self.images[chosen] / 255,
            self.digit_steps,
            p_max=self.p_max,
            seeds=seeds,
            dtype=torch.uint8,
        )  # (steps of a digit, batch, digit, input)
        spikes = spikes.permute(1, 2, 0, 3).flatten(1, 2)
        samples = torch.cat([spikes, self._hold(taken)[..., None]], dim=-1)
        return samples, self._targets(self.labels[chosen], taken)

    def _plan(self, index: int, seed: int) -> tuple[Tensor, Tensor]:
        """Images of a sequence, and which of them are let in; image `index` is the last one let in."""
        draw = np.random.default_rng(seed)
        last = int(draw.integers(self.num_digits))
        chosen = draw.integers(len(self), size=self.num_digits)
        taken = draw.random(self.num_digits) < 0.5
        chosen[last], taken[last], taken[last + 1 :] = index, True, False
        return torch.from_numpy(chosen), torch.from_numpy(taken)

    def _hold(self, taken: Tensor) -> Tensor:
        early = torch.arange(self.digit_steps) < self.hold_after
        return (~(taken[..., None] & early)).flatten(-2).to(torch.uint8)

    def _targets(self, labels: Tensor, taken: Tensor) -> Tensor:
        """Class of the digit taken in last, for the second half of the steps of each digit."""
        place = torch.where(taken, torch.arange(self.num_digits), -1).cummax(dim=-1).values
        target = labels.gather(-1, place.clamp(min=0)).masked_fill(place < 0, NO_LABEL)
        late = torch.arange(self.digit_steps) >= self.digit_steps // 2
        return torch.where(late, target[..., None], NO_LABEL).flatten(-2)
