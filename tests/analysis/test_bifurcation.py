"""Bifurcations: the table of saddle-node currents, and both kinds of point in closed form."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor

from snn_neuromod import analysis
from snn_neuromod.dynamics import alif, izhikevich, msrc, src

R, R_S = 4.0, -7.0


def current_of(h: float, h_s0: float) -> float:
    return float(np.arctanh(h) - R * h - R_S * (h + h_s0) ** 2)


def root(f: Any, low: float, high: float) -> float:
    """Zero of f between low and high, by bisection."""
    assert f(low) * f(high) < 0
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if f(middle) * f(low) > 0 else (low, middle)
    return (low + high) / 2


def fold(h_s0: float) -> float:
    """Highest current of the lower saddle-node, where dI/dh = 0."""
    slope = lambda h: 1 / (1 - h**2) - R - 2 * R_S * (h + h_s0)  # noqa: E731
    grid = np.linspace(-0.9999, 0.5, 20_001)
    k = np.flatnonzero(np.diff(np.sign(slope(grid))))[0]
    return current_of(root(slope, grid[k], grid[k + 1]), h_s0)


def determinant(h: float, h_s0: float) -> float:
    """Determinant of J of the mSRC with z = 0 at the fixed point h = h_s."""
    z_s = 0.9 - 0.9 / (1 + np.exp(-10 * (h - 0.5)))
    return float((1 - h**2) * (z_s * R - 2 * R_S * (h + h_s0) * (1 - z_s)))


@pytest.mark.parametrize(
    ("h_s0", "current", "onset"),
    [
        (0.8, 2.198, 2.20),
        (0.5, 3.386, 3.40),
        (0.4, 4.091, 4.10),
    ],
)
def test_saddle_node_of_the_table(h_s0: float, current: float, onset: float) -> None:
    found = analysis.bifurcation(msrc, (2.0, 5.0), h_s0=h_s0)
    value = max(found.at("saddle-node"))
    assert abs(value - current) < 5e-4
    assert abs(value - fold(h_s0)) < 1e-6
    assert not found.at("Neimark-Sacker")
    assert 0 < onset - value < 0.02  # firing begins at the next current of the table's grid


@pytest.mark.parametrize("h_s0", [0.9, 1.5])
def test_rhythm_of_types_1_and_2(h_s0: float) -> None:
    """No saddle-node; the rest loses its stability where det J = 1."""
    found = analysis.bifurcation(msrc, (1.0, 6.0), h_s0=h_s0)
    assert not found.at("saddle-node")
    h = root(lambda h: determinant(h, h_s0) - 1, -0.95, -0.7)
    (value,) = found.at("Neimark-Sacker")
    assert abs(value - current_of(h, h_s0)) < 1e-6
    (point,) = found.points
    assert abs(point.states["h"] - h) < 1e-6
    np.testing.assert_allclose(np.abs(point.eigenvalues[:2]), 1, atol=1e-8)
    assert point.eigenvalues[0].imag != 0


def test_long_steps_are_shortened_in_bends() -> None:
    found = analysis.bifurcation(msrc, (0.0, 5.0), h_s0=0.5, arclength=0.5)
    assert len(found.at("saddle-node")) == 2
    assert abs(max(found.at("saddle-node")) - fold(0.5)) < 1e-6
    bends = np.diff(np.stack([found.branches[0].values / 5, found.branches[0].states["h"]]))
    bends /= np.hypot(*bends)
    assert (bends[:, 1:] * bends[:, :-1]).sum(0).min() > 0.9


def test_a_branch_is_made_of_fixed_points() -> None:
    found = analysis.bifurcation(msrc, (0.0, 5.0), h_s0=0.5)
    (branch,) = found.branches
    h = branch.states["h"]
    error = np.abs(np.arctanh(h) - R * h - R_S * (h + 0.5) ** 2 - branch.values)
    np.testing.assert_array_less(error, 1e-8 / (1 - h**2))
    assert branch.values[0] == 0.0
    assert abs(branch.values[-1] - 5.0) < 1e-12
    assert np.any(np.diff(branch.values) < 0)  # it turns round twice
    assert branch.stable[0]
    assert not branch.stable[-1]
    np.testing.assert_allclose(
        np.prod(branch.eigenvalues[:, :2], 1).real, [determinant(x, 0.5) for x in h], atol=1e-7
    )


def test_over_the_modulation() -> None:
    """At I = 3 the saddle-node lies at the modulation of which 3 is the saddle-node current."""
    found = analysis.bifurcation(msrc, (0.2, 1.8), parameter="h_s0", current=3.0)
    assert len(found.branches) == 2
    assert found.parameter == "h_s0"
    assert abs(max(found.at("saddle-node")) - root(lambda m: fold(m) - 3.0, 0.4, 0.8)) < 1e-6


def test_over_a_parameter_that_switches_a_memory_on() -> None:
    """The synapse has no memory at alpha = 0 only; its decay shows among the eigenvalues elsewhere."""
    found = analysis.bifurcation(msrc, (0.0, 0.5), parameter="alpha", current=1.0)
    branch = found.branches[0]
    np.testing.assert_allclose(branch.states["i"], 1 / (1 - branch.values), atol=1e-8)
    assert np.abs(branch.eigenvalues - branch.values[:, None]).min(1).max() < 1e-6


def test_src() -> None:
    found = analysis.bifurcation(src, (0.0, 6.0))
    z_s = lambda h: 0.9 - 0.9 / (1 + np.exp(-10 * (h - 0.5)))  # noqa: E731
    h = root(lambda h: (1 - h**2) * (z_s(h) * 2 + 7 * (1 - z_s(h))) - 1, -0.99, -0.5)
    assert found.at("Neimark-Sacker") == pytest.approx([np.arctanh(h) + 5 * h + 6], abs=1e-6)


def test_izhikevich_by_hand() -> None:
    """Saddle-node where 0.04 v^2 + 4.8 v + 140 + I has a double zero; det J = 1 a little before."""
    found = analysis.bifurcation(izhikevich, (-5.0, 10.0))
    assert found.at("saddle-node") == pytest.approx([4.0], abs=1e-6)
    v = (1 / 0.98 - 6 - 0.004 / 0.98) / 0.08
    assert found.at("Neimark-Sacker") == pytest.approx([-(0.04 * v**2 + 4.8 * v + 140)], abs=1e-6)


def test_a_branch_ends_at_the_threshold() -> None:
    """An integrate-and-fire neuron loses its rest by a jump, which is no bifurcation of a smooth map."""
    found = analysis.bifurcation(alif, (0.0, 0.1))
    (branch,) = found.branches
    assert not found.points
    assert branch.values[-1] == pytest.approx(1 - alif.Params().alpha, abs=1e-3)


class _Logistic:
    """x <- a x (1 - x), whose fixed point 1 - 1/a doubles its period at a = 3."""

    class Params(NamedTuple):
        a: float = 2.0

    class State(NamedTuple):
        x: Tensor

    @classmethod
    def initial_state(cls, current: Tensor) -> State:
        return cls.State(torch.full_like(current, 0.5))

    @classmethod
    def step(cls, params: Params, state: State, current: Tensor) -> tuple[Tensor, State]:
        x = params.a * state.x * (1 - state.x) + current
        return x, cls.State(x)


def test_period_doubling_of_a_neuron_of_ones_own() -> None:
    found = analysis.bifurcation(_Logistic, (2.0, 3.5), parameter="a")
    assert found.at("period-doubling") == pytest.approx([3.0], abs=1e-6)
    assert not found.at("saddle-node")


@pytest.mark.parametrize(
    ("span", "arguments", "message"),
    [
        ((1.0, 1.0), {}, "span must be two finite numbers"),
        ((0.0, np.inf), {}, "span must be two finite numbers"),
        ((0.0, 1.0), {"parameter": "w"}, "parameter must be one of current, alpha"),
        ((0.0, 1.0), {"arclength": 0.0}, r"arclength must be in \(0, 1\)"),
        ((0.0, 1.0), {"frozen": {"h": 0.0}}, "leave the membrane 'h' free"),
    ],
)
def test_errors(span: tuple[float, float], arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        analysis.bifurcation(msrc, span, **arguments)


def test_drawing() -> None:
    matplotlib = pytest.importorskip("matplotlib.figure")
    found = analysis.bifurcation(msrc, (3.0, 4.0), h_s0=0.5)
    ax = matplotlib.Figure().subplots()
    analysis.plot_bifurcation(found, ax)
    marked = [line for line in ax.lines if line.get_label() == "saddle-node"]
    assert marked[0].get_xdata()[0] == found.at("saddle-node")[0]
    assert ax.get_xlabel() == "current"
