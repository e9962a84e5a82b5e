"""Leaky integrator against its closed forms."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from snn_neuromod.dynamics import leaky_integrator as li
from snn_neuromod.dynamics import scan


@pytest.mark.parametrize("normalise", [False, True])
@pytest.mark.parametrize("kappa", [0.0, 0.5, 0.97, 1.0])
def test_output_is_the_sum_of_decayed_inputs(kappa: float, normalise: bool) -> None:
    """y_t = sum over s <= t of kappa^(t - s) I_s, times 1 - kappa if normalised; the input of step t included."""
    current = torch.randn(40, 2, 3, dtype=torch.float64)
    y, state = scan(
        li.step, li.Params(kappa), li.initial_state(current[0]), current, normalise=normalise
    )
    ages = torch.arange(40)[:, None] - torch.arange(40)
    kernel = torch.where(
        ages >= 0, torch.tensor(kappa, dtype=torch.float64) ** ages.clamp(min=0), 0.0
    )
    expected = torch.einsum("ts,sbn->tbn", kernel, current) * (1 - kappa if normalise else 1)
    assert_close(y, expected, rtol=1e-12, atol=1e-12)
    assert torch.equal(state.y, y[-1])


@pytest.mark.parametrize(("normalise", "fixed_point"), [(False, 30.0), (True, 3.0)])
def test_fixed_point_of_a_constant_input(normalise: bool, fixed_point: float) -> None:
    """I / (1 - kappa), or I itself if normalised."""
    current = torch.full((500, 1), 3.0, dtype=torch.float64)
    y, _ = scan(li.step, li.Params(0.9), li.initial_state(current[0]), current, normalise=normalise)
    assert_close(y[-1], torch.tensor([fixed_point], dtype=torch.float64))


def test_per_neuron_decays() -> None:
    kappa = torch.tensor([0.0, 0.5, 1.0])
    current = torch.ones(3, 3)
    y, _ = scan(li.step, li.Params(kappa), li.initial_state(current[0]), current)
    assert_close(y[-1], torch.tensor([1.0, 1.75, 3.0]))


def test_gradient_of_the_decay() -> None:
    """d/dkappa of 1 + kappa + kappa^2 is 1 + 2 kappa."""
    kappa = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    current = torch.ones(3, 1, dtype=torch.float64)
    y, _ = scan(li.step, li.Params(kappa), li.initial_state(current[0]), current)
    assert torch.autograd.grad(y[-1].sum(), kappa)[0].item() == pytest.approx(2.4)
