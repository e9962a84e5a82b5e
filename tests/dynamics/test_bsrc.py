"""BSRC: the burst of the thesis summary, where it is tonic and silent, and what the added offset does.

`x` drives the membrane directly (no synapse, no bound). Steps before `DISCARD` are transients.
"""

from __future__ import annotations

import math
from functools import cache
from typing import NamedTuple

import pytest
import torch
from torch.testing import assert_close

from snn_neuromod.dynamics import bsrc, msrc, scan, src
from tests.helpers import membrane

DIRECT = bsrc.Params(alpha=0.0, rho=math.inf)
DISCARD, NUM_STEPS = 2500, 8000
PAUSE = 100  # two spikes further apart than this belong to different bursts
OVER_X = [-0.5, -0.2, 0.0, 0.2, 0.5, 0.7, 1.0, 2.0]
OVER_H_S0 = [0.3, 0.4, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.9, 1.0, 1.2, 1.5]
OVER_H_U0 = [0.0, 0.45, 0.5, 0.53, 0.55, 0.6, 0.64, 0.66, 0.7, 0.8]


class Pattern(NamedTuple):
    """Spikes of one neuron: those of each complete burst, pauses, periods, intervals within bursts."""

    spikes: int
    bursts: list[int]
    pauses: list[int]
    periods: list[int]
    intervals: list[int]

    @property
    def kind(self) -> str:
        if self.spikes == 0:
            return "silent"
        return "bursts" if self.pauses else "tonic"


@cache
def patterns() -> dict[tuple[str, float], Pattern]:
    """All three sweeps in one run."""
    keys = (
        [("x", v) for v in OVER_X]
        + [("h_s0", v) for v in OVER_H_S0]
        + [("h_u0", v) for v in OVER_H_U0]
    )

    def values(name: str, default: float) -> torch.Tensor:
        return torch.tensor([v if n == name else default for n, v in keys], dtype=torch.float64)

    x = values("x", 0.0)
    params = DIRECT._replace(h_s0=values("h_s0", 0.7), h_u0=values("h_u0", 0.55))
    trace, _ = membrane(bsrc.step, params, bsrc.initial_state(x), x.expand(NUM_STEPS, -1))
    return {key: describe(trace[DISCARD:, k]) for k, key in enumerate(keys)}


def describe(trace: torch.Tensor) -> Pattern:
    spiking = trace > 0.5
    times = (spiking[1:] & ~spiking[:-1]).nonzero()[:, 0]
    gaps = times.diff()
    ends = (gaps > PAUSE).nonzero()[:, 0]
    within = gaps[gaps <= PAUSE]
    return Pattern(
        len(times),
        ends.diff().tolist(),
        gaps[ends].tolist(),
        times[ends + 1].diff().tolist(),
        within.tolist(),
    )


