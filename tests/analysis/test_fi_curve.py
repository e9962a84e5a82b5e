"""FI curves and onsets against closed forms and the tables of the SRC family."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np
import pytest

from snn_neuromod import ALIF, MSRC, analysis, dynamics
from snn_neuromod.analysis import FICurve, fi_curve, hysteresis
from snn_neuromod.analysis.onsets import Hysteresis, of_curve

TABLE = {  # h_s0: onset up, onset down, rate at onset (spikes per step), currents 0.02 apart
    1.5: (4.92, 4.92, 0.024),
    1.2: (2.94, 2.94, 0.023),
    1.0: (2.30, 2.30, 0.022),
    0.9: (2.16, 2.16, 0.013),
    0.8: (2.20, 2.18, 0.029),
    0.7: (2.44, 2.20, 0.045),
    0.6: (2.84, 2.24, 0.059),
    0.5: (3.40, 2.26, 0.076),
    0.4: (4.10, 2.30, 0.091),
}
GRID = 0.02 * np.concatenate(
    [np.arange(*ends) for ends in ((107, 124), (140, 150), (168, 173), (203, 208), (244, 249))]
)
"""0.02 apart about every onset of the table."""
LIF = {"beta": 0.0, "alpha": 0.9, "v_th": 1.0}


@cache
def onsets() -> Hysteresis:
    """Adiabatic sweeps at all modulations of the table, in one batch."""
    return hysteresis(dynamics.msrc, GRID, h_s0=list(TABLE), num_steps=500, discard=300)


@pytest.mark.parametrize("h_s0", TABLE)
def test_the_table_of_the_msrc(h_s0: float) -> None:
    found, k = onsets(), list(TABLE).index(h_s0)
    up, down, rate = TABLE[h_s0]
    assert found.onset_up[k] == pytest.approx(up, abs=0.02 + 1e-9)
    assert found.onset_down[k] == pytest.approx(down, abs=0.02 + 1e-9)
    assert found.range[k] == pytest.approx(up - down, abs=0.02 + 1e-9)
    # of type 2* the first spike takes long: its rate is read one current later
    index = int(np.searchsorted(GRID, found.onset_up[k] - 1e-9))
    rates = found.curve.up[k, index : index + 2]
    assert min(abs(rates - rate)) <= 0.05 * rate + 1 / 500


def test_rates_of_the_src() -> None:
    curve = fi_curve(dynamics.src, [1.5, 1.6, 2.0, 3.0], num_steps=5000)
    assert curve.up == pytest.approx([0.0, 0.0228, 0.0432, 0.0508], rel=0.01)


@pytest.mark.parametrize(("b", "fires"), [(-4.6, False), (-4.4, True)])
def test_spontaneous_firing_of_the_src(b: float, fires: bool) -> None:
    """At x = 0 it begins for a bias between -4.6 and -4.4."""
    assert bool(fi_curve(dynamics.src, [0.0], b=b).up[0] > 0.01) == fires


def lif_period(current: float, alpha: float = 0.9) -> float:
    """Steps from one reset to zero to the next: the first k with I (1 - alpha^k) / (1 - alpha) > v_th = 1."""
    if current <= 1 - alpha:
        return math.inf
    return math.floor(math.log(1 - (1 - alpha) / current) / math.log(alpha)) + 1


def test_the_leaky_integrator_with_reset_in_closed_form() -> None:
    lif = analysis.neuron(dynamics.alif, options={"reset": "zero"}, **LIF)
    currents = np.array([0.05, 0.0999, 0.1001, 0.11, 0.15, 0.31, 0.77, 1.5])
    curve = fi_curve(lif, currents, num_steps=1000)
    expected = [1 / lif_period(current) for current in currents]
    np.testing.assert_allclose(curve.up, expected, atol=1 / 1000)
    np.testing.assert_array_equal(curve.up > 0, currents > 0.1)
    # from a reset the first spike comes after one period, counted from 0
    delay = analysis.spiking_delay(lif, currents)
    assert delay[2:].tolist() == [lif_period(current) - 1 for current in currents[2:]]
    assert np.isnan(delay[:2]).all()


def test_the_integrator_without_leak_fires_in_proportion() -> None:
    """Reset by subtraction loses nothing: the rate is I / v_th."""
    currents = np.array([0.05, 0.2, 0.35, 0.9])
    plain = fi_curve(dynamics.alif, currents, alpha=1.0, beta=0.0, v_th=2.0, num_steps=1000)
    np.testing.assert_allclose(plain.up, currents / 2, atol=1 / 1000)


def test_adaptation_slows_down() -> None:
    curve = fi_curve(dynamics.alif, [0.2, 0.4], beta=[0.0, 0.1, 0.3])
    assert (np.diff(curve.up, axis=0) < 0).all()
    assert curve.up.shape == (3, 2)


def test_onset_of_izhikevichs_neuron_in_closed_form() -> None:
    """Rest loses its stability where the Jacobian's determinant (1 + s)(1 - a) + a b is 1, s = 0.08 v + 5."""
    a, b = 0.02, 0.2
    v = ((1 - a * b) / (1 - a) - 1 - 5) / 0.08
    onset = -(0.04 * v**2 + 5 * v + 140 - b * v)
    currents = np.arange(3.65, 3.9, 0.05)
    found = hysteresis(dynamics.izhikevich, currents, num_steps=600, discard=1500)
    assert 0 <= found.onset_up - onset <= 0.05
    tonic = fi_curve(dynamics.izhikevich, [10.0], d=8.0, num_steps=2000)
    assert tonic.up[0] == pytest.approx(0.02, abs=0.006)  # about 20 Hz, steps of 1 ms


