"""Accumulation of evidence: cues on two sides, a long wait, and the question on which side were more."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from snn_neuromod.data.keyed import Indexed, Key, sample_seeds, split_key
from snn_neuromod.data.spiking_images import NO_LABEL
from snn_neuromod.errors import ConfigError
from snn_neuromod.layers.parameters import positive_integer

__all__ = ["CueSequences"]


class CueSequences(Indexed[tuple[Tensor, Tensor]], Dataset[tuple[Tensor, Tensor]]):
    r"""Spikes of four groups of inputs: cues on the left, cues on the right, the question, and noise throughout.

    Each of `num_cues` cues is a burst of the left or the right group, `spacing` steps after the one before; for a
    sequence one side is drawn and each cue comes from it with probability `bias`. After `delay_steps` steps with noise
    alone the third group asks, for `recall_steps` steps, in which the class counts: 0 where the left had more cues, 1
    where the right had. Everything depends on (seed, epoch, index) only.

    Args:
        number: Sequences in an epoch, >= 1.
        num_cues: Cues, >= 1, odd.
        cue_steps: Steps of a cue, >= 1.
        spacing: Steps before each cue, >= 0.
        delay_steps: Steps between the last cue and the question, >= 0.
        recall_steps: Steps of the question, >= 1.
        group: Inputs of each group, >= 1.
        p: Spike probability of an active input per step, in (0, 1]; noise has a quarter of it.
        bias: Share of cues from the side that is drawn, in [0.5, 1].
        seed: Seed of everything random, >= 0.

    Raises:
        ValueError: If an argument is outside its range.

    References:
        A. Morcos, C. Harvey, Nat. Neurosci. 19 (2016): the task. G. Bellec et al., Nat. Commun. 11:3625 (2020), Fig. 3:
        these numbers.

    Examples:
        >>> spikes, labels = CueSequences(1)[0]
        >>> spikes.shape, labels.shape, int((labels >= 0).sum())
        (torch.Size([2250, 40]), torch.Size([2250]), 150)
    """

    def __init__(
        self,
        number: int,
        *,
        num_cues: int = 7,
        cue_steps: int = 100,
        spacing: int = 50,
        delay_steps: int = 1050,
        recall_steps: int = 150,
        group: int = 10,
        p: float = 0.04,
        bias: float = 0.7,
        seed: int = 0,
    ) -> None:
        who = "CueSequences"
        self.number = positive_integer(who, "number", number)
        self.num_cues = positive_integer(who, "num_cues", num_cues)
        self.cue_steps = positive_integer(who, "cue_steps", cue_steps)
        self.recall_steps = positive_integer(who, "recall_steps", recall_steps)
        self.group = positive_integer(who, "group", group)
        if num_cues % 2 == 0:
            raise ConfigError(
                f"{who}: num_cues must be odd, so that one side has more, got {num_cues}"
            )
        for name, value in (("spacing", spacing), ("delay_steps", delay_steps)):
            if not value >= 0:
                raise ConfigError(f"{who}: {name} must be >= 0, got {value}")
        if not 0 < p <= 1:
            raise ConfigError(f"{who}: p must lie in (0, 1], got {p}")
        if not 0.5 <= bias <= 1:
            raise ConfigError(f"{who}: bias must lie in [0.5, 1], got {bias}")
        self.spacing, self.delay_steps = spacing, delay_steps
        self.p, self.bias, self.seed = p, bias, seed

    @property
    def num_inputs(self) -> int:
        """Number of inputs, four groups."""
        return 4 * self.group

    @property
    def total_steps(self) -> int:
        """Length T of a sequence."""
        cues = self.num_cues * (self.spacing + self.cue_steps)
        return cues + self.delay_steps + self.recall_steps

    def __len__(self) -> int:
        return self.number

    def __getitem__(self, key: Key) -> tuple[Tensor, Tensor]:
        """Spikes, uint8 (T, 4 group), and the class of each step, int64 (T,), -100 where none counts."""
        epoch, index = split_key(key)
        draw = np.random.default_rng(sample_seeds(self.seed, epoch, [index])[0])
        often = int(draw.integers(2))
        cues = np.where(draw.random(self.num_cues) < self.bias, often, 1 - often)
        rates = np.zeros((self.total_steps, 4, self.group), dtype=np.float32)
        for k, side in enumerate(cues):
            start = k * (self.spacing + self.cue_steps) + self.spacing
            rates[start : start + self.cue_steps, side] = self.p
        rates[-self.recall_steps :, 2] = self.p
        rates[:, 3] = self.p / 4
        spikes = draw.random(rates.shape, dtype=np.float32) < rates
        labels = torch.full((self.total_steps,), NO_LABEL)
        labels[-self.recall_steps :] = int(2 * cues.sum() > self.num_cues)
        return torch.from_numpy(spikes.reshape(len(spikes), -1)).to(torch.uint8), labels
