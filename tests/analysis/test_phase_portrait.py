"""Portraits: displacements are those of a step, nullclines those of the closed form, the plane is stated."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from snn_neuromod import analysis, layers
from snn_neuromod.dynamics import alif, bsrc, izhikevich, leaky_integrator, msrc


def test_displacement_is_a_step() -> None:
    portrait = analysis.phase_portrait(msrc, 3.0, h_s0=0.5, resolution=5)
    x, y = np.meshgrid(portrait.x, portrait.y)
    params = msrc.Params(alpha=0.0, rho=float("inf"), h_s0=0.5)
    h, h_s = torch.from_numpy(x), torch.from_numpy(y)
    _, new = msrc.step(params, msrc.State(torch.zeros_like(h), h, h_s), torch.full_like(h, 3.0))
    np.testing.assert_allclose(portrait.dx, new.h.numpy() - x, atol=1e-12)
    np.testing.assert_allclose(portrait.dy, new.h_s.numpy() - y, atol=1e-12)
    assert portrait.frozen == {"i": 3.0}


@pytest.mark.parametrize(("current", "h_s0"), [(5.0, 1.5), (2.3, 0.9), (3.0, 0.5)])
def test_nullclines_are_those_of_the_closed_form(current: float, h_s0: float) -> None:
    around = {"x_range": (-1.05, 1.05), "y_range": (-1.1, 1.1)}
    portrait = analysis.phase_portrait(msrc, current, h_s0=h_s0, num_steps=50, **around)
    h, h_s = portrait.x_nullcline.reshape(-1, 2).T
    np.testing.assert_allclose(np.tanh(current + 4 * h - 7 * (h_s + h_s0) ** 2), h, atol=1e-9)
    h, h_s = portrait.y_nullcline.reshape(-1, 2).T
    np.testing.assert_allclose(h, h_s, atol=1e-9)
    assert np.ptp(h) > 2
    # the curve has no gaps: every value of the membrane between its ends is met
    covered = portrait.x_nullcline[:, :, 0]
    for x in np.linspace(-0.99, 0.99, 50):
        inside = (covered.min(1) <= x) & (x <= covered.max(1))
        roots = (current + 4 * x - np.arctanh(x)) / 7
        if roots > 0.01:
            found = -h_s0 + np.array([-1, 1]) * np.sqrt(roots)
            assert np.count_nonzero(inside) >= np.count_nonzero(np.abs(found) < 1.08)


def test_fixed_points_lie_where_the_nullclines_cross() -> None:
    for module, current, frozen in ((msrc, 2.0, {}), (bsrc, 0.0, {"h_u": -0.9})):
        portrait = analysis.phase_portrait(module, current, frozen=frozen, h_s0=0.5)
        assert len(portrait.fixed_points.kinds) == 3
        for k in range(3):
            point = np.array([portrait.fixed_points.states[name][k] for name in portrait.names])
            for lines in (portrait.x_nullcline, portrait.y_nullcline):
                assert np.hypot(*(lines.mean(1) - point).T).min() < 0.03
    assert portrait.frozen == {"i": 0.0, "h_u": -0.9}


def test_what_is_off_the_plane() -> None:
    layer = layers.MSRC(1, modulation=0.9)
    assert analysis.phase_portrait(layer, 0.25, num_steps=9).frozen["i"] == pytest.approx(2.5, 1e-6)
    assert analysis.phase_portrait(bsrc, 0.1, num_steps=9).frozen == {"i": 0.1, "h_u": -0.84}
    assert analysis.phase_portrait(alif, 0.03, num_steps=9).frozen["z"] == 0.0
    other = analysis.phase_portrait(bsrc, 0.1, num_steps=9, slow="h_u")
    assert other.names == ("h", "h_u")
    assert other.frozen["h_s"] == -1.0


def test_the_ultra_slow_variable_is_held() -> None:
    """Else the fixed points would be those of the whole cell, off the nullclines' crossings."""
    portrait = analysis.phase_portrait(bsrc, 0.0, num_steps=9)
    held = analysis.fixed_points(bsrc, 0.0, frozen={"h_u": -0.84})
    np.testing.assert_array_equal(portrait.fixed_points.states["h"], held.states["h"])
    assert len(held.kinds) != len(analysis.fixed_points(bsrc, 0.0).kinds) or not np.allclose(
        held.states["h"], analysis.fixed_points(bsrc, 0.0).states["h"]
    )


def test_trajectory_is_the_trace() -> None:
    start = {"h": -0.5, "h_s": 0.2}
    portrait = analysis.phase_portrait(msrc, 3.6, h_s0=0.5, num_steps=80, start=start)
    trace = analysis.voltage_trace(msrc, 3.6, num_steps=80, start=start, h_s0=0.5)
    np.testing.assert_array_equal(portrait.trajectory.membrane, trace.membrane)
    np.testing.assert_array_equal(portrait.start, [-0.5, 0.2])
    assert portrait.trajectory.spikes.any()
    assert portrait.x[0] < trace.membrane.min()
    assert portrait.x[-1] > trace.membrane.max()


@pytest.mark.parametrize(
    ("source", "arguments", "message"),
    [
        (msrc, {"slow": "w"}, "slow must be one of i, h_s, got 'w'"),
        (msrc, {"slow": "h"}, "slow must be one of"),
        (msrc, {"frozen": {"h_s": 0.0}}, "frozen must leave"),
        (msrc, {"x_range": (1.0, 0.0)}, "x_range and y_range must be"),
        (msrc, {"resolution": 1}, "resolution must be >= 2"),
        (leaky_integrator, {}, "draw a voltage_trace"),
    ],
)
def test_errors(source: Any, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        analysis.phase_portrait(source, 1.0, **arguments)


@pytest.mark.parametrize("module", [msrc, izhikevich])
def test_drawing(module: Any) -> None:
    matplotlib = pytest.importorskip("matplotlib.figure")
    portrait = analysis.phase_portrait(module, 3.0, num_steps=50)
    ax = matplotlib.Figure().subplots()
    analysis.plot_phase_portrait(portrait, ax)
    names = {line.get_label() for line in ax.lines}
    symbols = {"h": "$h$", "h_s": "$h_{s}$", "v": "$v$", "u": "$u$"}
    assert {f"{symbols[name]}-nullcline" for name in portrait.names} <= names
    assert ax.get_xlabel() == f"membrane {symbols[portrait.names[0]]}"
    (iterates,) = (line for line in ax.lines if line.get_label() == "iterates")
    assert (iterates.get_marker(), iterates.get_linestyle()) == (".", "None")
    assert len(iterates.get_xdata()) == 51  # the start, then every step
    for arrow in (text for text in ax.texts if text.arrow_patch is not None):
        x, y = iterates.get_data()
        at = int(np.flatnonzero((x == arrow.xyann[0]) & (y == arrow.xyann[1]))[0])
        assert arrow.xy == pytest.approx((x[at + 1], y[at + 1]))
    assert len(ax.collections) == 3  # arrows and two nullclines