def test_the_burst_without_input() -> None:
    """About 20 spikes, 22 to 25 steps apart at first, then a gap of about 300, period about 790."""
    pattern = patterns()["x", 0.0]
    assert len(pattern.bursts) >= 4
    assert all(18 <= spikes <= 22 for spikes in pattern.bursts)
    assert all(285 <= pause <= 315 for pause in pattern.pauses)
    assert all(770 <= period <= 810 for period in pattern.periods)
    # the first half of a burst at that pace, then intervals widen to 33 steps
    intervals = sorted(pattern.intervals)
    assert intervals[0] == 22
    assert intervals[len(intervals) // 2] <= 25
    assert intervals[-1] <= 35


@pytest.mark.parametrize("x", OVER_X)
def test_bursts_at_small_currents_and_tonic_above(x: float) -> None:
    assert patterns()["x", x].kind == ("bursts" if x <= 0.2 else "tonic")


@pytest.mark.parametrize("h_s0", OVER_H_S0)
def test_the_modulation_sets_the_pattern(h_s0: float) -> None:
    spiking = "bursts" if h_s0 <= 0.75 else "tonic"
    expected = spiking if 0.4 < h_s0 < 1.2 else "silent"
    assert patterns()["h_s0", h_s0].kind == expected


def test_bursts_at_the_lower_end_of_the_modulation() -> None:
    """At h_s0 = 0.5 a pause alone lasts 2000 steps."""
    params = DIRECT._replace(h_s0=0.5)
    x = torch.zeros(1, dtype=torch.float64)
    trace, _ = membrane(bsrc.step, params, bsrc.initial_state(x), x.expand(NUM_STEPS, -1))
    pattern = describe(trace[:, 0])
    assert pattern.kind == "bursts"
    assert len(pattern.intervals) > 10 * len(pattern.pauses)


@pytest.mark.parametrize("h_u0", OVER_H_U0)
def test_bursting_needs_the_offset(h_u0: float) -> None:
    """Without it (h_u0 = 0) the obvious r_u h_u fires tonically; above about 0.64 the cell is silent."""
    spiking = "bursts" if h_u0 >= 0.53 else "tonic"
    expected = spiking if h_u0 <= 0.64 else "silent"
    assert patterns()["h_u0", h_u0].kind == expected


def test_the_ultra_slow_variable_over_a_cycle() -> None:
    """The range that the docstring of `initial_state` states."""
    x = torch.zeros(1, dtype=torch.float64)
    state, trace = bsrc.initial_state(x), []
    for _ in range(5000):
        _, state = bsrc.step(DIRECT, state, x)
        trace.append(state.h_u.item())
    assert min(trace[2500:]) == pytest.approx(-0.84, abs=0.006)
    assert max(trace[2500:]) == pytest.approx(-0.80, abs=0.006)


def test_a_burst_begins_at_once() -> None:
    x = torch.zeros(1, dtype=torch.float64)
    trace, _ = membrane(bsrc.step, bsrc.Params(), bsrc.initial_state(x), x.expand(100, -1))
    assert describe(trace[:, 0]).spikes >= 2


def test_without_the_ultra_slow_feedback_it_is_the_msrc() -> None:
    shared = {"alpha": 0.5, "z": 0.1, "b": 0.2, "h_s0": 0.8}
    current = 1.5 + torch.randn(60, 2, 3, dtype=torch.float64)
    expected, _ = scan(msrc.step, msrc.Params(**shared), msrc.initial_state(current[0]), current)
    params = bsrc.Params(**shared, r_u=0.0)
    spikes, _ = scan(bsrc.step, params, bsrc.initial_state(current[0]), current)
    assert torch.equal(spikes, expected)
    assert (spikes > 0.5).any()


def test_the_ultra_slow_variable_by_hand() -> None:
    params = bsrc.Params(alpha=0.0, rho=math.inf, z_u=0.75, r_u=-2.0, h_u0=0.5, h_s0=0.6, b=0.1)
    values = [torch.tensor([v], dtype=torch.float64) for v in (0.0, 0.4, -0.2, -0.8)]
    _, state = bsrc.step(params, bsrc.State(*values), torch.tensor([0.3], dtype=torch.float64))
    # 0.3 + 4 * 0.4 - 7 * 0.4^2 - 2 * (-0.8 + 0.5) + 0.1 = 1.48; h_u = 0.75 * -0.8 + 0.25 * 0.4
    assert_close(state.h, torch.tensor([math.tanh(1.48)], dtype=torch.float64))
    assert_close(state.h_u, torch.tensor([-0.5], dtype=torch.float64))


def test_detached_recurrence_leaves_the_synapse_only() -> None:
    params = bsrc.Params(alpha=0.5, z_u=0.9)
    current = torch.randn(20, 3, dtype=torch.float64).requires_grad_()
    state = bsrc.State(
        *(torch.randn(3, dtype=torch.float64).tanh().requires_grad_() for _ in range(4))
    )
    _, last = scan(bsrc.step, params, state, current, detach_recurrence=True)
    grads = torch.autograd.grad(last.h.sum(), (current, *state), allow_unused=True)
    slope = (1 - last.h**2) * (1 - src.drive(3.0, last.i).div(3.0) ** 2)
    decay = 0.5 ** torch.arange(19, -1, -1, dtype=torch.float64)
    assert_close(grads[0], slope * decay[:, None])
    assert_close(grads[1], slope * 0.5**20)
    assert grads[2:] == (None, None, None)
