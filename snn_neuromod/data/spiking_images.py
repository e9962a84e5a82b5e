"""Images coded into spikes when they are read, with noise keyed by (seed, epoch, index)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import overload

import torch
from torch import Tensor
from torch.utils.data import Dataset

from snn_neuromod.data.keyed import Indexed, Key, sample_seeds, split_key
from snn_neuromod.errors import ConfigError

__all__ = ["NO_LABEL", "Augment", "Encoder", "SpikeBatch", "SpikingImages", "collate_time_first"]

NO_LABEL = -100
"""Label of a step that counts nowhere."""

Encoder = Callable[..., Tensor]
"""`encode(x, seeds=...)`: intensities (B, ...) and one seed per sample -> spikes (T, B, ...)."""

Augment = Callable[..., Tensor]
"""`augment(images, seeds=...)`: uint8 images (B, ...) and one seed per sample -> as many of the same shape."""


class SpikeBatch(Sequence[tuple[Tensor, Tensor]]):
    """A batch that was coded in one piece, seen as a sequence of (spikes, label).

    Attributes:
        spikes: Shape (T, B, ...).
        labels: int64, shape (B,).
    """

    def __init__(self, spikes: Tensor, labels: Tensor) -> None:
        self.spikes = spikes
        self.labels = labels

    def __len__(self) -> int:
        return len(self.labels)

    @overload
    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]: ...
    @overload
    def __getitem__(self, index: slice) -> SpikeBatch: ...
    def __getitem__(self, index: int | slice) -> tuple[Tensor, Tensor] | SpikeBatch:
        if isinstance(index, slice):
            return SpikeBatch(self.spikes[:, index], self.labels[index])
        return self.spikes[:, index], self.labels[index]


class SpikingImages(Indexed[tuple[Tensor, Tensor]], Dataset[tuple[Tensor, Tensor]]):
    """Images that an encoder turns into spikes each time they are read.

    The noise of a sample depends on (seed, epoch, index) only. A plain index stands for epoch 0: a
    loader without a `KeyedSampler` sees the same spikes each time, which is what validation and
    test need. `__getitems__`, which a DataLoader calls by itself, codes a whole batch at once.

    Args:
        images: uint8, shape (N, ...).
        labels: int64, shape (N,).
        encode: For example `functools.partial(encoders.rate, num_steps=50, dtype=torch.uint8)`.
        seed: Seed of the noise, >= 0.
        augment: Changes images before they are coded, for example by `shifts.shifted`; None leaves them.

    Raises:
        ValueError: If images are not uint8, or the numbers of images and labels differ.

    Example:
        >>> from functools import partial
        >>> from snn_neuromod import encoders
        >>> images, labels = torch.full((2, 784), 255, dtype=torch.uint8), torch.tensor([3, 1])
        >>> digits = SpikingImages(images, labels, partial(encoders.rate, num_steps=50), seed=0)
        >>> spikes, label = digits[1]
        >>> tuple(spikes.shape), label.item()
        ((50, 784), 1)
        >>> torch.equal(digits[0, 1][0], spikes), torch.equal(digits[5, 1][0], spikes)
        (True, False)
    """

    def __init__(
        self,
        images: Tensor,
        labels: Tensor,
        encode: Encoder,
        *,
        seed: int,
        augment: Augment | None = None,
    ) -> None:
        if images.dtype != torch.uint8:
            raise ConfigError(f"SpikingImages: images must be uint8 (0 to 255), got {images.dtype}")
        if len(images) != len(labels):
            raise ConfigError(
                f"SpikingImages: images and labels must be equally many, "
                f"got {len(images)} and {len(labels)}"
            )
        self.images = images
        self.labels = labels
        self.encode = encode
        self.seed = seed
        self.augment = augment

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, key: Key) -> tuple[Tensor, Tensor]:
        if split_key(key)[1] >= len(self):
            raise IndexError(f"SpikingImages: index must be below {len(self)}, got {key}")
        return self.__getitems__([key])[0]

    def __getitems__(self, keys: Sequence[Key]) -> SpikeBatch:
        pairs = [split_key(key) for key in keys]
        indices = [index for _, index in pairs]
        epochs = {epoch for epoch, _ in pairs}
        if len(epochs) == 1:
            seeds = sample_seeds(self.seed, epochs.pop(), indices)
        else:
            seeds = [sample_seeds(self.seed, epoch, [index])[0] for epoch, index in pairs]
        images = self.images[indices]
        if self.augment is not None:
            images = self.augment(images, seeds=seeds)
        spikes = self.encode(images / 255, seeds=seeds)
        return SpikeBatch(spikes, self.labels[indices])


def collate_time_first(samples: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Collate (spikes (T, ...), label) samples of equal T into (T, B, ...) and labels (B,).

    Labels or targets of every step, (T, ...), become (T, B, ...).
    """
    if isinstance(samples, SpikeBatch):
        return samples.spikes, samples.labels
    spikes, labels = zip(*samples, strict=True)
    each_step = isinstance(labels[0], Tensor) and labels[0].ndim > 0
    targets = torch.stack(labels, dim=1) if each_step else torch.as_tensor(labels)
    return torch.stack(spikes, dim=1), targets
