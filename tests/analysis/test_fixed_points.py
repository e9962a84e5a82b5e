"""Fixed points: closed forms of the mSRC and of other neurons, eigenvalues by forward differentiation."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from snn_neuromod import analysis, layers
from snn_neuromod.analysis.step_map import jacobian, step_map
from snn_neuromod.dynamics import alif, bsrc, izhikevich, leaky_integrator, msrc, src, stdp_alif


def current_of(h: np.ndarray, h_s0: float) -> np.ndarray:
    """Current at which h is a fixed point of the mSRC."""
    return np.arctanh(h) - 4 * h + 7 * (h + h_s0) ** 2


@given(st.floats(-1, 6), st.floats(0.3, 1.6))
@settings(max_examples=12, deadline=None)
def test_all_of_the_msrc(current: float, h_s0: float) -> None:
    found = analysis.fixed_points(msrc, current, h_s0=h_s0)
    np.testing.assert_allclose(found.states["h_s"], found.states["h"], atol=1e-10)
    h = found.states["h"]
    steep = 1 / (1 - h**2)  # near the bounds atanh magnifies rounding
    np.testing.assert_array_less(np.abs(current_of(h, h_s0) - current), 1e-9 * steep)
    # none is missed: sign changes of the closed form on a grid, tanh-spaced
    grid = np.tanh(np.linspace(-12, 12, 50_001))
    away = current_of(grid, h_s0) - current
    assert np.count_nonzero(np.diff(away >= 0)) == len(h)


@pytest.mark.parametrize("below", [1e-3, 1e-6, 1e-9])
def test_two_that_nearly_meet(below: float) -> None:
    """Just below the saddle-node current there are three, just above one."""
    (h,) = (x.real for x in np.roots([14, 3, -14, -4]) if -1 < x.real < -0.8)  # dI/dh = 0
    fold = float(current_of(np.array(h), 0.5))
    assert len(analysis.fixed_points(msrc, fold - below, h_s0=0.5).kinds) == 3
    assert len(analysis.fixed_points(msrc, fold + below, h_s0=0.5).kinds) == 1


@pytest.mark.parametrize(
    ("current", "h_s0", "kinds"),
    [
        (0.0, 1.5, ("stable node",)),
        (5.0, 1.5, ("unstable focus",)),
        (2.15, 0.9, ("stable focus",)),
        (3.0, 0.5, ("stable node", "saddle", "unstable node")),
        (3.6, 0.5, ("unstable focus",)),
    ],
)
def test_stability(current: float, h_s0: float, kinds: tuple[str, ...]) -> None:
    """What the kind says is what a small push does."""
    found = analysis.fixed_points(msrc, current, h_s0=h_s0)
    assert found.kinds == kinds
    for k, stable in enumerate(found.stable):
        at = {name: values[k] for name, values in found.states.items()}
        pushed = at | {"h_s": at["h_s"] + 1e-4}
        run = analysis.voltage_trace(msrc, current, num_steps=400, start=pushed, h_s0=h_s0)
        assert (np.abs(run.membrane[-100:] - at["h"]).max() < 1e-4) == stable


@pytest.mark.parametrize("module", [src, msrc, bsrc, leaky_integrator])
def test_jacobian_is_that_of_forward_differentiation(module: Any) -> None:
    found = analysis.neuron(module)
    mapping = step_map(found, current=0.7, caller="test")
    size = len(mapping.names)
    x = np.random.default_rng(0).uniform(-0.9, 0.9, (5, size))

    def step(x: Tensor) -> Tensor:
        state = type(found.initial_state(x[:1]))(*x)
        return torch.stack(list(found.step(found.params, state, torch.full_like(x[0], 0.7))[1]))

    exact = torch.stack([torch.func.jacfwd(step)(row) for row in torch.from_numpy(x)])
    assert exact.abs().max() > 0.5
    np.testing.assert_allclose(jacobian(mapping, x, np.full(5, 0.7)), exact, atol=1e-9)


def test_izhikevich_by_hand() -> None:
    """0.04 v^2 + 5 v + 140 - 0.2 v + I = 0."""
    found = analysis.fixed_points(izhikevich, 0.0)
    np.testing.assert_allclose(found.states["v"], [-70, -50], atol=1e-9)
    np.testing.assert_allclose(found.states["u"], [-14, -10], atol=1e-9)
    assert found.kinds == ("stable node", "saddle")
    trace, det = 1 + (5 - 0.08 * 70) + 0.98, (1 + 5 - 0.08 * 70) * 0.98 + 0.02 * 0.2
    values = np.sort(np.roots([1, -trace, det]))[::-1]
    np.testing.assert_allclose(found.eigenvalues[0], [*values, 0], atol=1e-8)
    assert not len(analysis.fixed_points(izhikevich, 4.1).kinds)


def test_integrate_and_fire_rests_below_its_threshold() -> None:
    alpha = alif.Params().alpha
    for module in (alif, stdp_alif):
        found = analysis.fixed_points(module, 0.9 * (1 - alpha))
        np.testing.assert_allclose(found.states["v"], [0.9], atol=1e-10)
        assert found.kinds == ("stable node",)
        np.testing.assert_allclose(np.abs(found.eigenvalues[0, :2]), [np.exp(-1 / 200), alpha])
        assert not len(analysis.fixed_points(module, 1.1 * (1 - alpha)).kinds)


def test_synapse_and_layer() -> None:
    """With a synapse the drive is rho tanh(I / (1 - alpha) / rho), and the synapse's decay is an eigenvalue."""
    layer = layers.MSRC(3, modulation=0.5)
    found = analysis.fixed_points(layer, 0.3)
    x = 3 * np.tanh(0.3 / (1 - 0.9) / 3)
    direct = analysis.fixed_points(msrc, x, h_s0=0.5)
    np.testing.assert_allclose(found.states["h"], direct.states["h"], atol=1e-6)
    assert found.kinds == direct.kinds
    assert np.abs(found.eigenvalues - 0.9).min(1).max() < 1e-6


