"""Delays and maps over current and a parameter, against the facts and against the adiabatic sweeps."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

from snn_neuromod import analysis, dynamics
from snn_neuromod.analysis import Heatmap, heatmap, heatmaps, spiking_delay

CURRENTS = np.arange(110, 180) * 0.02  # 2.2 to 3.58
VALUES = np.array([0.5, 0.6, 0.7, 0.9, 1.2])


@cache
def maps(synapse: float | None = None) -> dict[str, Heatmap]:
    scale = 1.0 if synapse is None else 1 - synapse
    return heatmaps(
        dynamics.msrc, scale * CURRENTS, parameter="h_s0", values=VALUES, synapse=synapse,
        num_steps=600, discard=600,
    )  # fmt: skip


def test_first_spikes_of_the_table() -> None:
    delay = spiking_delay(dynamics.msrc, [3.0, 3.4, 3.5, 3.6], h_s0=0.5)
    np.testing.assert_array_equal(delay, [np.nan, 172, 42, 24])
    assert np.isnan(spiking_delay(dynamics.msrc, 3.4, h_s0=0.5, num_steps=172))
    assert spiking_delay(dynamics.msrc, 3.4, h_s0=0.5, num_steps=173) == 172


def test_the_delay_belongs_to_type_2_star() -> None:
    delay = spiking_delay(
        dynamics.msrc, [[4.92 + 0.2], [2.16 + 0.2], [3.40 + 0.2]], h_s0=[[1.5], [0.9], [0.5]]
    )
    assert delay.shape == (3, 1)
    assert delay[2] > 5 * delay[0] > 0


def test_maps_hold_the_onsets_of_the_table() -> None:
    onsets = {
        0.5: (3.40, 2.26),
        0.6: (2.84, 2.24),
        0.7: (2.44, 2.20),
        0.9: (2.16, 2.16),
        1.2: (2.94,) * 2,
    }
    for row, (up, down) in enumerate(onsets[value] for value in VALUES):
        rate, kept = maps()["rate"].data[row], maps()["hysteresis"].data[row]
        np.testing.assert_array_equal(rate > 0, up - 1e-9 <= CURRENTS)
        np.testing.assert_array_equal(kept > 0, (down - 1e-9 <= CURRENTS) & (up - 1e-9 > CURRENTS))
        no_spike = np.isnan(maps()["delay"].data[row])
        assert not no_spike[rate > 0].any()
        if up < CURRENTS[-1] and VALUES[row] < 1:  # type 2 spikes once below its onset
            assert no_spike[rate == 0].all()


def test_a_map_is_its_pixels() -> None:
    for row, column in ((0, 65), (3, 20), (4, 50)):
        one = {"h_s0": VALUES[row], "num_steps": 600}
        delay = spiking_delay(dynamics.msrc, CURRENTS[column], **one)
        np.testing.assert_equal(maps()["delay"].data[row, column], delay)
        rate = analysis.bursts(dynamics.msrc, CURRENTS[column], discard=600, **one).rate
        assert maps()["rate"].data[row, column] == rate > 0


def test_maps_agree_with_the_adiabatic_sweeps() -> None:
    found = analysis.hysteresis(
        dynamics.msrc, CURRENTS[::2], h_s0=VALUES, num_steps=200, discard=300
    )
    width = (maps()["hysteresis"].data > 0).sum(1) * 0.02
    np.testing.assert_allclose(width, found.range, atol=0.04 + 1e-9)
    assert width[0] > 1


def test_the_parts_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(heatmaps.__globals__, "CHUNK", 1)
    again = heatmaps(
        dynamics.msrc, CURRENTS, parameter="h_s0", values=VALUES, num_steps=600, discard=600
    )
    for name, found in maps().items():
        np.testing.assert_array_equal(again[name].data, found.data)


def test_behind_a_synapse_currents_count_by_their_sum() -> None:
    """Alpha = 0.5 doubles a constant current in the long run, and delays the first spike."""
    assert (maps(0.5)["rate"].data > 0).tolist() == (maps()["rate"].data > 0).tolist()
    np.testing.assert_allclose(maps(0.5)["rate"].data, maps()["rate"].data, atol=2 / 600)
    both = ~np.isnan(maps()["delay"].data)
    later = maps(0.5)["delay"].data[both] - maps()["delay"].data[both]
    assert 1 <= np.nanmedian(later) <= 4


def test_any_parameter_of_any_neuron() -> None:
    found = heatmap(dynamics.alif, [0.05, 0.2], parameter="beta", values=[0.0, 0.1], measure="rate")
    assert found.data[0, 1] > found.data[1, 1] > 0
    found = heatmap(
        dynamics.izhikevich, [3.0, 10.0], parameter="b", values=[0.2, 0.25], measure="delay"
    )
    assert np.isnan(found.data[0, 0])
    assert (found.data[:, 1] > 0).all()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"measure": "rates"}, "measure must be among rate, delay, hysteresis, got rates"),
        ({"parameter": "hs0"}, "among alpha, .*got hs0"),
        ({"values": [1.0, 0.5]}, "values must be one axis of increasing"),
        ({"values": [[0.5], [1.0]]}, "values must be one axis"),
        ({"currents": []}, "currents must be finite numbers"),
        ({"num_steps": 0}, "num_steps must be an integer >= 1"),
        ({"r": [[[1.0]], [[2.0]]]}, "parameters must be numbers besides h_s0"),
        ({"h_s0": 1.0}, "parameter must not be given twice"),
    ],
)
def test_errors(change: dict[str, Any], words: str) -> None:
    arguments: dict[str, Any] = {
        "currents": [1.0, 2.0], "parameter": "h_s0", "values": [0.5, 1.0], "measure": "rate",
    }  # fmt: skip
    with pytest.raises(ValueError, match=words):
        heatmap(dynamics.msrc, **{**arguments, **change})


def test_the_plot_only_draws() -> None:
    pytest.importorskip("matplotlib")
    from matplotlib.figure import Figure

    ax = Figure().subplots()
    mesh = analysis.plot_heatmap(maps()["delay"], ax)
    np.testing.assert_array_equal(mesh.get_array().filled(np.nan), maps()["delay"].data)
    assert ax.get_ylabel() == "$h_{s0}$"
