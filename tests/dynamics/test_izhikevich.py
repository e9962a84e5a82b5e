"""Izhikevich: hand-computed reset, fixed points in closed form, and the regimes of Izhikevich (2003), Fig. 2.

Each regime is shown by quantities of its spike train at two time steps.
"""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from snn_neuromod.dynamics import izhikevich
from snn_neuromod.dynamics.izhikevich import PEAK, Params, State

TYPES = {  # a, b, c, d of the paper
    "RS": (0.02, 0.2, -65.0, 8.0),
    "IB": (0.02, 0.2, -55.0, 4.0),
    "CH": (0.02, 0.2, -50.0, 2.0),
    "FS": (0.1, 0.2, -65.0, 2.0),
    "TC": (0.02, 0.25, -65.0, 0.05),
    "RZ": (0.1, 0.26, -65.0, 2.0),
    "LTS": (0.02, 0.25, -65.0, 2.0),
}
time_steps = pytest.mark.parametrize("dt", [0.2, 0.5])


def simulate(params: Params, state: State, current: Tensor) -> tuple[Tensor, Tensor, State]:
    """Spikes and membrane over time, and the last state."""
    spikes, trace = [], []
    for current_t in current:
        z, state = izhikevich.step(params, state, current_t)
        spikes.append(z)
        trace.append(state.v)
    return torch.stack(spikes), torch.stack(trace), state


def rest(name: str, shape: int = 1, current: float = 0.0) -> State:
    """The stable fixed point."""
    _, b, _, _ = TYPES[name]
    return izhikevich.initial_state(
        torch.zeros(shape, dtype=torch.float64), v=fixed_points(b, current)[0], b=b
    )


def fixed_points(b: float, current: float) -> tuple[float, float]:
    """Roots of 0.04 v^2 + (5 - b) v + 140 + I = 0; u = b v."""
    root = math.sqrt((5 - b) ** 2 - 0.16 * (140 + current))
    return (b - 5 - root) / 0.08, (b - 5 + root) / 0.08


def step_of_current(dt: float, current: float, ms: float) -> Tensor:
    return torch.full((round(ms / dt), 1), current, dtype=torch.float64)


def intervals(name: str, dt: float, *, current: float = 10.0, ms: float = 500.0) -> Tensor:
    """Interspike intervals in ms of a neuron at rest after a step of current."""
    params = Params(*TYPES[name], dt=dt)
    spikes, _, _ = simulate(params, rest(name), step_of_current(dt, current, ms))
    return spikes[:, 0].nonzero()[:, 0].diff() * dt


@time_steps
def test_regular_spiking_adapts(dt: float) -> None:
    isi = intervals("RS", dt)
    assert isi[0] < 0.7 * isi[-1]
    assert (isi[-3:] - isi[-1]).abs().max() <= 2 * dt
    assert 40 < isi[-1] < 55


@time_steps
def test_intrinsically_bursting_begins_with_a_burst(dt: float) -> None:
    isi = intervals("IB", dt)
    assert (isi[:2] < 8).all()
    assert (isi[2:] > 25).all()
    assert len(isi) > 8


@time_steps
def test_chattering_repeats_its_bursts(dt: float) -> None:
    isi = intervals("CH", dt)
    pauses = isi > 20
    assert pauses.sum() >= 5
    assert ((isi < 8) | (isi > 40)).all()
    bursts = pauses.nonzero()[:, 0].diff()  # spikes of the bursts between two pauses
    assert (bursts[1:] >= 3).all()
    assert bursts[1:].max() == bursts[1:].min()


@time_steps
def test_fast_spiking_is_fast_and_does_not_adapt(dt: float) -> None:
    isi = intervals("FS", dt)
    assert isi[5:].mean() < 10
    assert isi[5:].max() - isi[5:].min() <= 1.0
    assert len(isi) > 4 * len(intervals("RS", dt))


@time_steps
def test_low_threshold_spiking_adapts_and_fires_at_weak_currents(dt: float) -> None:
    isi = intervals("LTS", dt)
    assert isi[0] < 0.35 * isi[-1]
    assert 10 < isi[-1] < 18
    weak = [len(intervals(name, dt, current=1.0, ms=1000.0)) for name in ("LTS", "RS", "FS")]
    assert weak[0] > 5
    assert weak[1:] == [0, 0]


