"""Intervals over utterances and seeds: against closed forms, all draws one by one, and what pairing is for."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from docs.studies.comparison.intervals import Counts, difference, error, resampled


def test_one_seed_and_equal_utterances_have_the_standard_error_of_a_mean() -> None:
    generator = np.random.default_rng(1)
    wrong = generator.integers(0, 100, size=(1, 40)).astype(float)
    drawn = resampled(wrong, np.full(40, 100.0))
    shares = wrong[0] / 100
    assert drawn.mean() == pytest.approx(shares.mean(), abs=0.002)
    assert drawn.std() == pytest.approx(shares.std() / math.sqrt(40), rel=0.03)
    found = error({0: Counts(wrong[0].tolist(), [100.0] * 40)})
    half = 100 * 1.96 * shares.std() / math.sqrt(40)
    assert found.high - found.value == pytest.approx(half, rel=0.05)
    assert found.value - found.low == pytest.approx(half, rel=0.05)


def test_one_utterance_has_the_standard_error_over_seeds() -> None:
    wrong = np.array([[10.0], [20.0], [60.0]])
    drawn = resampled(wrong, np.array([100.0]))
    assert drawn.std() == pytest.approx((wrong[:, 0] / 100).std() / math.sqrt(3), rel=0.03)


def test_draws_are_those_of_both_together() -> None:
    """Every draw of 3 utterances and 2 seeds is as likely as any other, and seeds share the utterances of a draw."""
    wrong, frames = np.array([[3.0, 9.0, 1.0], [0.0, 12.0, 2.0]]), np.array([10.0, 20.0, 5.0])
    expected = [
        np.mean([wrong[run, list(rows)].sum() for run in runs]) / frames[list(rows)].sum()
        for rows in itertools.product(range(3), repeat=3)
        for runs in itertools.product(range(2), repeat=2)
    ]
    drawn = resampled(wrong, frames)
    assert set(np.round(drawn, 9)) == set(np.round(expected, 9))
    for level in np.linspace(0.025, 0.975, 39):
        below = np.mean(np.array(expected) <= np.quantile(drawn, level) + 1e-9)
        assert below > level - 0.02
    assert drawn.mean() == pytest.approx(np.mean(expected), abs=0.002)
    assert drawn.std() == pytest.approx(np.std(expected), rel=0.03)


def test_a_difference_takes_the_same_utterances_and_seeds_for_both() -> None:
    """What makes both err more or less alike leaves their difference exact."""
    generator = np.random.default_rng(2)
    frames = [200.0] * 20
    base = generator.integers(20, 150, size=(4, 20))
    one = {seed: Counts((base[seed] + 10.0).tolist(), frames) for seed in range(4)}
    other = {seed: Counts(base[seed].astype(float).tolist(), frames) for seed in range(1, 4)}
    found = difference(one, other)
    assert found is not None
    assert found == pytest.approx((5.0, 5.0, 5.0, 3))
    assert error(one).high - error(one).low > 5
    back = difference(other, one)
    assert back is not None
    assert back.value == -found.value
    assert difference(one, {9: one[0]}) is None


def test_other_utterances_are_refused() -> None:
    one = {0: Counts([1.0, 2.0], [10.0, 20.0])}
    with pytest.raises(ValueError, match="same utterances"):
        difference(one, {0: Counts([1.0, 2.0], [20.0, 10.0])})
    with pytest.raises(ValueError, match="same utterances"):
        error({**one, 1: Counts([1.0, 2.0], [20.0, 10.0])})


def test_an_interval_holds_the_truth_as_often_as_it_says() -> None:
    generator = np.random.default_rng(3)
    frames = np.full(40, 100.0)
    held = 0
    for _ in range(100):
        hard = generator.normal(0.3, 0.1, size=40).clip(0, 1)
        counts = {0: Counts((100 * hard).tolist(), frames.tolist())}
        found = error(counts)
        held += found.low <= 30 <= found.high
    assert 0.88 <= held / 100 <= 0.99
