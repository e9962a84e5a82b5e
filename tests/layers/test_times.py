"""Refractoriness and delays in ms are those in steps."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import snn_neuromod as nm

N = 4


@pytest.mark.parametrize(
    ("dt", "time", "steps"), [(1.0, 5.0, 4), (0.5, 5.0, 9), (0.1, 0.3, 2), (1.0, 1, 0)]
)
def test_refractory_is_the_shortest_time_between_two_spikes(
    dt: float, time: float, steps: int
) -> None:
    layer = nm.ALIF(N, dt=dt, refractory=nm.Ms(time), beta=0.0)
    assert layer.refractory == steps
    spikes, _ = layer(torch.full((60, 1, N), 10.0))
    fired = spikes[:, 0, 0].nonzero().flatten()
    assert fired.diff().unique().tolist() == [round(time / dt)]
    layer.refractory = nm.Ms(2 * time)
    assert layer.refractory == 2 * steps + 1


def test_stdp_alif() -> None:
    assert nm.STDPALIF(N, refractory=nm.Ms(3.0)).refractory == 2
    with pytest.raises(ValueError, match="STDPALIF: refractory must be a number of steps >= 1"):
        nm.STDPALIF(N, refractory=nm.Ms(1.0))


BY_NEURON = [1.0, 2.5, 0.5, 2.0]
BY_SYNAPSE = (0.5 * torch.randint(1, 6, (N, N))).fill_diagonal_(0.0).tolist()


@pytest.mark.parametrize(
    "time",
    [1.5, BY_NEURON, BY_SYNAPSE, torch.tensor(BY_NEURON)],
    ids=["one", "neuron", "synapse", "tensor"],
)
@pytest.mark.parametrize("name", ["ALIF", "STDPALIF", "Izhikevich"])
def test_delays(name: str, time: Any) -> None:
    neuron = getattr(nm, name)(N, dt=0.5)
    steps = (torch.as_tensor(time) / 0.5).round().long()
    if steps.ndim == 2:
        steps.fill_diagonal_(1)
    given = steps if steps.ndim else int(steps)
    in_ms, in_steps = (nm.Recurrent(neuron, 3, delay=delay) for delay in (nm.Ms(time), given))
    in_ms.w_in.data.abs_()
    in_steps.load_state_dict(in_ms.state_dict())
    x = 60 * torch.rand(30, 2, 3)
    spikes, _ = in_ms(x)
    assert spikes.any()
    assert torch.equal(spikes, in_steps(x)[0])
    if steps.ndim < 2:
        own = getattr(nm, name)(N, dt=0.5, delay=nm.Ms(time))
        assert torch.equal(torch.as_tensor(own.delay), steps)


@pytest.mark.parametrize("time", [0.7, 0.0, -1.0, float("nan"), float("inf"), [1.0, 0.6, 1.0, 1.0]])
def test_no_multiple_of_the_step(time: Any) -> None:
    with pytest.raises(ValueError, match=r"Recurrent: delay must be a multiple of dt=0\.5 ms"):
        nm.Recurrent(nm.ALIF(N, dt=0.5), 3, delay=nm.Ms(time))
    if isinstance(time, float):
        with pytest.raises(ValueError, match=r"ALIF: refractory must be a multiple of dt=0\.5 ms"):
            nm.ALIF(N, dt=0.5, refractory=nm.Ms(time))


def test_neurons_without_a_time_step() -> None:
    with pytest.raises(ValueError, match="Recurrent: delay must be a number of steps"):
        nm.Recurrent(nm.MSRC(N), 3, delay=nm.Ms(2.0))
