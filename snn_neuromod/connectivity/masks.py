"""Masks as functions of sizes, graphs and distances."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor

from snn_neuromod.errors import ConfigError

Space = Literal["line", "ring", "grid", "torus"]


def random(
    num_to: int,
    num_from: int,
    *,
    density: float | None = None,
    sparsity: float | None = None,
    recurrent: bool = False,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Synapses drawn at random, an exact number of them.

    Args:
        num_to: Number of neurons, the rows.
        num_from: Number of neurons or inputs that they hear, the columns.
        density: Fraction of the possible synapses that are there, in [0, 1].
        sparsity: Fraction of them that are absent, instead of `density`; van der Veen 2022 has 0.8.
        recurrent: Whether rows and columns are the same neurons; self-connections are then not possible.
        generator: Source of randomness.

    Returns:
        Boolean, (num_to, num_from), with `round(density * possible)` synapses.

    Raises:
        ValueError: If not exactly one of `density` and `sparsity` is given, or it is outside [0, 1].

    Examples:
        >>> mask = random(10, 10, sparsity=0.8, recurrent=True, generator=torch.Generator().manual_seed(0))
        >>> int(mask.sum()), int(mask.diagonal().sum())
        (18, 0)
    """
    density = check_density("random", density, sparsity)
    odds = torch.zeros(num_to, num_from)
    return _most_likely(odds, density, recurrent=recurrent, generator=generator)


def from_edges(edges: Tensor | Sequence[Sequence[int]], num_to: int, num_from: int) -> Tensor:
    """Synapses given one by one.

    Args:
        edges: Integers, (2, E): the neurons from, then the neurons to, as in graph libraries' `edge_index`. For a list
            of pairs (from, to), such as networkx's `graph.edges`, pass `torch.tensor(list(pairs)).T`.
        num_to: Number of neurons, the rows.
        num_from: Number of neurons or inputs that they hear, the columns.

    Returns:
        Boolean, (num_to, num_from).

    Raises:
        ValueError: If `edges` has another shape or type, or names neurons that are not there.

    Examples:
        >>> from_edges([[0, 1], [2, 0]], 3, 3).int().tolist()  # 0 to 2, 1 to 0
        [[0, 1, 0], [0, 0, 0], [1, 0, 0]]
    """
    index = torch.as_tensor(edges)
    if index.ndim != 2 or index.shape[0] != 2 or (index.numel() and index.is_floating_point()):
        raise ConfigError(
            f"from_edges: edges must be integers of shape (2, E), got {index.dtype} of {tuple(index.shape)}; "
            "transpose a list of pairs"
        )
    source, target = index.long()
    for name, nodes, number in (("from", source, num_from), ("to", target, num_to)):
        outside = nodes[(nodes < 0) | (nodes >= number)]
        if outside.numel():
            raise ConfigError(
                f"from_edges: edges must lead {name} 0 ... {number - 1}, got {int(outside[0])}"
            )
    mask = torch.zeros(num_to, num_from, dtype=torch.bool)
    mask[target, source] = True
    return mask


def from_adjacency(adjacency: Tensor) -> Tensor:
    """Synapses where a graph's adjacency matrix is not zero.

    Args:
        adjacency: (neuron from, neuron to), as graph libraries have it: the transpose of a mask.

    Returns:
        Boolean, (neuron to, neuron from).

    Raises:
        ValueError: If `adjacency` is no matrix.
    """
    matrix = torch.as_tensor(adjacency)
    if matrix.ndim != 2:
        raise ConfigError(
            f"from_adjacency: adjacency must be a matrix, got shape {tuple(matrix.shape)}"
        )
    return (matrix != 0).T.contiguous()


def distances(num_to: int, num_from: int, *, space: Space = "ring") -> Tensor:
    """Distances between two populations that both fill the same space evenly.

    The unit is the distance between neighbours of the population `num_to`.

    Args:
        num_to: Number of neurons, the rows.
        num_from: Number of neurons, the columns.
        space: "line" or "ring", one-dimensional, open or closed; "grid" or "torus", two-dimensional, square: numbers of
            neurons must be squares.

    Returns:
        (num_to, num_from).

    Raises:
        ValueError: If `space` is unknown or a number does not fit it.

    Examples:
        >>> distances(4, 4, space="ring")[0].tolist()
        [0.0, 1.0, 2.0, 1.0]
    """
    if space not in get_args(Space):
        raise ConfigError(
            f"distances: space must be one of {', '.join(get_args(Space))}, got {space!r}"
        )
    closed = space in ("ring", "torus")
    if space in ("line", "ring"):
        return _along(num_to, num_from, closed=closed)
    sides = [math.isqrt(number) for number in (num_to, num_from)]
    for side, number in zip(sides, (num_to, num_from), strict=True):
        if side * side != number:
            raise ConfigError(f"distances: a {space} must have a square of neurons, got {number}")
    one = _along(sides[0], sides[1], closed=closed)
    rows, columns = one[:, None, :, None], one[None, :, None, :]
    return (rows.square() + columns.square()).sqrt().reshape(num_to, num_from)


