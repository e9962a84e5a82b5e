"""Randomness keyed by (seed, epoch, index): a resumed run repeats an uninterrupted one bit by bit.

The key of a sample is `(epoch, index)`. `KeyedSampler` owns the epoch and hands keys out; a data
set that receives a key derives all its noise from the seed and this key. So nothing depends on the
batch size, on the number of worker processes, or on what was drawn before.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Sized
from typing import Any, Generic, TypeAlias, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Sampler

__all__ = ["Indexed", "Key", "KeyedSampler", "mix", "sample_seeds", "split_key"]

Item = TypeVar("Item")

Key: TypeAlias = "int | tuple[int, int]"
"""Index of a sample, alone (then of epoch 0) or as (epoch, index)."""


def split_key(key: Key) -> tuple[int, int]:
    """The pair (epoch, index) of a key; a plain index belongs to epoch 0.

    Example:
        >>> split_key(7), split_key((2, 7))
        ((0, 7), (2, 7))
    """
    return key if isinstance(key, tuple) else (0, int(key))


class Indexed(Generic[Item]):
    """A data set that can be iterated over; its iteration ends at its length.

    Without it, Python takes an IndexError from inside an item, of a damaged file or of a transform, for the end.
    """

    def __len__(self) -> int:
        raise NotImplementedError

    def __getitem__(self, key: Any) -> Item:
        raise NotImplementedError

    def __iter__(self) -> Iterator[Item]:
        for index in range(len(self)):
            yield self[index]


def sample_seeds(seed: int, epoch: int, indices: Sequence[int]) -> list[int]:
    """Seeds of samples: well mixed 32-bit integers, all different within one epoch.

    The indices go through the finaliser of MurmurHash3 (A. Appleby), a bijection of 32-bit
    integers, twice, with words drawn from (seed, epoch) in between.

    Args:
        seed: Seed of the run, >= 0.
        epoch: Epoch, >= 0.
        indices: Indices of the samples, in [0, 2**32).

    Returns:
        One integer in [0, 2**32) per index.

    Example:
        >>> sample_seeds(0, 0, [0, 1]) == sample_seeds(0, 0, [1, 0])[::-1]
        True
    """
    before, between = np.random.SeedSequence([seed, epoch]).generate_state(2)
    mixed = mix(np.asarray(indices, dtype=np.uint32) ^ before)
    seeds: list[int] = mix(mixed + between).tolist()
    return seeds


class KeyedSampler(Sampler[tuple[int, int]]):
    """Shuffles by (seed, epoch) and yields the keys (epoch, index).

    Lightning and `torch.utils.data` call `set_epoch` at the start of each training epoch. In a
    distributed run, Lightning wraps this sampler and deals its keys out over the processes.

    Args:
        data_source: Anything with a length.
        seed: Seed of the run, >= 0.
        epoch: First epoch.

    Example:
        >>> sampler = KeyedSampler(range(3), seed=0)
        >>> sampler.set_epoch(4)
        >>> sorted(sampler)
        [(4, 0), (4, 1), (4, 2)]
    """

    def __init__(self, data_source: Sized, *, seed: int, epoch: int = 0) -> None:
        self.data_source = data_source
        self.seed = seed
        self.epoch = epoch

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch of the next iteration."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.data_source)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        (order_seed,) = sample_seeds(self.seed, self.epoch, [2**32 - 1])
        generator = torch.Generator().manual_seed(order_seed)
        order = torch.randperm(len(self.data_source), generator=generator, device="cpu").tolist()
        return iter([(self.epoch, index) for index in order])


def mix(k: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """MurmurHash3's finaliser: a bijection of 32-bit integers, any shape, of which neighbours land far apart."""
    k = (k ^ (k >> np.uint32(16))) * np.uint32(0x85EBCA6B)
    k = (k ^ (k >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    k ^= k >> np.uint32(16)
    return k
