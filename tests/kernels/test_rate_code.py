"""Random numbers of the rate code: one result on every backend, and independent of one another."""

from __future__ import annotations

import math

import pytest
import torch

import snn_neuromod as nm
from snn_neuromod.kernels.backends.c import library
from snn_neuromod.kernels.noise import key_of
from snn_neuromod.kernels.rate_code import LIMIT, rate_code

AVAILABLE, STATUS = library.load()
needs_c = pytest.mark.skipif(AVAILABLE is None, reason=f"C kernels: {STATUS}")
M32 = 2**32


def mix(k: int) -> int:
    """MurmurHash3's finaliser in Python's integers."""
    k = (k ^ k >> 16) * 0x85EBCA6B % M32
    k = (k ^ k >> 13) * 0xC2B2AE35 % M32
    return k ^ k >> 16


@pytest.mark.parametrize("backend", [pytest.param("c", marks=needs_c), "eager"])
def test_the_formula(backend: nm.kernels.Backend) -> None:
    seeds, shape = [0, 3, 2**40 + 1, -1], (4, 11)
    limit = (torch.linspace(0, 1, 44) * LIMIT).round().to(torch.int32).view(shape)
    with nm.kernels.use(backend):
        spikes = rate_code(limit, key_of(torch.tensor(seeds)), 30, blank_steps=2)
    expected = torch.zeros(32, *shape, dtype=torch.uint8)
    for b, seed in enumerate(seeds):
        high, low = divmod(seed % 2**64, M32)
        first = mix((low + mix(high)) % M32)
        second = mix((high + mix((low + 0x3C6EF372) % M32)) % M32)
        for t in range(30):
            for n in range(11):
                word = mix((mix(n ^ first) + mix(t ^ second)) % M32)
                expected[t + 2, b, n] = (word >> 8) < limit[b, n].item()
    assert torch.equal(spikes, expected)
    assert 0.4 < spikes[2:].float().mean() < 0.6


@needs_c
@pytest.mark.parametrize("shape", [(1, 1), (3, 1000), (0, 4), (4, 0), (1, 70_000)])
def test_compiled_form_is_plain_pytorch(shape: tuple[int, int]) -> None:
    limit = (torch.rand(shape) * LIMIT).to(torch.int32) * (torch.rand(shape) < 0.3)
    found = []
    for backend in ("c", "eager"):
        with nm.kernels.use(backend):
            found.append(rate_code(limit, key_of(torch.arange(len(limit))), 7, blank_steps=1))
    assert torch.equal(*found)
    assert found[0].shape == (8, *shape)


@needs_c
def test_threads_change_nothing() -> None:
    limit, key = torch.full((9, 50), LIMIT // 2, dtype=torch.int32), key_of(torch.arange(9))
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 4):
            torch.set_num_threads(threads)
            found.append(rate_code(limit, key, 20))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


def spread(counts: torch.Tensor, mean: float, variance: float) -> float:
    """Standard score of the sum of squared standard scores; about N(0, 1) if the counts are as they should be."""
    scores = (counts.double() - mean) / math.sqrt(variance)
    number = scores.numel()
    return float((scores.square().sum() - number) / math.sqrt(2 * number))


def test_neighbouring_seeds_steps_and_pixels_are_independent() -> None:
    samples, steps, pixels = 256, 256, 256
    limit = torch.full((samples, pixels), LIMIT // 2, dtype=torch.int32)
    fired = rate_code(limit, key_of(torch.arange(samples)), steps).float()
    for dim, number in ((0, steps), (1, samples), (2, pixels)):
        assert abs(spread(fired.sum(dim), number / 2, number / 4)) < 4
    for axis in range(3):
        for lag in (1, 2, 8, 128):
            length = fired.shape[axis] - lag
            same = (fired.narrow(axis, 0, length) == fired.narrow(axis, lag, length)).double()
            assert abs(same.mean() - 0.5) < 4 * 0.5 / math.sqrt(same.numel())
            other = same.sum(axis)  # of every other pair of indices
            assert abs(spread(other, length / 2, length / 4)) < 4


def test_pairs_of_pixels_do_not_follow_one_another() -> None:
    steps, pixels = 20_000, 64
    limit = torch.full((1, pixels), LIMIT // 4, dtype=torch.int32)
    centred = rate_code(limit, key_of(torch.tensor([5])), steps)[:, 0].float() - 0.25
    between = (centred.T @ centred / steps / (3 / 16)).triu(1)
    pairs = between[between != 0]
    assert pairs.abs().max() < 5 / math.sqrt(steps)
    assert abs(spread(pairs, 0, 1 / steps)) < 4


def test_certain_and_dark_pixels() -> None:
    limit = torch.tensor([[0, LIMIT, 0, LIMIT]], dtype=torch.int32)
    spikes = rate_code(limit, key_of(torch.tensor([1])), 5000)
    assert spikes.float().mean(0).tolist() == [[0, 1, 0, 1]]


def test_opcheck() -> None:
    limit, key = torch.full((2, 5), LIMIT // 2, dtype=torch.int32), key_of(torch.arange(2))
    torch.library.opcheck(torch.ops.snn_neuromod.rate_code, (limit, key, 4, 1))