def distance_dependent(
    distance: Tensor,
    *,
    length: float,
    density: float | None = None,
    recurrent: bool = False,
    generator: torch.Generator | None = None,
) -> Tensor:
    r"""Synapses whose probability falls with distance, $P = e^{-d / \lambda}$.

    Args:
        distance: Distances d >= 0, (num_to, num_from), from `distances` or positions of one's own.
        length: Length $\lambda$, > 0, in the unit of the distances.
        density: Fraction of the possible synapses, in [0, 1]: that many are drawn, with odds in proportion to P. None:
            each is drawn on its own, with probability P.
        recurrent: As in `random`.
        generator: Source of randomness.

    Returns:
        Boolean, of the shape of `distance`.

    Raises:
        ValueError: If `length` is not positive, `density` outside [0, 1] or a distance negative.

    Examples:
        >>> mask = distance_dependent(distances(50, 50), length=2.0, density=0.1, recurrent=True)
        >>> int(mask.sum())
        245
    """
    if not length > 0:
        raise ConfigError(f"distance_dependent: length must be > 0, got {length}")
    if not (distance >= 0).all():
        raise ConfigError("distance_dependent: distance must be >= 0")
    odds = -distance.float().cpu() / length
    if density is not None:
        density = check_density("distance_dependent", density, None)
        return _most_likely(odds, density, recurrent=recurrent, generator=generator)
    mask = torch.rand(distance.shape, generator=generator) < odds.exp()
    return mask.fill_diagonal_(False) if recurrent else mask


def blocks(num_to: int, num_from: int) -> Tensor:
    """n-to-1: each neuron hears a block of inputs of its own, in order.

    Args:
        num_to: Number of neurons.
        num_from: Number of inputs, >= `num_to`; blocks differ by at most one where it is no multiple.

    Returns:
        Boolean, (num_to, num_from), with one synapse in each column.

    Raises:
        ValueError: If there are fewer inputs than neurons.

    Examples:
        >>> blocks(2, 4).int().tolist()
        [[1, 1, 0, 0], [0, 0, 1, 1]]
    """
    if not num_from >= num_to:
        raise ConfigError(f"blocks: num_from must be >= num_to={num_to}, got {num_from}")
    owner = torch.arange(num_from) * num_to // num_from
    return owner == torch.arange(num_to)[:, None]


def check_density(who: str, density: float | None, sparsity: float | None) -> float:
    """The density that either argument stands for; `who` is named in errors."""
    if (density is None) == (sparsity is None):
        raise ConfigError(f"{who}: density or sparsity must be given, one of them")
    name, value = ("density", density) if density is not None else ("sparsity", sparsity)
    if value is None or not 0 <= value <= 1:
        raise ConfigError(f"{who}: {name} must lie in [0, 1], got {value}")
    return value if name == "density" else 1 - value


def _along(num_to: int, num_from: int, *, closed: bool) -> Tensor:
    """Distances in one dimension; both populations begin at 0 and are spread over `num_to` units."""
    to = torch.arange(num_to, dtype=torch.get_default_dtype())
    source = torch.arange(num_from, dtype=torch.get_default_dtype()) * (num_to / num_from)
    gap = (to[:, None] - source).abs()
    return torch.minimum(gap, num_to - gap) if closed else gap


def _most_likely(
    log_odds: Tensor, density: float, *, recurrent: bool, generator: torch.Generator | None
) -> Tensor:
    """Draw a fixed number of elements without replacement: those of the largest perturbed odds (Gumbel top k)."""
    uniform = torch.rand(log_odds.shape, generator=generator, dtype=torch.float64)
    keys = log_odds - torch.log(-torch.log(uniform))
    possible = keys.numel()
    if recurrent:
        keys.fill_diagonal_(-math.inf)
        possible -= min(keys.shape)
    mask = torch.zeros(keys.numel(), dtype=torch.bool)
    mask[keys.flatten().topk(round(density * possible)).indices] = True
    return mask.view(keys.shape)
