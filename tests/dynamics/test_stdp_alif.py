"""STDP-ALIF: the strict refractory period, its two resets, and the pseudo-derivative that makes STDP."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.testing import assert_close

from snn_neuromod.dynamics import alif, scan, stdp_alif
from snn_neuromod.dynamics.stdp_alif import Params, State
from snn_neuromod.surrogate import Psi


def trajectory(params: Params, current: Tensor, **options: Any) -> tuple[Tensor, Tensor]:
    """Spikes and membrane over time."""
    state, spikes, membrane = stdp_alif.initial_state(current[0]), [], []
    for current_t in current:
        z, state = stdp_alif.step(params, state, current_t, **options)
        spikes.append(z)
        membrane.append(state.v)
    return torch.stack(spikes), torch.stack(membrane)


def test_step_matches_hand_computed_values() -> None:
    """With delta = 2, v is reset one step after the spike, and again at the first step after the refractory period."""
    params = Params(alpha=0.5, rho=0.9, beta=0.2, v_th=1.0)
    expected = [  # current, v, a, z, held
        (1.2, 1.20, 0.000, 1.0, 0.0),
        (3.0, 3.00, 1.000, 0.0, 2.0),  # first reset; above A = 1.2, held
        (1.0, 2.50, 0.900, 0.0, 1.0),  # 1.5 + 1; above A = 1.18, held
        (0.9, 0.90, 0.810, 0.0, 0.0),  # second reset; free, A = 1.162
        (0.8, 1.25, 0.729, 1.0, 0.0),  # 0.45 + 0.8; A = 1.1458
        (0.0, 0.00, 1.6561, 0.0, 2.0),
    ]
    state = stdp_alif.initial_state(torch.zeros(1, dtype=torch.float64))
    for current, *after in expected:
        _, state = stdp_alif.step(params, state, torch.tensor([current], dtype=torch.float64))
        assert_close(torch.cat(state), torch.tensor(after, dtype=torch.float64))


@pytest.mark.parametrize("delta", [1, 2, 3, 7])
def test_one_spike_every_delta_plus_one_steps_under_strong_drive(delta: int) -> None:
    current = torch.full((60, 1), 50.0)
    spikes, _ = trajectory(Params(beta=0.0), current, refractory=delta)
    assert spikes[:, 0].nonzero()[:, 0].tolist() == list(range(0, 60, delta + 1))


@given(delta=st.integers(1, 5), seed=st.integers(0, 2**31), gain=st.floats(0.5, 20))
def test_spikes_and_resets(delta: int, seed: int, gain: float) -> None:
    """Never two spikes within delta steps; each reset at its step, never both; no membrane changes sign."""
    generator = torch.Generator().manual_seed(seed)
    current = gain * torch.randn(60, 8, generator=generator, dtype=torch.float64)
    spikes, membrane = trajectory(Params(alpha=0.9, beta=0.05), current, refractory=delta)
    assert spikes.any()
    zero = torch.zeros(delta + 1, 8, dtype=torch.float64)
    padded = torch.cat([zero, spikes])
    for lag in range(1, delta + 1):
        assert not (spikes * padded[delta + 1 - lag :][:60]).any()
    first, second = padded[delta:-1], padded[: -delta - 1]  # z[t-1], z[t-1-delta]
    assert not (first * second).any()
    carried = torch.cat([zero[:1], membrane[:-1]]) * 0.9
    assert_close(membrane - current, torch.where((first + second) > 0, 0.0, carried))


def test_an_early_second_spike_would_change_the_sign() -> None:
    """Why the period is strict: with both resets at once the factor of v is 1 - 1 - 1."""
    both = State(*(torch.tensor([v]) for v in (2.0, 0.0, 1.0, 1.0)))
    _, after = stdp_alif.step(Params(alpha=0.5), both, torch.zeros(1), refractory=2)
    assert after.v.item() == -1.0


def test_the_counter_knows_the_spike_of_the_second_reset() -> None:
    """held[t-1] = 1 exactly where z[t-1-delta] = 1."""
    current = 2 * torch.randn(80, 6, dtype=torch.float64)
    state, spikes, held = stdp_alif.initial_state(current[0]), [], []
    for current_t in current:
        z, state = stdp_alif.step(Params(), state, current_t, refractory=3)
        spikes.append(z)
        held.append(state.held)
    assert torch.equal(torch.stack(held)[3:] == 1, torch.stack(spikes)[:-3] == 1)
    assert torch.stack(spikes).sum() > 20


def test_default_pseudo_derivative() -> None:
    """-gamma while refractory, else gamma max(0, 1 - |v - A| / v_th), not divided by v_th."""
    params = Params(alpha=0.5, rho=0.9, beta=0.4, v_th=0.5)
    current = torch.tensor([[0.6], [0.3], [0.2], [0.7]], dtype=torch.float64, requires_grad=True)
    spikes, _ = scan(
        stdp_alif.step, params, stdp_alif.initial_state(current[0].detach()), current, refractory=2
    )
    assert spikes[:, 0].tolist() == [1.0, 0.0, 0.0, 0.0]
    own = [
        torch.autograd.grad(z, current, retain_graph=True)[0][t].item()
        for t, z in enumerate(spikes)
    ]
    # A at the last step is 0.5 + 0.4 * 0.81; v = 0.7 after the second reset
    last = 0.3 * (1 - abs(0.7 - 0.5 - 0.4 * 0.81) / 0.5)
    assert own == pytest.approx([0.3 * (1 - 0.1 / 0.5), -0.3, -0.3, last])


def test_stdp_of_the_eligibility_trace() -> None:
    """A presynaptic spike before the postsynaptic one counts for the synapse, one just after it against it."""
    params = Params(alpha=0.8, rho=0.9, beta=0.0)
    signs = []
    for pre in (2, 5):  # the neuron fires at step 4 by a current of its own
        w = torch.zeros(1, dtype=torch.float64, requires_grad=True)
        drive = torch.zeros(12, 1, dtype=torch.float64)
        drive[4] = 1.5
        presynaptic = torch.zeros(12, 1, dtype=torch.float64)
        presynaptic[pre] = 1.0
        state = stdp_alif.initial_state(drive[0])
        spikes, _ = scan(
            stdp_alif.step, params, state, drive + w * presynaptic, refractory=2, detach_reset=True
        )
        assert spikes[:, 0].nonzero().item() == 4
        # the trace summed over the time about the spike
        signs.append(torch.autograd.grad(spikes[4:8].sum(), w)[0].item())
    assert signs[0] > 0 > signs[1]


def test_it_is_an_alif_while_silent() -> None:
    current = torch.full((50, 1), 0.04, dtype=torch.float64)
    _, state = scan(stdp_alif.step, Params(), stdp_alif.initial_state(current[0]), current)
    _, expected = scan(alif.step, Params(), alif.initial_state(current[0]), current)
    assert all(map(torch.equal, state, expected))
    assert state.v > 0


@pytest.mark.parametrize("detach_reset", [False, True])
def test_gradient_through_the_reset(detach_reset: bool) -> None:
    """dv/dz = -alpha v from the spike of the step before, none from the second reset."""
    z = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    v, zero = torch.tensor([0.6], dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
    _, after = stdp_alif.step(
        Params(alpha=0.5), State(v, zero, z, zero), zero, detach_reset=detach_reset
    )
    if detach_reset:
        assert not after.v.requires_grad
    else:
        assert torch.autograd.grad(after.v, z)[0].item() == pytest.approx(-0.3)


def test_the_spike_function_may_be_scaled() -> None:
    current = torch.tensor([[0.4]], dtype=torch.float64, requires_grad=True)
    psi = Psi(scale="threshold", refractory=-1.0)
    state = stdp_alif.initial_state(current[0].detach())
    spikes, _ = scan(stdp_alif.step, Params(v_th=0.5), state, current, spike_fn=psi)
    assert torch.autograd.grad(spikes.sum(), current)[0].item() == pytest.approx(0.3 * 0.8 / 0.5)
