"""The rhythm of a bifurcation diagram: how far it reaches, where it begins, and what its beginning is called."""

from __future__ import annotations

import numpy as np
import pytest

from snn_neuromod import analysis
from snn_neuromod.dynamics import izhikevich, msrc


@pytest.mark.parametrize(("h_s0", "begins", "from_rest"), [(0.9, 2.16, 2.16), (0.5, 2.26, 3.40)])
def test_the_rhythm_begins_where_the_sweeps_say(
    h_s0: float, begins: float, from_rest: float
) -> None:
    found = analysis.amplitude(msrc, np.arange(2.0, 4.0, 0.05), h_s0=h_s0)
    there = np.isfinite(found.high)
    assert found.currents[there].min() == pytest.approx(begins, abs=0.06)
    assert found.currents[found.from_rest].min() == pytest.approx(from_rest, abs=0.06)
    assert found.bistable.sum() == pytest.approx((from_rest - begins) / 0.05, abs=2)
    np.testing.assert_array_equal(found.amplitude[there], (found.high - found.low)[there] / 2)
    assert (found.amplitude[there] > 0.8).all()
    assert np.isnan(found.amplitude[~there]).all()


def test_where_nothing_fires_there_is_no_rhythm() -> None:
    found = analysis.amplitude(msrc, [0.0, 0.5], h_s0=0.9)
    assert np.isnan(found.amplitude).all()
    assert not found.bistable.any()


def test_hopf_is_the_flows_word_for_neimark_sacker() -> None:
    diagram = analysis.bifurcation(msrc, (1.0, 4.0), h_s0=0.9)
    (point,) = diagram.points
    assert (point.kind, point.name) == ("Neimark-Sacker", "Hopf (Neimark-Sacker)")
    assert diagram.at("Hopf") == diagram.at("Neimark-Sacker") == [point.value]
    fold = analysis.bifurcation(msrc, (2.0, 5.0), h_s0=0.5).points[-1]
    assert fold.name == fold.kind == "saddle-node"


def test_the_plot_shows_rhythm_and_names() -> None:
    pytest.importorskip("matplotlib")
    from matplotlib.figure import Figure

    ax = Figure().subplots()
    span = (3.0, 12.0)
    rhythm = analysis.amplitude(izhikevich, np.linspace(*span, 10))
    diagram = analysis.bifurcation(izhikevich, span)
    analysis.plot_bifurcation(diagram, ax, rhythm=rhythm)
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), rhythm.low)
    np.testing.assert_array_equal(ax.lines[1].get_ydata(), rhythm.high)
    labels = ax.get_legend_handles_labels()[1]
    assert "firing: lowest, highest $v$" in labels
    assert {point.name for point in diagram.points} <= set(labels)
