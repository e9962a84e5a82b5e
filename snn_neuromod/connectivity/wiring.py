"""Masks as objects that wait for their sizes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

import torch
from torch import Tensor

from snn_neuromod.connectivity.masks import (
    Space,
    blocks,
    check_density,
    distance_dependent,
    distances,
    from_edges,
    random,
)
from snn_neuromod.errors import ConfigError


class Wiring:
    """What makes a mask once the sizes are known."""

    def __call__(self, num_to: int, num_from: int, *, recurrent: bool = False) -> Tensor:
        """Mask of shape (num_to, num_from)."""
        raise NotImplementedError


@dataclass(frozen=True)
class Random(Wiring):
    """`random`, to be called with the sizes.

    Args:
        density: Fraction of the synapses that are there.
        sparsity: Fraction of the synapses that are absent, instead.
        seed: Seed; None takes PyTorch's global generator. With a seed all masks of one size are the same.

    Raises:
        ValueError: If not exactly one of `density` and `sparsity` is given, or it is outside [0, 1].
    """

    density: float | None = None
    sparsity: float | None = None
    seed: int | None = None

    def __post_init__(self) -> None:
        check_density("Random", self.density, self.sparsity)

    def __call__(self, num_to: int, num_from: int, *, recurrent: bool = False) -> Tensor:
        return random(
            num_to,
            num_from,
            density=self.density,
            sparsity=self.sparsity,
            recurrent=recurrent,
            generator=_generator(self.seed),
        )


@dataclass(frozen=True)
class DistanceDependent(Wiring):
    """`distance_dependent` in one of the spaces of `distances`.

    Args:
        length: Length of the fall, > 0; the unit is the distance between neighbours.
        density: Fraction of the synapses that are there; None: each is drawn on its own.
        space: As in `distances`.
        seed: As in `Random`.

    Raises:
        ValueError: If `length` is not positive, `density` outside [0, 1] or `space` unknown.
    """

    length: float
    density: float | None = None
    space: Space = "ring"
    seed: int | None = None

    def __post_init__(self) -> None:
        if not self.length > 0:
            raise ConfigError(f"DistanceDependent: length must be > 0, got {self.length}")
        if self.density is not None:
            check_density("DistanceDependent", self.density, None)
        if self.space not in get_args(Space):
            raise ConfigError(
                f"DistanceDependent: space must be one of {', '.join(get_args(Space))}, got {self.space!r}"
            )

    def __call__(self, num_to: int, num_from: int, *, recurrent: bool = False) -> Tensor:
        return distance_dependent(
            distances(num_to, num_from, space=self.space),
            length=self.length,
            density=self.density,
            recurrent=recurrent,
            generator=_generator(self.seed),
        )


@dataclass(frozen=True)
class Graph(Wiring):
    """`from_edges`, to be called with the sizes.

    Args:
        edges: The neurons from, then the neurons to, of equal number.
    """

    edges: Sequence[Sequence[int]]

    def __call__(self, num_to: int, num_from: int, *, recurrent: bool = False) -> Tensor:
        return from_edges(self.edges, num_to, num_from)


@dataclass(frozen=True)
class Blocks(Wiring):
    """`blocks`, to be called with the sizes."""

    def __call__(self, num_to: int, num_from: int, *, recurrent: bool = False) -> Tensor:
        return blocks(num_to, num_from)


def _generator(seed: int | None) -> torch.Generator | None:
    return None if seed is None else torch.Generator().manual_seed(seed)
