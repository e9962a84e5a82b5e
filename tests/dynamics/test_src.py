"""SRC against a hand-computed table, the single-cell figures of its source and hand-derived gradients."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from snn_neuromod.dynamics import scan, src
from snn_neuromod.surrogate import straight_through_relu
from tests.helpers import spike_counts

DIRECT = src.Params(alpha=0.0, rho=math.inf)


def steady(params: src.Params, current: Tensor, num_steps: int, discard: int = 0) -> Tensor:
    """Spikes per step under constant current, one neuron per element."""
    initial = src.initial_state(current)
    return spike_counts(src.step, params, initial, current.expand(num_steps, -1), discard) / (
        num_steps - discard
    )


def test_step_matches_hand_computed_values() -> None:
    """One neuron, a step up, down and up again; values computed with six digits from the equations."""
    params = src.Params(alpha=0.5, rho=2.0, r=2.0, r_s=-3.0, z=0.25, z_hyp=0.8, z_dep=0.2, b=-0.5)
    state = src.State(*(torch.tensor([v], dtype=torch.float64) for v in (0.4, 0.5, -0.2)))
    expected = [  # current, i, h, h_s
        # x = 2 tanh(0.6) = 1.074099; a = x + 1 + 0.6 - 0.5 = 2.174099; tanh a = 0.974470; z_s = 0.5
        (1.0, 1.2, 0.855852, 0.15),
        # x = 2 tanh(-0.2) = -0.394751; a = x + 1.711705 - 0.45 - 0.5 = 0.366954; tanh a = 0.351325
        # z_s = 0.8 - 0.6 sigmoid(3.558523) = 0.216615; h_s = z_s 0.15 + (1 - z_s) 0.855852
        (-1.0, -0.4, 0.477457, 0.702954),
        # x = 2 tanh(0.9) = 1.432596; a = x + 0.954914 - 2.108863 - 0.5 = -0.221353; tanh a = -0.217807
        # z_s = 0.8 - 0.6 sigmoid(-0.225431) = 0.533672; h_s = z_s 0.702954 + (1 - z_s) 0.477457
        (2.0, 1.8, -0.043991, 0.597798),
    ]
    for current, *after in expected:
        spikes, state = src.step(params, state, torch.tensor([current], dtype=torch.float64))
        assert_close(torch.cat(state), torch.tensor(after, dtype=torch.float64), rtol=0, atol=2e-6)
        assert spikes.item() == max(0.0, state.h.item())


@pytest.mark.parametrize(("current", "rate"), [(1.6, 0.0228), (2.0, 0.0432), (3.0, 0.0508)])
def test_rates_of_the_source(current: float, rate: float) -> None:
    """Spikes per step, spike: h > 0.5; within 5 %."""
    x = torch.tensor([current], dtype=torch.float64)
    assert steady(DIRECT, x, 3000).item() == pytest.approx(rate, rel=0.05)


def test_silent_below_its_threshold() -> None:
    x = torch.tensor([0.0, 1.5, 1.6], dtype=torch.float64)
    assert (steady(DIRECT, x, 4000) > 0).tolist() == [False, False, True]


def test_spontaneous_firing_begins_between_two_biases() -> None:
    b = torch.tensor([-6.0, -4.6, -4.4, -4.0], dtype=torch.float64)
    rates = steady(DIRECT._replace(b=b), torch.zeros_like(b), 4000)
    assert (rates > 0).tolist() == [False, False, True, True]


def test_rate_grows_with_the_current() -> None:
    x = torch.tensor([1.6, 1.8, 2.0, 2.5, 3.0], dtype=torch.float64)
    assert (steady(DIRECT, x, 4000, 500).diff() > 0).all()


def test_no_bound_and_no_synapse_feed_the_current_into_the_tanh() -> None:
    current = torch.randn(5, dtype=torch.float64)
    state = src.State(*torch.randn(3, 5, dtype=torch.float64).tanh())
    _, after = src.step(DIRECT, state, current)
    assert torch.equal(after.h, torch.tanh(current + 2.0 * state.h - 7.0 * state.h_s - 6.0))
    assert torch.equal(after.i, current)


def test_bound_of_the_drive_as_number_and_per_neuron() -> None:
    i = torch.tensor([5.0, 5.0, -5.0], dtype=torch.float64, requires_grad=True)
    rho = torch.tensor([2.0, math.inf, 3.0], dtype=torch.float64, requires_grad=True)
    x = src.drive(rho, i)
    expected = [2 * math.tanh(2.5), 5.0, 3 * math.tanh(-5 / 3)]
    assert_close(x, torch.tensor(expected, dtype=torch.float64))
    assert_close(src.drive(2.0, i[0]), x[0])
    assert torch.equal(src.drive(math.inf, i), i)
    assert torch.equal(src.drive(torch.tensor(math.inf, dtype=torch.float64), i), i)
    d_i, d_rho = torch.autograd.grad(x.sum(), (i, rho))
    t = torch.tanh(torch.tensor([2.5, 0.0, -5 / 3], dtype=torch.float64))
    finite = torch.tensor([1.0, 0.0, 1.0], dtype=torch.float64)
    assert_close(d_i, torch.where(finite > 0, 1 - t**2, 1.0))
    assert_close(d_rho, finite * (t - i.detach() / rho.detach().nan_to_num(posinf=1) * (1 - t**2)))


def test_start_of_the_membrane() -> None:
    h = torch.tensor([-0.7, -0.1])
    state = src.initial_state(torch.zeros(4, 2), h=h)
    assert torch.equal(state.h, h.expand(4, 2))
    assert torch.equal(state.h_s, state.h)
    assert state.h.data_ptr() != state.h_s.data_ptr()
    assert not state.i.any()
    assert -0.7 < src.initial_state(torch.zeros(1)).h.item() < -0.1


def test_gradient_of_the_source() -> None:
    """Detached recurrence, identity through the ReLU: all that is left is the synapse.

    dh_t/dI_s = (1 - z)(1 - tanh^2 a_t)(1 - tanh^2(i_t / rho)) alpha^(t - s), also where the output is 0.
    """
    params = src.Params(alpha=0.6, rho=2.0, z=0.2, b=-4.5)
    current = (2 + torch.randn(30, 4, dtype=torch.float64)).requires_grad_()
    state = src.initial_state(current[0].detach())
    weights = torch.randn(30, 4, dtype=torch.float64)
    spikes, _ = scan(
        src.step, params, state, current,
        spike_fn=straight_through_relu, detach_recurrence=True,
    )  # fmt: skip
    (got,) = torch.autograd.grad((weights * spikes).sum(), current)

    expected = torch.zeros_like(current)
    with torch.no_grad():
        for t in range(30):
            before, (_, state) = state, src.step(params, state, current[t])
            tanh_a = (state.h - params.z * before.h) / (1 - params.z)
            slope = (1 - params.z) * (1 - tanh_a**2) * (1 - torch.tanh(state.i / params.rho) ** 2)
            for s in range(t + 1):
                expected[s] += weights[t] * slope * params.alpha ** (t - s)
    assert_close(got, expected, rtol=1e-10, atol=1e-12)
    assert ((spikes > 0.5).any(0) & (spikes == 0).any(0)).all()


@pytest.mark.parametrize(
    ("detach_recurrence", "straight_through"), [(True, False), (False, True), (False, False)]
)
def test_each_gradient_option_changes_the_gradient_and_not_the_spikes(
    detach_recurrence: bool, straight_through: bool
) -> None:
    params = src.Params(alpha=0.6, b=-4.5)
    current = (2 + torch.randn(30, 4, dtype=torch.float64)).requires_grad_()
    state = src.initial_state(current[0].detach())

    def run(detach: bool, straight: bool) -> tuple[Tensor, Tensor]:
        spike_fn = straight_through_relu if straight else torch.relu
        spikes, _ = scan(
            src.step, params, state, current, spike_fn=spike_fn, detach_recurrence=detach
        )
        return spikes, torch.autograd.grad(spikes.sum(), current)[0]

    source, other = run(True, True), run(detach_recurrence, straight_through)
    assert torch.equal(source[0], other[0])
    assert (source[0] > 0.5).any(0).all()
    assert (source[1] - other[1]).norm() > 0.05 * source[1].norm()


def test_slow_gate_switches_at_half() -> None:
    gate = src.slow_gate(0.9, 0.1, torch.tensor([-1.0, 0.5, 2.0], dtype=torch.float64))
    assert_close(gate, torch.tensor([0.9, 0.5, 0.1], dtype=torch.float64), rtol=0, atol=1e-5)
