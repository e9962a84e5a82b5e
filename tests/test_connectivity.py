"""Masks: counts, distributions, graphs, seeds and errors."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

import snn_neuromod as nm
from snn_neuromod import connectivity
from snn_neuromod.connectivity import (
    Blocks,
    DistanceDelays,
    DistanceDependent,
    Graph,
    Random,
    RandomDelays,
)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("density", [0.0, 0.2, 0.503, 1.0])
@pytest.mark.parametrize("recurrent", [False, True])
def test_random_has_an_exact_count(density: float, recurrent: bool) -> None:
    mask = connectivity.random(31, 31, density=density, recurrent=recurrent, generator=seeded())
    assert mask.dtype == torch.bool
    assert int(mask.sum()) == round(density * (31 * 30 if recurrent else 31 * 31))
    assert not recurrent or not mask.diagonal().any()


def test_random_is_uniform() -> None:
    """Every possible synapse is equally frequent: 2000 draws, five standard deviations."""
    generator = seeded()
    draws = [
        connectivity.random(4, 4, sparsity=0.75, recurrent=True, generator=generator)
        for _ in range(2000)
    ]
    frequency = torch.stack(draws).float().mean(0)[~torch.eye(4, dtype=torch.bool)]
    assert (frequency - 0.25).abs().max() < 5 * math.sqrt(0.25 * 0.75 / 2000)


def test_seeds() -> None:
    wiring = Random(density=0.5, seed=3)
    assert torch.equal(wiring(8, 9), wiring(8, 9))
    assert not torch.equal(wiring(8, 9), Random(density=0.5, seed=4)(8, 9))
    torch.manual_seed(1)
    first = Random(density=0.5)(8, 9)
    assert not torch.equal(first, Random(density=0.5)(8, 9))
    torch.manual_seed(1)
    assert torch.equal(first, Random(density=0.5)(8, 9))


def test_edges_and_adjacency_agree() -> None:
    edges = torch.tensor([[0, 0, 3, 2], [1, 2, 0, 2]])
    adjacency = torch.zeros(4, 4)
    adjacency[edges[0], edges[1]] = 0.7
    mask = connectivity.from_edges(edges, 4, 4)
    assert mask.nonzero().tolist() == [[0, 3], [1, 0], [2, 0], [2, 2]]  # to, from
    assert torch.equal(connectivity.from_adjacency(adjacency), mask)
    assert torch.equal(Graph(edges.tolist())(4, 4, recurrent=True), mask)
    assert not connectivity.from_edges(torch.zeros(2, 0, dtype=torch.int64), 2, 3).any()


@pytest.mark.parametrize(
    ("space", "expected"),
    [
        ("line", [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]),
        ("ring", [0.0, 1.0, 2.0, 3.0, 4.0, 4.0, 3.0, 2.0, 1.0]),
        ("grid", [0.0, 1.0, 2.0, 1.0, 2**0.5, 5**0.5, 2.0, 5**0.5, 8**0.5]),
        ("torus", [0.0, 1.0, 1.0, 1.0, 2**0.5, 2**0.5, 1.0, 2**0.5, 2**0.5]),
    ],
)
def test_distances(space: Any, expected: list[float]) -> None:
    found = connectivity.distances(9, 9, space=space)
    assert found[0].tolist() == pytest.approx(expected)
    assert torch.equal(found, found.T)


def test_distances_between_populations_of_different_size() -> None:
    """Inputs 0 ... 3 sit at 0, 2, 4, 6 of a ring of 8 neurons."""
    found = connectivity.distances(8, 4, space="ring")
    assert found[:, 1].tolist() == [2.0, 1.0, 0.0, 1.0, 2.0, 3.0, 4.0, 3.0]


def test_probability_falls_with_distance() -> None:
    distance = connectivity.distances(300, 300, space="ring")
    mask = connectivity.distance_dependent(distance, length=5.0, generator=seeded())
    for d in (0, 2, 5, 15):
        found = mask[distance == d].float()
        p = math.exp(-d / 5.0)
        assert found.mean().item() == pytest.approx(
            p, abs=5 * math.sqrt(max(p * (1 - p), 1e-9) / found.numel()) + 1e-9
        )


def test_distance_dependent_with_a_count() -> None:
    """The count is exact, and near synapses are more frequent than far ones."""
    distance = connectivity.distances(100, 100)
    mask = connectivity.distance_dependent(
        distance, length=4.0, density=0.05, recurrent=True, generator=seeded()
    )
    assert int(mask.sum()) == round(0.05 * 9900)
    assert not mask.diagonal().any()
    assert mask[distance == 1].float().mean() > 3 * mask[distance == 10].float().mean()
    assert mask[distance == 10].any()


def test_blocks() -> None:
    mask = connectivity.blocks(3, 7)
    assert mask.sum(0).tolist() == [1] * 7
    assert sorted(mask.sum(1).tolist()) == [2, 2, 3]
    assert torch.equal(
        Blocks()(2, 6), connectivity.from_edges([[*range(6)], [0] * 3 + [1] * 3], 2, 6)
    )


def test_a_layer_takes_them() -> None:
    net = nm.Recurrent(
        nm.ALIF(16),
        32,
        mask_in=Blocks(),
        mask_rec=DistanceDependent(length=2.0, density=0.2, space="torus", seed=0),
    )
    assert torch.equal(net.mask_in, connectivity.blocks(16, 32))
    assert int(net.mask_rec.sum()) == 48
    assert "mask_in=32 of 512, mask_rec=48 of 256" in repr(net)


def test_delays() -> None:
    axonal, synaptic = RandomDelays(3, seed=1)(400), RandomDelays(3, "synapse", seed=1)(20)
    assert axonal.shape == (400,)
    assert synaptic.shape == (20, 20)
    for delays in (axonal, synaptic):
        assert torch.bincount(delays.flatten())[1:].float().div(400).sub(1 / 3).abs().max() < 0.12
        assert set(delays.flatten().tolist()) == {1, 2, 3}
    assert torch.equal(axonal, RandomDelays(3, seed=1)(400))
    by_distance = DistanceDelays(speed=2.0, longest=4, space="line")(12)
    assert by_distance[0].tolist() == [1, 1, 1, 2, 2, 3, 3, 4, 4, 4, 4, 4]
    assert torch.equal(by_distance, by_distance.T)


@pytest.mark.parametrize("delay", [RandomDelays(3, "synapse", seed=0), RandomDelays(3, seed=0)])
@pytest.mark.parametrize("learning_rule", ["bptt", "eprop"])
def test_masks_and_delays_together(delay: RandomDelays, learning_rule: Any) -> None:
    """A delayed spike arrives through the synapses that are there, and only these learn."""
    torch.manual_seed(0)
    net = nm.Recurrent(
        nm.ALIF(9, v_th=0.6),
        2,
        learning_rule=learning_rule,
        mask_rec=Random(density=0.4, seed=0),
        delay=delay(9),
    ).double()
    x = 1 + torch.randn(15, 2, 2, dtype=torch.float64)
    steps = delay(9).expand(9, 9)
    (w_in, w_rec), spikes, state = net.weights(), [torch.zeros(2, 9).double()] * 3, None
    for x_t in x:
        past = spikes if learning_rule == "bptt" else [z.detach() for z in spikes]
        current = x_t @ w_in.T
        for d in (1, 2, 3):
            current = current + past[-d] @ (w_rec * (steps == d)).T
        z, state = net.neuron.step(current, state)
        spikes.append(z)
    expected, (got, _) = torch.stack(spikes[3:]), net(x)
    assert torch.equal(got, expected)
    grads = [torch.autograd.grad(z[5:].sum(), net.w_rec)[0] for z in (got, expected)]
    assert grads[0].any()
    assert not grads[0][~net.mask_rec].any()
    torch.testing.assert_close(*grads, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RandomDelays(0), "RandomDelays: longest must be a number of steps >= 1, got 0"),
        (lambda: RandomDelays(2, "axon"), "RandomDelays: by must be neuron or synapse, got 'axon'"),  # type: ignore[arg-type]
        (lambda: DistanceDelays(0.0, 2), "DistanceDelays: speed must be > 0 and finite, got 0.0"),
        (lambda: DistanceDelays(1.0, 0), "DistanceDelays: longest must be a number of steps >= 1"),
        (lambda: connectivity.random(2, 2), "random: density or sparsity must be given, one of"),
        (lambda: connectivity.random(2, 2, density=0.5, sparsity=0.5), "random: density or"),
        (lambda: Random(density=1.5), r"Random: density must lie in \[0, 1\], got 1.5"),
        (lambda: Random(sparsity=math.nan), r"Random: sparsity must lie in \[0, 1\], got nan"),
        (lambda: DistanceDependent(0.0), "DistanceDependent: length must be > 0, got 0.0"),
        (lambda: DistanceDependent(1.0, density=-0.1), "DistanceDependent: density must lie in"),
        (lambda: DistanceDependent(1.0, space="plane"), "space must be one of line, ring, grid"),  # type: ignore[arg-type]
        (lambda: connectivity.distances(4, 4, space="plane"), "distances: space must be one of"),  # type: ignore[arg-type]
        (
            lambda: connectivity.distances(9, 8, space="grid"),
            "distances: a grid must have a square of neurons, got 8",
        ),
        (
            lambda: connectivity.distance_dependent(torch.tensor([[-1.0]]), length=1.0),
            "distance_dependent: distance must be >= 0",
        ),
        (lambda: connectivity.blocks(3, 2), "blocks: num_from must be >= num_to=3, got 2"),
        (lambda: Graph([[0], [5]])(3, 3), "from_edges: edges must lead to 0 ... 2, got 5"),
        (lambda: Graph([[-1], [0]])(3, 3), "from_edges: edges must lead from 0 ... 2, got -1"),
        (lambda: Graph([[0, 1]])(3, 3), r"from_edges: edges must be integers of shape \(2, E\)"),
        (lambda: Graph([[0.5], [1.0]])(3, 3), "from_edges: edges must be integers"),  # type: ignore[list-item]
        (
            lambda: connectivity.from_adjacency(torch.ones(3)),
            "from_adjacency: adjacency must be a matrix",
        ),
    ],
)
def test_errors(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
