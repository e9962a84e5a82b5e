"""Firing patterns: the BSRC's bursts, and spike trains made by hand."""

from __future__ import annotations

import numpy as np
import pytest

from snn_neuromod import analysis, dynamics
from snn_neuromod.analysis import bursts
from snn_neuromod.analysis.patterns import describe


def test_the_burst_without_input() -> None:
    """About 20 spikes 22 to 25 steps apart, a gap of about 300 steps, period about 790."""
    found = bursts(dynamics.bsrc, 0.0, discard=2500)
    assert found.kind == "bursting"
    assert found.spikes_per_burst == pytest.approx(20, abs=2)
    assert found.interval == pytest.approx(25, abs=1.5)
    assert found.pause == pytest.approx(300, abs=15)
    assert found.period == pytest.approx(790, abs=20)
    # one burst after another: the statistics belong together
    whole = (found.spikes_per_burst - 1) * found.interval + found.pause
    assert found.period == pytest.approx(whole, rel=0.02)
    assert found.rate == pytest.approx(found.spikes_per_burst / found.period, rel=0.1)


def test_kinds_over_current_modulation_and_offset() -> None:
    x = np.array([-0.5, -0.2, 0.0, 0.2, 0.5, 0.7, 1.0, 2.0])
    h_s0 = np.array([0.3, 0.4, 0.55, 0.6, 0.7, 0.75, 0.8, 0.9, 1.0, 1.2, 1.5])
    h_u0 = np.array([0.0, 0.45, 0.5, 0.53, 0.6, 0.64, 0.66, 0.8])
    currents = np.concatenate([x, np.zeros(len(h_s0) + len(h_u0))])
    modulation = np.concatenate([np.full(len(x), 0.7), h_s0, np.full(len(h_u0), 0.7)])
    offset = np.concatenate([np.full(len(x) + len(h_s0), 0.55), h_u0])
    kind = bursts(dynamics.bsrc, currents, h_s0=modulation, h_u0=offset, discard=2500).kind
    expected = [*np.where(x <= 0.2, "bursting", "tonic")]
    expected += ["silent"] * 2 + ["bursting"] * 4 + ["tonic"] * 3 + ["silent"] * 2
    expected += ["tonic"] * 3 + ["bursting"] * 3 + ["silent"] * 2
    assert kind.tolist() == expected


def train(*gaps: int) -> np.ndarray:
    return np.cumsum([5, *gaps])


@pytest.mark.parametrize(
    ("times", "kind", "numbers"),
    [
        (train(10, 10, 10, 10), "tonic", (np.nan, 10, np.nan, np.nan)),
        (train(), "tonic", (np.nan,) * 4),
        (train(10, 12, 14, 16, 18), "tonic", (np.nan, 14, np.nan, np.nan)),
        # 3 spikes, pause of 50; the incomplete bursts at both ends do not count
        (train(2, 50, 2, 4, 50, 2, 4, 60, 2), "bursting", (3, 3, 160 / 3, 61)),
        (train(2, 50, 2, 50, 2), "bursting", (2, 2, 50, 52)),
        # one pause only: no complete burst
        (train(2, 2, 50, 2, 2), "tonic", (np.nan, 11.6, np.nan, np.nan)),
        # a pause twice as long as the rest is none
        (train(10, 20, 10, 20, 10, 20), "tonic", (np.nan, 15, np.nan, np.nan)),
    ],
)
def test_trains_by_hand(times: np.ndarray, kind: str, numbers: tuple[float, ...]) -> None:
    found = describe(times)
    assert found[0] == kind
    np.testing.assert_allclose(found[1], numbers)


def test_contrast_says_what_a_pause_is() -> None:
    assert describe(train(10, 20, 10, 20, 10, 20), 1.9)[0] == "bursting"


def test_shapes_follow_the_parameters() -> None:
    found = bursts(dynamics.bsrc, [[0.0], [1.0]], h_s0=[0.3, 0.7, 0.9], num_steps=4000)
    assert found.kind.shape == found.rate.shape == (2, 3)
    assert found.kind[0].tolist() == ["silent", "bursting", "tonic"]
    assert np.isnan(found.period[0, [0, 2]]).all()
    assert found.rate[0, 0] == 0


def test_another_neuron_bursts_too() -> None:
    """Izhikevich's chattering neuron."""
    found = bursts(dynamics.izhikevich, [10.0], c=-50.0, d=2.0, num_steps=3000)
    assert found.kind.tolist() == ["bursting"]
    assert found.spikes_per_burst[0] >= 2
    assert analysis.bursts(dynamics.izhikevich, [10.0], d=8.0).kind.tolist() == ["tonic"]