@time_steps
def test_thalamo_cortical_fires_tonically_when_depolarised(dt: float) -> None:
    isi = intervals("TC", dt, current=1.5)
    assert len(isi) > 8
    assert (isi[3:] > 20).all()
    assert isi[3:].max() < 1.5 * isi[3:].min()


@time_steps
def test_thalamo_cortical_rebounds_after_hyperpolarisation(dt: float) -> None:
    params = Params(*TYPES["TC"], dt=dt)
    spikes, trace, state = simulate(params, rest("TC"), step_of_current(dt, -10.0, 300.0))
    assert not spikes.any()
    assert trace[-1].item() < -75
    spikes, _, _ = simulate(params, state, step_of_current(dt, 0.0, 300.0))
    times = spikes[:, 0].nonzero()[:, 0] * dt
    assert len(times) >= 3
    assert times[-1] < 80  # a burst, then silence
    assert times[1] - times[0] < 12
    assert (times.diff().diff() > 0).all()


@time_steps
def test_resonator_is_switched_by_brief_pulses(dt: float) -> None:
    """Rest and sustained firing coexist; 2 ms pulses switch to and fro; below, rest rings."""
    current, pulse_ms = 0.2, 2.0
    params, num = Params(*TYPES["RZ"], dt=dt), 60
    width, pause = round(pulse_ms / dt), round(400.0 / dt)
    small, large = 0.3, 5.0
    pulses = torch.zeros(3 * pause, num, dtype=torch.float64) + current
    pulses[:width, 0] += small
    pulses[:width, 1:] += large
    # element 1 gets one pulse, the others a second one at all phases of the cycle of about 42 ms
    for k in range(2, num):
        start = pause + round((k - 2) * 42.0 / (num - 2) / dt)
        pulses[start : start + width, k] += large
    spikes, trace, _ = simulate(params, rest("RZ", num, current), pulses)
    late = spikes[-pause:].sum(0)
    assert late[0] == 0
    ringing = (trace[: round(150 / dt), 0] - fixed_points(TYPES["RZ"][1], current)[0]).sign().diff()
    assert (ringing != 0).sum() >= 4
    assert late[1] > 5
    assert 0 < (late[2:] == 0).sum() < num - 2


@pytest.mark.parametrize("name", TYPES)
@pytest.mark.parametrize("current", [-5.0, 0.0])
def test_fixed_points(name: str, current: float) -> None:
    _, b, _, _ = TYPES[name]
    for v in fixed_points(b, current):
        assert 0.04 * v**2 + 5 * v + 140 - b * v + current == pytest.approx(0, abs=1e-9)
        state = izhikevich.initial_state(torch.zeros(1, dtype=torch.float64), v=v, b=b)
        params = Params(*TYPES[name])
        _, after = izhikevich.step(params, state, torch.full((1,), current, dtype=torch.float64))
        assert_close(after.v, state.v, rtol=0, atol=1e-10)
        assert_close(after.u, state.u, rtol=0, atol=1e-10)


def test_membrane_settles_at_the_stable_fixed_point() -> None:
    params = Params(*TYPES["RS"], dt=0.5)
    start = izhikevich.initial_state(torch.zeros(1, dtype=torch.float64), v=-60.0, b=0.2)
    _, _, state = simulate(params, start, step_of_current(0.5, 2.0, 1000.0))
    expected = fixed_points(0.2, 2.0)[0]
    assert_close(state.v, torch.tensor([expected], dtype=torch.float64), rtol=0, atol=1e-5)


def test_no_fixed_point_means_spikes() -> None:
    """The fixed points of RS vanish at I = 4 (discriminant zero)."""
    stable, unstable = fixed_points(0.2, 4 - 1e-9)
    assert stable == pytest.approx(unstable, abs=1e-3)
    assert len(intervals("RS", 0.5, current=4.2, ms=1000.0)) > 3


