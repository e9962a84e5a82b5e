"""Intervals between spikes against processes of known regularity."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

import snn_neuromod as nm
from snn_neuromod.analysis import intervals


def test_a_clock_a_poisson_process_and_a_changing_rate() -> None:
    rng = np.random.default_rng(0)
    spikes = np.zeros((60_000, 2, 3))
    spikes[::20, :, 0] = 1
    spikes[:, :, 1] = rng.random((60_000, 2)) < 0.02
    slow = np.cumsum(np.repeat([10, 100], [1000, 200]))
    spikes[slow, :, 2] = 1
    found = intervals(spikes, dt=0.5)
    assert found.mean[0] == 10
    assert found.cv[0] == found.local[0] == 0
    assert found.mean[1] == pytest.approx(25, rel=0.05)
    assert found.cv[1] == pytest.approx(0.99, abs=0.05)  # geometric: sqrt(1 - p)
    assert found.local[1] == pytest.approx(1, abs=0.06)
    assert found.cv[2] > 0.9
    assert found.local[2] < 0.01
    np.testing.assert_allclose(found.rate, spikes.mean((0, 1)) / 0.5)


def test_samples_are_not_joined() -> None:
    spikes = torch.zeros(10, 2, 1)
    spikes[8, 0, 0] = spikes[1, 1, 0] = 1
    found = intervals(spikes)
    assert found.number.tolist() == [0]
    assert np.isnan(found.mean[0])


def test_graded_spikes_are_counted_once() -> None:
    layer = nm.MSRC(4, modulation=0.9)
    spikes, _ = layer(torch.full((400, 1, 4), 0.8))
    wide = intervals(spikes)
    found = intervals(spikes, threshold=0.5)
    assert (found.number > 3).all()
    assert (wide.number > found.number).all()
    assert (found.cv < 0.1).all()


def test_wrong_arguments() -> None:
    with pytest.raises(ValueError, match="spikes must have shape"):
        intervals(np.zeros(5))
    with pytest.raises(ValueError, match="dt must be > 0"):
        intervals(np.zeros((5, 1)), dt=float("nan"))


def test_pictures_without_axes() -> None:
    ax = nm.analysis.plot_fi_curve(
        nm.analysis.fi_curve(nm.dynamics.alif, np.linspace(0, 1, 5), num_steps=50)
    )
    assert len(ax.lines) == 2
    given = plt.subplots()[1]
    assert (
        nm.analysis.plot_phase_portrait(nm.analysis.phase_portrait(nm.dynamics.msrc, 1.0), given)
        is given
    )
    plt.close("all")
