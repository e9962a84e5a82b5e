"""`scale_input` brings the weights in front of a neuron into its range."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable

import pytest
import torch
from torch import nn

import snn_neuromod as nm
from snn_neuromod import snntorch as ours

H = {"init_hidden": True}
NEURONS: dict[str, Callable[[], ours.Neuron]] = {
    "ALIF": lambda: ours.ALIF(0.95, **H),
    "ALIF, threshold 20": lambda: ours.ALIF(0.95, threshold=20.0, **H),
    "RALIF": lambda: ours.RALIF(0.95, linear_features=100, **H),
    "STDPALIF": lambda: ours.STDPALIF(0.95, **H),
    "Izhikevich": lambda: ours.Izhikevich(**H),
    "SRC": lambda: ours.SRC(**H),
    "MSRC": lambda: ours.MSRC(**H),
    "BSRC": lambda: ours.BSRC(**H),
}


def rate(net: nn.Sequential, x: torch.Tensor) -> float:
    spikes = torch.stack([net(x) for _ in range(25)])
    return (spikes > net[-1].spike_level).float().mean().item()


@pytest.mark.parametrize("gain", [0.2, 1.0, 30.0])
@pytest.mark.parametrize("name", NEURONS)
def test_it_fires_whatever_the_size_of_the_weights(name: str, gain: float) -> None:
    """An image like a digit: 15 % of 784 pixels on."""
    neuron, linear = NEURONS[name](), nn.Linear(784, 100)
    with torch.no_grad():
        linear.weight.mul_(gain), linear.bias.zero_()
    x = (torch.rand(32, 784) > 0.85).float() * torch.rand(32, 784)
    ours.scale_input(linear, neuron)
    assert 0.01 < rate(nn.Sequential(linear, neuron), x) < 0.3


def test_the_weights_stay_and_learn_at_their_own_scale() -> None:
    linear, neuron = nn.Linear(20, 10), ours.Izhikevich(**H)
    weight, bias = linear.weight.clone(), linear.bias.clone()
    x = torch.rand(4, 20)
    before = linear(x)
    ours.scale_input(linear, neuron)
    assert torch.equal(linear.weight, weight)
    assert torch.equal(linear.bias, bias)
    assert linear.weight.is_leaf
    torch.testing.assert_close(linear(x), before * linear.input_scale)
    assert linear.input_scale == pytest.approx(40, rel=0.15)
    ours.scale_input(linear, neuron)  # once more changes nothing
    torch.testing.assert_close(linear(x), before * linear.input_scale)


def test_convolution_and_copies() -> None:
    conv, neuron = nn.Conv2d(2, 3, 5), ours.MSRC(**H)
    ours.scale_input(conv, neuron)
    assert conv.input_scale == pytest.approx(2, rel=0.15)
    x = torch.rand(2, 2, 8, 8)
    for other in (copy.deepcopy(conv), pickle.loads(pickle.dumps(conv))):
        assert torch.equal(other(x), conv(x))
    fresh = nn.Conv2d(2, 3, 5)
    ours.scale_input(fresh, neuron)
    fresh.load_state_dict(conv.state_dict())
    assert torch.equal(fresh(x), conv(x))


def test_run_knows_it() -> None:
    net = nn.Sequential(nn.Linear(5, 6), ours.Izhikevich(**H))
    ours.scale_input(net[0], net[1])
    x = torch.rand(40, 4, 5)
    spikes = ours.run(net, x)
    nm.reset(net)
    assert torch.equal(spikes, torch.stack([net(step) for step in x.unbind(0)]))
    assert spikes.any()


def test_what_cannot_be_scaled() -> None:
    neuron = ours.MSRC()
    with pytest.raises(TypeError, match="linear must be a layer with weights, got ReLU"):
        ours.scale_input(nn.ReLU(), neuron)
    with pytest.raises(TypeError, match="neuron must be one of this package, got Linear"):
        ours.scale_input(nn.Linear(2, 2), nn.Linear(2, 2))  # type: ignore[arg-type]
    linear = nn.Linear(2, 2)
    nn.init.zeros_(linear.weight)
    with pytest.raises(ValueError, match="weights must be finite and not all zero"):
        ours.scale_input(linear, neuron)