def test_step_matches_hand_computed_values() -> None:
    params = Params(a=0.02, b=0.2, c=-65.0, d=8.0, dt=0.5)
    state = State(*(torch.tensor([v], dtype=torch.float64) for v in (-50.0, -10.0, 0.0)))
    expected = [  # current, v, u, z
        # -50 + 0.5 (100 - 250 + 140 + 10 + 150) = 25; u = -10 + 0.5 * 0.02 * (-10 + 10) = -10
        (150.0, 25.0, -10.0, 0.0),
        # 25 + 0.5 (25 + 125 + 140 + 10 + 0) = 175; u = -10 + 0.01 (5 + 10) = -9.85
        (0.0, 175.0, -9.85, 1.0),
        # reset first: v' = -65, u' = -1.85; -65 + 0.5 (169 - 325 + 140 + 1.85) = -72.075
        # u = -1.85 + 0.01 (-13 + 1.85) = -1.9615
        (0.0, -72.075, -1.9615, 0.0),
    ]
    for current, *after in expected:
        spikes, state = izhikevich.step(params, state, torch.tensor([current], dtype=torch.float64))
        assert_close(torch.cat(state), torch.tensor(after, dtype=torch.float64))
        assert torch.equal(spikes, state.z)


def test_exactly_at_the_peak_is_no_spike() -> None:
    """Currents chosen such that the next value is 30, or a little more."""
    params = Params(dt=1.0)
    v = torch.tensor([28.0, 28.0], dtype=torch.float64)
    u = torch.zeros(2, dtype=torch.float64)
    current = 30 - v - (0.04 * v**2 + 5 * v + 140) + torch.tensor([0.0, 1e-9]).double()
    spikes, after = izhikevich.step(params, State(v, u, u), current)
    assert after.v[0] == PEAK
    assert spikes.tolist() == [0.0, 1.0]


def gradient(v: float, **options: Any) -> float:
    """dz/dv at a membrane that the step leaves at `v`, divided by dt."""
    current = torch.tensor([v + 65 - (0.04 * 65**2 - 5 * 65 + 140)], dtype=torch.float64)
    current.requires_grad_()
    state = izhikevich.initial_state(current.detach(), b=0.0)
    spikes, after = izhikevich.step(Params(), state, current, **options)
    assert after.v.item() == pytest.approx(v)
    return torch.autograd.grad(spikes, current)[0].item()


@pytest.mark.parametrize("v", [-70.0, -30.0, 0.0, 29.0, 40.0])
def test_pseudo_derivative_of_the_source(v: float) -> None:
    assert gradient(v) == pytest.approx(0.3 * math.exp((min(v, 30) - 30) / 30))


def test_gradient_through_the_reset_is_optional() -> None:
    """dv/dz = (1 + dt (0.08 v' + 5)) (c - v) - dt d, where v' = c after a spike."""
    params = Params(dt=0.5, d=8.0)
    v, u = torch.tensor([40.0], dtype=torch.float64), torch.tensor([-10.0], dtype=torch.float64)
    z = torch.ones(1, dtype=torch.float64, requires_grad=True)
    _, after = izhikevich.step(params, State(v, u, z), torch.zeros(1, dtype=torch.float64))
    expected = (1 + 0.5 * (0.08 * -65 + 5)) * (-65 - 40) - 0.5 * 8
    assert torch.autograd.grad(after.v, z)[0].item() == pytest.approx(expected)
    _, after = izhikevich.step(
        params, State(v, u, z), torch.zeros(1, dtype=torch.float64), detach_reset=True
    )
    assert not after.v.requires_grad


@pytest.mark.parametrize("v", [-120.0, -65.0, -40.0, 25.0])
def test_clipping_bounds_the_derivative_and_leaves_the_values(v: float) -> None:
    start = torch.tensor([v], dtype=torch.float64, requires_grad=True)
    state = State(start, torch.zeros_like(start), torch.zeros_like(start))
    current = torch.full_like(start, 5.0)
    _, plain = izhikevich.step(Params(dt=0.5), state, current)
    _, clipped = izhikevich.step(Params(dt=0.5), state, current, clip_jacobian=1.2)
    assert torch.equal(plain.v, clipped.v)
    (full,) = torch.autograd.grad(plain.v, start)
    (bounded,) = torch.autograd.grad(clipped.v, start)
    expected = 1 + 0.5 * (0.08 * v + 5)
    torch.testing.assert_close(full.item(), expected)
    torch.testing.assert_close(bounded.item(), min(max(expected, -1.2), 1.2))
