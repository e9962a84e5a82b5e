"""ALIF against hand-computed tables and closed forms of adaptation, interspike interval and refractory period."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.testing import assert_close

from snn_neuromod.dynamics import alif, scan
from snn_neuromod.dynamics.alif import Params, State
from snn_neuromod.surrogate import Psi


def run(params: Params, current: Tensor, **options: Any) -> tuple[Tensor, State]:
    return scan(alif.step, params, alif.initial_state(current[0]), current, **options)


def constant(value: float, num_steps: int) -> Tensor:
    return torch.full((num_steps, 1), value, dtype=torch.float64)


def spike_times(spikes: Tensor) -> list[int]:
    return spikes[:, 0].nonzero()[:, 0].tolist()


TABLES = {  # current: 1.2, 1.2, 1.2, 0, 1.2; alpha 0.5, rho 0.9, beta 0.2, v_th 1; rows v, a, z
    "subtract": [
        (1.20, 0.000, 1.0),  # A = 1
        (0.80, 1.000, 0.0),  # 0.6 + 1.2 - 1; A = 1.2
        (1.60, 0.900, 1.0),  # A = 1.18
        (-0.20, 1.810, 0.0),  # 0.8 + 0 - 1
        (1.10, 1.629, 0.0),  # A = 1.3258
    ],
    "zero": [
        (1.20, 0.000, 1.0),
        (1.20, 1.000, 0.0),  # 0 + 1.2: on its threshold of 1.2, silent
        (1.80, 0.900, 1.0),
        (0.00, 1.810, 0.0),
        (1.20, 1.629, 0.0),
    ],
    "none": [
        (1.20, 0.000, 1.0),
        (1.80, 1.000, 1.0),
        (2.10, 1.900, 1.0),  # A = 1.38
        (1.05, 2.710, 0.0),
        (1.725, 2.439, 1.0),  # A = 1.4878
    ],
}


@pytest.mark.parametrize("reset", TABLES)
def test_step_matches_hand_computed_values(reset: alif.Reset) -> None:
    params, state = Params(0.5, 0.9, 0.2, 1.0), alif.initial_state(torch.zeros(1).double())
    for current, after in zip([1.2, 1.2, 1.2, 0.0, 1.2], TABLES[reset], strict=True):
        spikes, state = alif.step(
            params, state, torch.tensor([current], dtype=torch.float64), reset=reset
        )
        assert_close(torch.cat(state[:3]), torch.tensor(after, dtype=torch.float64))
        assert torch.equal(spikes, state.z)


def test_neuron_on_its_threshold_stays_silent() -> None:
    current = torch.tensor([[1.0, math.nextafter(1.0, 2.0)]], dtype=torch.float64)
    assert run(Params(v_th=1.0), current)[0].tolist() == [[0.0, 1.0]]


def test_subthreshold_membrane_follows_the_closed_form() -> None:
    """v_t = I (1 - alpha^t) / (1 - alpha)."""
    params, current = Params(alpha=0.95, v_th=10.0), constant(0.4, 300)
    for num_steps in (1, 7, 300):
        _, state = run(params, current[:num_steps])
        expected = 0.4 * (1 - 0.95**num_steps) / 0.05
        assert_close(state.v, torch.tensor([expected], dtype=torch.float64))


@given(times=st.lists(st.integers(0, 60), min_size=1, max_size=12, unique=True))
def test_adaptation_is_the_sum_of_decayed_spikes(times: list[int]) -> None:
    """a_t = sum over spikes s < t of rho^(t - 1 - s), and A = v_th + beta a, after spikes at known times."""
    params = Params(alpha=0.0, rho=0.93, beta=0.7, v_th=1.0)
    current = constant(0.0, 61)
    current[times] = 1e3
    spikes, state = run(params, current)
    assert spike_times(spikes) == sorted(times)
    expected = sum(0.93 ** (60 - 1 - s) for s in times if s < 60)
    assert_close(state.a, torch.tensor([expected], dtype=torch.float64))
    assert_close(alif.threshold(params, state.a), 1.0 + 0.7 * state.a)


@pytest.mark.parametrize("beta", [0.3, 1.0])
def test_adapting_spike_times_in_closed_form(beta: float) -> None:
    """No membrane memory: after a spike at adaptation a, the first n with v_th + beta rho^(n-1) (rho a + 1) < I."""
    rho, v_th, current = 0.97, 1.0, 1.5
    spikes, _ = run(Params(0.0, rho, beta, v_th), constant(current, 400), reset="none")
    expected, a = [0], 0.0
    while expected[-1] < 400:
        room = math.log((current - v_th) / (beta * (rho * a + 1))) / math.log(rho)
        n = max(1, math.floor(room) + 2)
        a = rho ** (n - 1) * (rho * a + 1)
        expected.append(expected[-1] + n)
    assert spike_times(spikes) == expected[:-1]
    assert expected[-1] - expected[-2] > expected[1]  # it adapts


@pytest.mark.parametrize("current", [0.06, 0.09, 0.35, 1.2])
@pytest.mark.parametrize("alpha", [0.9, 0.95])
def test_interspike_interval_of_the_lif_with_reset_to_zero(alpha: float, current: float) -> None:
    """The first n with I (1 - alpha^n) / (1 - alpha) > v_th, for ever."""
    spikes, _ = run(Params(alpha=alpha, beta=0.0), constant(current, 400), reset="zero")
    times = spike_times(spikes)
    if current / (1 - alpha) <= 1.0:
        assert times == []
        return
    n = math.floor(math.log(1 - (1 - alpha) / current) / math.log(alpha)) + 1 if current <= 1 else 1
    assert times == list(range(n - 1, 400, n))


@pytest.mark.parametrize("current", [0.1, 0.23, 0.5, 0.77])
def test_rate_of_the_lif_with_reset_by_subtraction(current: float) -> None:
    """Every spike takes v_th off: sum of I = (1 - alpha) sum of v + v_th (number of spikes) + what is left.

    Without a leak the number of spikes is I T / v_th, to one spike.
    """
    spikes, _ = run(Params(alpha=1.0, beta=0.0, v_th=0.8), constant(current, 500))
    assert abs(spikes.sum().item() - 500 * current / 0.8) <= 1
    isi = torch.tensor(spike_times(spikes)).diff()
    assert isi.max() - isi.min() <= 1


def test_subtracting_keeps_what_is_above_the_threshold_and_zeroing_does_not() -> None:
    """The same drive, a leak: subtraction fires faster."""
    params, current = Params(alpha=0.9, beta=0.0), constant(0.7, 300)
    counts = [run(params, current, reset=r)[0].sum().item() for r in ("none", "subtract", "zero")]
    assert counts[0] > counts[1] > counts[2] > 50


@pytest.mark.parametrize("refractory", [0, 1, 2, 5])
@pytest.mark.parametrize("reset", ["subtract", "zero", "none"])
def test_refractory_period_under_strong_drive(refractory: int, reset: alif.Reset) -> None:
    """Spikes at t are followed by silence at t + 1 to t + delta: one spike every delta + 1 steps."""
    params = Params(alpha=0.9, beta=0.0)
    spikes, _ = run(params, constant(5.0, 60), refractory=refractory, reset=reset)
    assert spike_times(spikes) == list(range(0, 60, refractory + 1))


def test_refractory_counter_runs_down() -> None:
    params, state, held = Params(alpha=0.0, beta=0.0), alif.initial_state(torch.zeros(1)), []
    for current in (2.0, 2.0, 2.0, 2.0, 2.0, 0.0, 0.0):
        _, state = alif.step(params, state, torch.tensor([current]), refractory=3)
        held.append(state.held.item())
    assert held == [0, 3, 2, 1, 0, 3, 2]


def test_membrane_and_adaptation_go_on_while_refractory() -> None:
    params = Params(alpha=0.5, rho=0.9, beta=0.2)
    current = torch.tensor([[3.0], [1.0], [0.5]], dtype=torch.float64)
    _, state = run(params, current, refractory=2)
    # v: 3; 1.5 + 1 - 1; 0.75 + 0.5.  a: 0; 1; 0.9
    assert_close(torch.cat(state[:2]), torch.tensor([1.25, 0.9], dtype=torch.float64))
    assert state.held.item() == 1


def test_beta_zero_is_the_lif() -> None:
    current = torch.rand(100, 3, dtype=torch.float64)
    spikes, _ = run(Params(alpha=0.8, beta=0.0), current)
    v, z = torch.zeros(3).double(), torch.zeros(3).double()
    for current_t, spikes_t in zip(current, spikes, strict=True):
        v = 0.8 * v + current_t - z
        z = (v > 1).double()
        assert torch.equal(spikes_t, z)
    assert spikes.sum() > 10


def test_rate_falls_with_adaptation_strength() -> None:
    current = torch.full((500, 1), 0.3)
    rates = [run(Params(beta=beta), current)[0].mean().item() for beta in (0.0, 0.2, 1.0)]
    assert rates[0] > rates[1] > rates[2] > 0


def test_default_constants_are_those_of_their_time_constants() -> None:
    assert Params().alpha == pytest.approx(math.exp(-1 / 20), rel=1e-14)
    assert Params().rho == pytest.approx(math.exp(-1 / 200), rel=1e-14)


@pytest.mark.parametrize("detach_reset", [False, True])
def test_gradient_through_time_by_hand(detach_reset: bool) -> None:
    """dz_1/dI_0 with reset "subtract": psi_1 (alpha - [v_th psi_0] - beta psi_0); psi triangular, 1/v_th."""
    params = Params(alpha=0.8, rho=0.9, beta=0.4, v_th=0.5)
    current = torch.tensor([[0.6], [0.55]], dtype=torch.float64, requires_grad=True)
    spikes, _ = run(params, current, detach_reset=detach_reset)
    assert spikes[0].item() == 1.0
    psi_0 = 0.3 / 0.5 * (1 - abs(0.6 - 0.5) / 0.5)
    v_1, a_1 = 0.8 * 0.6 + 0.55 - 0.5, 1.0
    psi_1 = 0.3 / 0.5 * (1 - abs(v_1 - 0.5 - 0.4 * a_1) / 0.5)
    (grad,) = torch.autograd.grad(spikes[1], current)
    through_reset = 0.0 if detach_reset else 0.5 * psi_0
    assert grad[0].item() == pytest.approx(psi_1 * (0.8 - through_reset - 0.4 * psi_0))
    assert grad[1].item() == pytest.approx(psi_1)


def test_pseudo_derivative_while_refractory() -> None:
    """0 by default, so that a refractory neuron learns nothing; -gamma / v_th on request."""
    params, current = Params(alpha=0.5, beta=0.0), torch.tensor([[2.0], [1.0]], dtype=torch.float64)
    for psi, expected in ((Psi(), 0.0), (Psi(refractory=-1.0), -0.3)):
        leaf = current.clone().requires_grad_()
        spikes, _ = run(params, leaf, refractory=1, spike_fn=psi, detach_reset=True)
        (grad,) = torch.autograd.grad(spikes[1], leaf)
        assert spikes[1].item() == 0
        assert grad[1].item() == pytest.approx(expected)


def test_unknown_reset() -> None:
    state = alif.initial_state(torch.zeros(1))
    with pytest.raises(ValueError, match="reset must be one of subtract, zero, none, got 'hard'"):
        alif.step(Params(), state, torch.zeros(1), reset="hard")  # type: ignore[arg-type]
