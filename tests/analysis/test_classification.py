"""Types of excitability over a grid, of neurons whose types are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from snn_neuromod import analysis, dynamics
from snn_neuromod.analysis import classify

SADDLE_NODES = {0.6: 2.831, 0.5: 3.386, 0.4: 4.091}


def test_the_three_types_of_the_msrc() -> None:
    h_s0 = [0.4, 0.5, 0.6, 0.9, 1.5, 3.0]
    found = classify(
        dynamics.msrc, np.arange(1.2, 6, 0.4), h_s0=h_s0, num_steps=600, burst_steps=600
    )
    expected = ["type 2*"] * 3 + ["type 1", "type 2", "silent"]
    assert found.kind.tolist() == expected
    # onsets are refined beyond the 0.4 of the sweep; from rest they are the saddle-nodes
    for k, value in enumerate(h_s0[:3]):
        assert found.onset_up[k] == pytest.approx(SADDLE_NODES[value], abs=0.002)
    assert (found.onset_down[:3] < found.onset_up[:3] - 0.3).all()
    assert found.onset_up[3] == pytest.approx(2.16, abs=0.02)
    assert found.onset_up[4] == pytest.approx(4.92, abs=0.02)
    assert np.isnan([found.onset_up[5], found.jump[5]]).all()
    assert found.jump[4] > 2 * found.jump[3]


def test_the_leaky_integrator_is_type_1() -> None:
    """Its rate grows from zero."""
    found = classify(dynamics.alif, np.arange(0.01, 2, 0.2), beta=0.0, num_steps=500, burst_steps=0)
    assert found.kind == "type 1"
    threshold = 1 - dynamics.alif.Params().alpha  # v_th = 1
    assert found.onset_up == pytest.approx(threshold, abs=0.001)


def test_the_bsrc_bursts_or_fires_on() -> None:
    found = classify(
        dynamics.bsrc, np.arange(-1.5, 2.0, 0.25), h_s0=[0.7, 1.0], h_u0=0.55,
        num_steps=500, burst_steps=4000,
    )  # fmt: skip
    assert found.kind[0] == "bursting"
    assert found.kind[1] != "bursting"


def test_firing_at_every_current_is_tonic() -> None:
    found = classify(dynamics.src, [0.0, 0.5, 1.0], b=[[-4.0], [-6.0], [-9.0]], burst_steps=0)
    assert found.kind.tolist() == [["tonic"], ["silent"], ["silent"]]


def test_izhikevichs_chattering_neuron_bursts() -> None:
    found = classify(
        dynamics.izhikevich, np.arange(1.0, 12.0, 2.0), c=-50.0, burst_steps=1500, num_steps=300
    )
    assert found.kind == "bursting"


@pytest.mark.parametrize("shape", [(3,), (3, 1)])
def test_array_parameters_of_a_neuron_are_the_grid(shape: tuple[int, ...]) -> None:
    values = np.array([0.5, 0.9, 1.5]).reshape(shape)
    swept = {"num_steps": 400, "discard": 200, "burst_steps": 200}
    given = classify(dynamics.msrc, np.arange(2, 6, 0.4), h_s0=values, **swept)
    held = classify(analysis.neuron(dynamics.msrc, h_s0=values), np.arange(2, 6, 0.4), **swept)
    assert given.kind.shape == shape
    assert given.kind.tolist() == held.kind.tolist()
    assert (given.kind.ravel() == ["type 2*", "type 1", "type 2"]).sum() >= 2


def test_what_is_not_a_number_is_of_no_kind() -> None:
    """Neither a neuron whose state is NaN nor what Ctrl-C left uncomputed is silent."""

    def step(params, state, current):
        return dynamics.msrc.step(params, state, torch.where(current > 2.5, np.nan, current))

    broken = analysis.neuron(dynamics.msrc)._replace(step=step)
    steps = {"num_steps": 20, "discard": 10}
    assert classify(broken, [0.0, 1.0, 3.0], burst_steps=20, **steps).kind == ""
    assert classify(broken, [0.0, 1.0], burst_steps=20, **steps).kind == "silent"
    assert analysis.bursts(broken, [0.0, 3.0], **steps).kind.tolist() == ["silent", ""]