def test_frozen() -> None:
    """The BSRC with its ultra-slow variable held is an mSRC with another bias."""
    found = analysis.fixed_points(bsrc, 0.0, frozen={"h_u": -0.9})
    same = analysis.fixed_points(msrc, 0.0, h_s0=0.7, b=-8.5 * (-0.9 + 0.55))
    np.testing.assert_allclose(found.states["h"], same.states["h"], atol=1e-9)
    assert set(found.states) == {"i", "h", "h_s"}


class _Rotation:
    """A neuron of a user's own whose state turns round and shrinks: no threshold, one fixed point."""

    class Params(NamedTuple):
        radius: float = 0.5

    class State(NamedTuple):
        x: Tensor
        y: Tensor

    @classmethod
    def initial_state(cls, current: Tensor) -> State:
        return cls.State(torch.zeros_like(current), torch.zeros_like(current))

    @classmethod
    def step(cls, params: Params, state: State, current: Tensor) -> tuple[Tensor, State]:
        c, s = params.radius * np.cos(0.4), params.radius * np.sin(0.4)
        new = cls.State(c * state.x - s * state.y + current, (s * state.x + c * state.y).detach())
        return torch.zeros_like(current), new


def test_a_neuron_of_ones_own() -> None:
    for radius, kind in ((0.5, "stable focus"), (1.2, "unstable focus")):
        found = analysis.fixed_points(_Rotation, 1.0, radius=radius)
        turn = radius * np.array([[np.cos(0.4), -np.sin(0.4)], [np.sin(0.4), np.cos(0.4)]])
        expected = np.linalg.solve(np.eye(2) - turn, [1.0, 0.0])
        np.testing.assert_allclose(
            [found.states["x"][0], found.states["y"][0]], expected, atol=1e-9
        )
        np.testing.assert_allclose(found.eigenvalues[0], radius * np.exp([0.4j, -0.4j]), atol=1e-9)
        assert found.kinds == (kind,)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"current": np.nan}, "current must be a finite number, got nan"),
        ({"current": 1.0, "frozen": {"w": 0.0}}, "frozen must name .* i, h, h_s, got w"),
        ({"current": 1.0, "frozen": {"h": 0.0}}, "leave the membrane 'h' free"),
        ({"current": 1.0, "resolution": 2}, "resolution must be >= 3, got 2"),
        ({"current": 1.0, "h_s0": [0.5, 0.9]}, "h_s0 must be one number, got 2"),
    ],
)
def test_errors(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        analysis.fixed_points(msrc, **arguments)
