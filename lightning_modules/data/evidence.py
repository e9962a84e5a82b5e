"""Accumulation of evidence: cues on two sides, a long wait, and the question on which side were more."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from lightning_modules.data.digit_memory import NO_LABEL, collate
from lightning_modules.data.loader import KeyedDataModule
from snn_neuromod.data.keyed import Indexed, Key, sample_seeds, split_key
from snn_neuromod.errors import ConfigError
from snn_neuromod.layers.parameters import positive_integer

__all__ = ["CueSequences", "EvidenceAccumulation"]

_SPLITS = ("train", "val", "test")


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
        self.spacing, self.delay_steps, self.p, self.bias, self.seed = (
            spacing,
            delay_steps,
            p,
            bias,
            seed,
        )

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


class EvidenceAccumulation(KeyedDataModule):
    """`CueSequences`, drawn anew in each epoch for training and fixed for validation and test.

    Args:
        batch_size: Sequences per batch, >= 1.
        num_train: Sequences in an epoch, >= 1.
        num_test: Sequences for validation, and as many for the test, >= 1.
        num_cues: As of `CueSequences`, like the following.
        cue_steps: Steps of a cue.
        spacing: Steps before each cue.
        delay_steps: Steps between the last cue and the question.
        recall_steps: Steps of the question.
        group: Inputs of each group.
        p: Spike probability of an active input per step.
        bias: Share of cues from the side that is drawn.
        seed: Seed of everything random, >= 0.
        num_workers: Worker processes per loader, >= 0.

    Attributes:
        num_inputs: 4 group.
        num_classes: 2.

    Raises:
        ValueError: If an argument is outside its range.
    """

    num_classes = 2
    collate = staticmethod(collate)

    def __init__(
        self,
        batch_size: int = 64,
        num_train: int = 640,
        num_test: int = 256,
        num_cues: int = 7,
        cue_steps: int = 100,
        spacing: int = 50,
        delay_steps: int = 1050,
        recall_steps: int = 150,
        group: int = 10,
        p: float = 0.04,
        bias: float = 0.7,
        seed: int = 0,
        num_workers: int = 0,
    ) -> None:
        super().__init__(batch_size, 0.0, seed, num_workers)
        self.num_inputs = 4 * group
        self._datasets = {
            split: CueSequences(
                num_train if split == "train" else num_test, num_cues=num_cues, cue_steps=cue_steps,
                spacing=spacing, delay_steps=delay_steps, recall_steps=recall_steps, group=group, p=p, bias=bias,
                seed=_seed(seed, split),
            )
            for split in _SPLITS
        }  # fmt: skip

    @property
    def total_steps(self) -> int:
        """Length T of a sample."""
        return self._datasets["test"].total_steps  # type: ignore[attr-defined, no-any-return]


def _seed(seed: int, split: str) -> int:
    """Seeds of the splits, far from one another."""
    return sample_seeds(seed, 0, [_SPLITS.index(split)])[0]