def test_state_is_carried_from_one_current_to_the_next() -> None:
    """3.6 fires; back at 2.5 it still fires though from rest it does not."""
    curve = fi_curve(dynamics.msrc, [1.0, 2.5, 3.6], h_s0=0.5)
    assert (curve.up > 0).tolist() == [False, False, True]
    assert (curve.down > 0).tolist() == [False, True, True]
    both = fi_curve(dynamics.msrc, [1.0, 2.5, 3.6], h_s0=[[0.5], [0.9]])
    assert both.up.shape == (2, 1, 3)
    np.testing.assert_array_equal(both.down[0, 0], curve.down)


def test_the_carried_state_by_hand() -> None:
    """A sum of the current, never reset: 10 after the first current, 30 after the second; above 14.5 it fires."""
    total = analysis.neuron(
        dynamics.alif, options={"reset": "none"}, alpha=1.0, beta=0.0, v_th=14.5
    )
    curve = fi_curve(total, [1.0, 2.0], num_steps=10, discard=0)
    assert curve.up.tolist() == [0.0, 0.8]
    assert curve.down.tolist() == [1.0, 1.0]


def test_a_layer_is_swept_with_its_own_parameters() -> None:
    currents = np.array([0.3, 0.5])
    layer = fi_curve(MSRC(4, modulation=0.5, alpha=0.5, rho=10.0), 5 * currents)
    x = np.array(10 * np.tanh(currents))  # I / (1 - alpha), bounded
    direct = fi_curve(dynamics.msrc, x, h_s0=0.5)
    np.testing.assert_allclose(layer.up, direct.up, atol=1e-3)
    assert layer.up[1] > 0
    lif = fi_curve(ALIF(3, beta=0.0, reset="zero", refractory=4), [50.0])
    assert lif.up[0] == 1 / 5


def test_rates_have_no_staircase() -> None:
    """A count over 100 steps could tell 1/13 from 1/12 no better than 7 from 8 spikes; intervals can."""
    lif = analysis.neuron(dynamics.alif, options={"reset": "zero"}, **LIF)
    currents = np.array([0.11, 0.13, 0.15, 0.2])
    curve = fi_curve(lif, currents, num_steps=100)
    np.testing.assert_allclose(curve.up, [1 / lif_period(i) for i in currents], rtol=1e-12)
    slow = fi_curve(lif, [0.1001], num_steps=50).up  # one spike in 65 steps
    assert slow[0] in (0.0, 1 / 50)


def curve_of(up: list[float], down: list[float]) -> FICurve:
    return FICurve(np.arange(len(up), dtype=float), np.array(up), np.array(down))


@pytest.mark.parametrize(
    ("up", "down", "expected"),
    [
        ([0, 0, 0, 1, 2], [0, 1, 1, 1, 2], (3, 1, 2, 1)),
        ([0, 0, 0, 1, 2], [1, 0, 1, 1, 2], (3, 2, 1, 1)),  # a pause on the way down ends it
        ([0, 0, 1, 1, 0], [0, 0, 1, 1, 0], (2, 2, 0, 1)),  # block at high currents
        ([1, 1, 1, 1, 1], [1, 1, 1, 1, 1], (0, 0, 0, 1)),
        ([0, 0, 0, 3, 3], [0, 0, 0, 0, 3], (3, 3, 0, 3)),
    ],
)
def test_reading_onsets(up: list[float], down: list[float], expected: Any) -> None:
    found = of_curve(curve_of(up, down))
    assert tuple(float(value) for value in found[:4]) == expected


def test_without_firing_there_is_no_onset() -> None:
    found = of_curve(curve_of([0, 0], [0, 0]))
    assert np.isnan([found.onset_up, found.onset_down, found.range, found.rate]).all()


def test_plots_only_draw() -> None:
    pytest.importorskip("matplotlib")
    from matplotlib.figure import Figure

    ax = Figure().subplots()
    curve = curve_of([0, 1, 2], [0.5, 1, 2])
    analysis.plot_fi_curve(curve, ax, label="mine")
    solid, dashed = ax.lines
    np.testing.assert_array_equal(solid.get_ydata(), curve.up)
    np.testing.assert_array_equal(dashed.get_ydata(), curve.down)
    assert (solid.get_linestyle(), dashed.get_linestyle()) == ("-", "--")
    assert ax.get_ylabel() == "firing rate (spikes per step)"
    with pytest.raises(ValueError, match="must be a single one"):
        analysis.plot_fi_curve(onsets().curve, ax)
    ax = Figure().subplots()
    analysis.plot_hysteresis(onsets(), list(TABLE), ax)
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), onsets().onset_up)
