"""Framewise phone classification: features and labels of every frame, and batches of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from snn_neuromod.data.keyed import Indexed, Key, sample_seeds, split_key
from snn_neuromod.data.phones.corpus import Corpus, Split
from snn_neuromod.data.phones.extraction import (
    Cache,
    Features,
    Statistics,
    frame_table,
    train_statistics,
)
from snn_neuromod.data.phones.features import IGNORE, Mfcc
from snn_neuromod.errors import ConfigError

__all__ = ["FrameBatch", "FramePieces", "PhoneFrames"]


class FrameBatch(NamedTuple):
    """A batch of stretches of speech, time first.

    Attributes:
        features: float32, shape (T, B, channels), T frames of the longest, padded with zeros.
        labels: int64, shape (T, B), padded with -100, which PyTorch's losses leave out.
        lengths: int64, shape (B,), frames of each.
        names: Names of the utterances, B of them.
    """

    features: Tensor
    labels: Tensor
    lengths: Tensor
    names: list[str]


class PhoneFrames(Indexed[tuple[Tensor, Tensor]], Dataset[tuple[Tensor, Tensor]]):
    """Features, normalised, and classes of the frames of each utterance.

    A frame's class is that of the segment at the frame's centre. Each channel has mean 0 and
    standard deviation 1 over the frames of the train split. Features are extracted once and kept
    on disk; a data set holds all its frames in memory, 4 bytes a value.

    Args:
        corpus: The utterances.
        split: "train", "validation" or "test".
        features: Computes the features; None means `Mfcc()`.
        stats: Mean and standard deviation to normalise by; None takes them from the train split
            of the corpus.
        cache: Folder in which features are kept; None is the user's cache folder, False none.

    Attributes:
        classes: Names of the classes.
        statistics: What the features were normalised by.
        features: What computed the features.
        names: Names of the utterances.
        lengths: int64, shape (utterances,), frames of each.

    Raises:
        ValueError: If the split is empty, or an utterance does not fit the features or labels.
    """

    def __init__(
        self,
        corpus: Corpus,
        split: Split,
        *,
        features: Features | None = None,
        stats: Statistics | None = None,
        cache: Cache = None,
    ) -> None:
        self.features: Features = Mfcc() if features is None else features
        table = frame_table(corpus, split, self.features, cache=cache)
        if stats is None:
            stats = train_statistics(corpus, self.features, cache=cache)
        if len(stats.mean) != self.features.num_channels:
            raise ConfigError(
                f"PhoneFrames: stats must have {self.features.num_channels} channels, "
                f"got {len(stats.mean)}"
            )
        self.classes = tuple(corpus.labels)
        self.statistics = stats
        self.names = [str(name) for name in table.names]
        self.lengths = torch.from_numpy(table.lengths)
        self._starts = self.lengths.cumsum(0) - self.lengths
        std = np.where(stats.std > 0, stats.std, 1)  # a channel that never changes stays 0
        # One more row stands for padding.
        self._frames = torch.zeros(len(table.features) + 1, self.features.num_channels)
        self._frames[:-1] = torch.from_numpy((table.features - stats.mean) / std)
        self._labels = torch.full((len(table.labels) + 1,), IGNORE)
        self._labels[:-1] = torch.from_numpy(table.labels)

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """Features (frames, channels) and classes (frames,) of an utterance."""
        if not -len(self) <= index < len(self):
            raise IndexError(f"PhoneFrames: index must be below {len(self)}, got {index}")
        start, length = int(self._starts[index]), int(self.lengths[index])
        return self._frames[start : start + length], self._labels[start : start + length]

    def class_counts(self) -> Tensor:
        """Frames of each class, int64, shape (classes,)."""
        known = self._labels[self._labels != IGNORE]
        return torch.bincount(known, minlength=len(self.classes))

    def batch(self, utterances: Tensor, starts: Tensor, lengths: Tensor) -> FrameBatch:
        """Stretches of utterances, padded at the end.

        Args:
            utterances: Indices of the utterances, int64, shape (B,).
            starts: First frame of each within its utterance, int64, shape (B,).
            lengths: Number of frames of each, int64, shape (B,).
        """
        steps = torch.arange(int(lengths.max()))[:, None]
        rows = self._starts[utterances] + starts + steps
        rows = torch.where(steps < lengths, rows, len(self._labels) - 1)
        names = [self.names[index] for index in utterances.tolist()]
        shape, rows = rows.shape, rows.flatten()
        features = self._frames.index_select(0, rows).view(*shape, -1)
        return FrameBatch(features, self._labels[rows].view(shape), lengths, names)


class FramePieces(Indexed[FrameBatch], Dataset[FrameBatch]):
    r"""Utterances, whole or cut into pieces anew in each epoch, as batches.

    An utterance of L frames is cut into ceil(L / segment) pieces. The first cut lies at a random
    frame, all others follow at distances of `segment`, so that every frame is seen exactly once an
    epoch; only the first and the last piece may be shorter. The cuts depend on (seed, epoch,
    utterance) only; a plain index belongs to epoch 0.

    A DataLoader calls `__getitems__` with the keys of a batch and gets it made in one go; its
    `collate_fn` must give back what it gets.

    Args:
        frames: The utterances.
        segment: Frames of a piece, >= 1; None keeps utterances whole.
        seed: Seed of the cuts, >= 0.
        by_length: Order utterances by their length, the longest first, so that batches of
            neighbours hold little padding. Without it they are in the order of the corpus.

    Raises:
        ValueError: If segment is not positive.
    """

    def __init__(
        self,
        frames: PhoneFrames,
        *,
        segment: int | None = None,
        seed: int = 0,
        by_length: bool = False,
    ) -> None:
        if segment is not None and not segment >= 1:
            raise ConfigError(f"FramePieces: segment must be at least 1 or None, got {segment}")
        self.frames = frames
        self.seed = seed
        self._segment = int(frames.lengths.max()) if segment is None else segment
        counts = (frames.lengths + self._segment - 1) // self._segment
        order = torch.arange(len(frames))
        if by_length:
            order = frames.lengths.sort(descending=True, stable=True).indices
        counts = counts[order]
        self._utterances = order.repeat_interleave(counts)
        first = (counts.cumsum(0) - counts).repeat_interleave(counts)
        self._pieces = torch.arange(len(first)) - first

    def __len__(self) -> int:
        return len(self._pieces)

    def __getitem__(self, key: Key) -> FrameBatch:
        """One piece, as a batch of one."""
        if split_key(key)[1] >= len(self):
            raise IndexError(f"FramePieces: index must be below {len(self)}, got {key}")
        return self.__getitems__([key])

    def __getitems__(self, keys: Sequence[Key]) -> FrameBatch:
        epochs, indices = zip(*(split_key(key) for key in keys), strict=True)
        chosen = torch.tensor(indices)
        utterances, pieces = self._utterances[chosen], self._pieces[chosen]
        length, segment = self.frames.lengths[utterances], self._segment
        rest = (length - 1) % segment + 1  # ceil(length / segment) pieces need a first cut >= rest
        noise = self._noise(epochs, utterances.tolist())
        cut = rest + noise % (segment - rest + 1)
        starts = (cut + (pieces - 1) * segment).clamp(min=0)
        starts = torch.where(pieces == 0, 0, starts)
        ends = torch.minimum(cut + pieces * segment, length)
        return self.frames.batch(utterances, starts, ends - starts)

    def _noise(self, epochs: Sequence[int], utterances: list[int]) -> Tensor:
        """A random integer in [0, 2**32) for each pair of epoch and utterance."""
        if len(set(epochs)) == 1:
            return torch.tensor(sample_seeds(self.seed, epochs[0], utterances))
        pairs = zip(epochs, utterances, strict=True)
        return torch.tensor([sample_seeds(self.seed, epoch, [u])[0] for epoch, u in pairs])
