"""mSRC: the regimes of the thesis summary, the table of the reconstruction, and the saddle-node in closed form.

The membrane is driven directly (no synapse, no bound), as in the single-cell figures of the thesis.
"""

from __future__ import annotations

import math
from functools import cache

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from snn_neuromod.dynamics import msrc, src
from tests.helpers import membrane, spike_counts

DIRECT = msrc.Params(alpha=0.0, rho=math.inf)
TABLE = {  # h_s0: onset from rest, onset from spiking, rate at onset (spikes per step)
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
SADDLE_NODES = {0.8: 2.198, 0.7: 2.432, 0.6: 2.831, 0.5: 3.386, 0.4: 4.091}
FIRST_SPIKES = {
    3.4: 172,
    3.5: 42,
    3.6: 24,
}  # current: 0-based step of the first h > 0.5, h_s0 = 0.5
GRID = torch.arange(100, 261, dtype=torch.float64) * 0.02
MODULATIONS = torch.tensor(list(TABLE), dtype=torch.float64)
WARM_UP, COUNTED = 1000, 1000


@cache
def fi_curves(z_hyp: float = 0.9) -> tuple[Tensor, Tensor]:
    """Spikes per step over (h_s0, current) in the long run: from rest, and from spiking at the top current."""
    h_s0, current = torch.meshgrid(MODULATIONS, GRID, indexing="ij")
    params = DIRECT._replace(h_s0=h_s0, z_hyp=z_hyp)
    top = torch.full_like(current, GRID[-1].item())
    spiking = membrane(msrc.step, params, msrc.initial_state(top), top.expand(300, -1, -1))[1]
    return tuple(
        spike_counts(
            msrc.step, params, state, current.expand(WARM_UP + COUNTED, -1, -1), WARM_UP
        ) / COUNTED
        for state in (msrc.initial_state(current), spiking)
    )  # type: ignore[return-value]  # fmt: skip


def onset(rates: Tensor) -> float:
    """Lowest current of the grid from which on every one makes the neuron spike."""
    silent = (rates == 0).nonzero()
    return GRID[int(silent.max()) + 1].item() if len(silent) else GRID[0].item()


@pytest.mark.parametrize("h_s0", TABLE)
def test_onsets_and_rates_of_the_table(h_s0: float) -> None:
    up, down, rate = TABLE[h_s0]
    from_rest, from_spiking = (curve[list(TABLE).index(h_s0)] for curve in fi_curves())
    assert onset(from_rest) == pytest.approx(up, abs=0.02 + 1e-9)
    assert onset(from_spiking) == pytest.approx(down, abs=0.02 + 1e-9)
    at_onset = from_rest[from_rest > 0][0].item()
    assert at_onset == pytest.approx(rate, rel=0.05, abs=1 / COUNTED)


def test_hysteresis_grows_as_the_modulation_falls_below_type_1() -> None:
    from_rest, from_spiking = fi_curves()
    width = [onset(up) - onset(down) for up, down in zip(from_rest, from_spiking, strict=True)]
    assert width[:4] == pytest.approx([0.0] * 4, abs=1e-9)
    assert width[4:] == pytest.approx([0.02, 0.24, 0.60, 1.14, 1.80], abs=0.02 + 1e-9)


def test_the_jump_of_the_fi_curve_is_smallest_at_type_1() -> None:
    jumps = [curve[curve > 0][0].item() for curve in fi_curves()[0]]
    assert list(TABLE)[jumps.index(min(jumps))] == 0.9


@pytest.mark.parametrize(
    ("h_s0", "silent", "spiking"),
    [
        pytest.param(1.5, [0.0], [5.0, 8.0], id="type 2"),
        pytest.param(0.9, [0.0, 2.15], [2.3], id="type 1"),
        pytest.param(0.5, [0.0, 3.0, 2.5], [3.6], id="type 2*"),
    ],
)
def test_regimes_from_rest(h_s0: float, silent: list[float], spiking: list[float]) -> None:
    current = torch.tensor(silent + spiking, dtype=torch.float64)
    params = DIRECT._replace(h_s0=h_s0)
    spikes = spike_counts(msrc.step, params, msrc.initial_state(current), current.expand(2000, -1))
    assert (spikes[: len(silent)] == 0).all()
    assert (spikes[len(silent) :] > 20).all()


def test_type_2_star_goes_on_spiking_where_it_would_not_have_begun() -> None:
    """3.6 spikes after a delay; back at 2.5 it still spikes, though from rest it does not."""
    params = DIRECT._replace(h_s0=0.5)
    rest = msrc.initial_state(torch.zeros(1, dtype=torch.float64))
    strong, weak = torch.full((400, 1), 3.6).double(), torch.full((4000, 1), 2.5).double()
    assert spike_counts(msrc.step, params, rest, weak).item() == 0
    trace, state = membrane(msrc.step, params, rest, strong)
    assert (trace > 0.5).any()
    assert spike_counts(msrc.step, params, state, weak, discard=3000).item() > 20


def test_first_spikes() -> None:
    current = torch.tensor(list(FIRST_SPIKES), dtype=torch.float64)
    params = DIRECT._replace(h_s0=0.5)
    trace, _ = membrane(msrc.step, params, msrc.initial_state(current), current.expand(200, -1))
    first = (trace > 0.5).int().argmax(0)
    assert first.tolist() == list(FIRST_SPIKES.values())


def test_the_delay_belongs_to_type_2_star() -> None:
    """0.2 above onset, type 1 and 2* wait for their first spike, type 2 fires at once."""
    h_s0 = torch.tensor([1.5, 0.9, 0.5], dtype=torch.float64)
    current = torch.tensor([4.92, 2.16, 3.40], dtype=torch.float64) + 0.2
    params = DIRECT._replace(h_s0=h_s0)
    trace, _ = membrane(msrc.step, params, msrc.initial_state(current), current.expand(200, -1))
    first = (trace > 0.5).int().argmax(0)
    assert first[2] > 5 * first[0] > 0


def fixed_point_current(h: Tensor, h_s0: float) -> Tensor:
    """Current whose fixed point is h = h_s: I = atanh(h) - r h - r_s (h + h_s0)^2."""
    return torch.atanh(h) - DIRECT.r * h - DIRECT.r_s * (h + h_s0) ** 2


def local_maximum(h_s0: float) -> float | None:
    """Highest current of the branch of rest: where it meets the saddle, or None where I(h) only grows."""
    h = torch.linspace(-0.999999, 0.0, 200001, dtype=torch.float64)
    current = fixed_point_current(h, h_s0)
    peak = ((current[1:-1] > current[:-2]) & (current[1:-1] > current[2:])).nonzero()
    return current[1 + int(peak[0])].item() if len(peak) else None


def test_a_constant_current_of_the_closed_form_is_a_fixed_point() -> None:
    h = torch.linspace(-0.99, 0.99, 37, dtype=torch.float64)
    state = src.State(torch.zeros_like(h), h, h)
    _, after = msrc.step(DIRECT._replace(h_s0=0.5), state, fixed_point_current(h, 0.5))
    assert_close(torch.stack([after.h, after.h_s]), torch.stack([h, h]), rtol=0, atol=1e-12)


@pytest.mark.parametrize("h_s0", SADDLE_NODES)
def test_onset_is_the_saddle_node(h_s0: float) -> None:
    saddle_node = local_maximum(h_s0)
    assert saddle_node == pytest.approx(SADDLE_NODES[h_s0], abs=1e-3)
    # rest exists up to there and not beyond: the simulated onset is the next point of the grid
    simulated = onset(fi_curves()[0][list(TABLE).index(h_s0)])
    assert 0 <= simulated - saddle_node <= 0.02


@pytest.mark.parametrize("h_s0", [0.9, 1.0, 1.2, 1.5])
def test_no_saddle_node_from_type_1_on(h_s0: float) -> None:
    assert local_maximum(h_s0) is None


@pytest.mark.parametrize("z_hyp", [0.8, 0.95, 0.99])
def test_the_slow_gate_keeps_every_regime(z_hyp: float) -> None:
    """z_hyp sets rate and delay only."""
    h_s0 = torch.tensor([1.5, 1.5, 1.5, 0.9, 0.9, 0.9, 0.5, 0.5, 0.5, 0.5], dtype=torch.float64)
    current = torch.tensor([0.0, 5.0, 8.0, 0.0, 2.15, 2.3, 0.0, 2.5, 3.0, 3.6]).double()
    params = DIRECT._replace(h_s0=h_s0, z_hyp=z_hyp)
    rest = msrc.initial_state(current)
    spikes = spike_counts(msrc.step, params, rest, current.expand(4000, -1), 1000)
    assert (spikes > 0).tolist() == [
        False, True, True, False, False, True, False, False, False, True
    ]  # fmt: skip
    reference = spike_counts(
        msrc.step, params._replace(z_hyp=0.9), rest, current.expand(4000, -1), 1000
    )
    faster = spikes > reference
    assert faster[reference > 0].all() if z_hyp < 0.9 else not faster[reference > 0].any()
    # hysteresis of type 2*
    _, state = membrane(msrc.step, params, rest, torch.full((2000, 10), 3.6).double())
    assert spike_counts(msrc.step, params, state, current.expand(4000, -1), 3000)[7] > 0


def test_step_matches_hand_computed_values() -> None:
    params = msrc.Params(
        alpha=0.5, rho=2.0, r=2.0, r_s=-3.0, z=0.25, z_hyp=0.8, z_dep=0.2, b=0.1, h_s0=0.6
    )
    state = src.State(*(torch.tensor([v], dtype=torch.float64) for v in (0.4, 0.5, -0.2)))
    expected = [  # current, i, h, h_s
        # x = 1.074099; feedback = -3 (-0.200000 + 0.6)^2 = -0.480000; a = x + 1.000000 -0.480000 + 0.1 = 1.694099
        # h = 0.25 h + 0.75 * 0.934667; z_s = 0.500000
        (1.0, 1.2, 0.826000, 0.150000),
        # x = -0.394751; feedback = -3 (0.150000 + 0.6)^2 = -1.687500; a = x + 1.652001 -1.687500 + 0.1 = -0.330250
        # h = 0.25 h + 0.75 * -0.318745; z_s = 0.222181
        (-1.0, -0.4, -0.032559, 0.675806),
        # x = 1.432596; feedback = -3 (0.675806 + 0.6)^2 = -4.883041; a = x + -0.065117 -4.883041 + 0.1 = -3.415563
        # h = 0.25 h + 0.75 * -0.997843; z_s = 0.797095
        (2.0, 1.8, -0.756522, 0.532075),
    ]
    for current, *after in expected:
        spikes, state = msrc.step(params, state, torch.tensor([current], dtype=torch.float64))
        assert_close(torch.cat(state), torch.tensor(after, dtype=torch.float64), rtol=0, atol=2e-6)
        assert spikes.item() == max(0.0, state.h.item())


def test_rest_without_input() -> None:
    state = msrc.initial_state(torch.zeros(len(TABLE), dtype=torch.float64))
    assert (state.h == -1).all()
    params = DIRECT._replace(h_s0=MODULATIONS)
    trace, _ = membrane(msrc.step, params, state, torch.zeros(500, len(TABLE)).double())
    assert (trace + 1).abs().max() < 1e-3
