"""Networks to compare with."""

from __future__ import annotations

import importlib.util
import math
import re

import pytest
import torch

if importlib.util.find_spec("pytorch_lightning") is None:
    pytest.skip("pytorch_lightning is not installed", allow_module_level=True)

from lightning_modules.baselines import LeakyNetwork, Perceptron
from lightning_modules.networks import FeedForward
from snn_neuromod import ALIF


def test_leaky_neurons_are_alif_neurons_without_adaptation() -> None:
    """The same weights, decay and reset: spike for spike, and the class by the same count."""
    torch.manual_seed(0)
    theirs = LeakyNetwork([20, 8, 3], gain=3.0)
    for cell in theirs.cells:
        cell.beta = torch.tensor(math.exp(-0.1))

    def alif(n: int) -> ALIF:
        return ALIF(n, tau_mem=10.0, beta=0.0)

    ours = FeedForward([20, 8, 3], neuron=alif, num_classes=3, bias=True)
    with torch.no_grad():
        for layer, linear in zip(ours.layers, theirs.linear, strict=True):
            layer.weight.copy_(linear.weight)
            linear.bias.uniform_(-0.1, 0.1)
            layer.bias.copy_(linear.bias)
    x = (torch.rand(40, 6, 20) < 0.2).float()
    outputs, spikes = theirs(x)
    expected = ours(x)
    assert all(0 < layer.mean() < 1 for layer in spikes)
    for found, wanted in zip(spikes, expected.spikes, strict=True):
        assert torch.equal(found, wanted)
    assert torch.equal(outputs, expected.outputs)
    assert torch.equal(theirs(x)[0], outputs)  # nothing is left of the first call


def test_leaky_neurons_learn() -> None:
    net = LeakyNetwork([20, 8, 3], gain=3.0)
    outputs, _ = net((torch.rand(40, 6, 20) < 0.2).float())
    torch.nn.functional.cross_entropy(outputs[-1], torch.arange(6) % 3).backward()
    assert all(p.grad is not None and p.grad.any() for p in net.parameters())


def test_perceptron() -> None:
    net = Perceptron([5, 4, 3])
    x = torch.randn(2, 6, 5)
    first, last = net.linear
    expected = (x @ first.weight.T + first.bias).clamp(min=0) @ last.weight.T + last.bias
    assert torch.allclose(net(x), expected)
    assert (net(x) < 0).any()  # the last layer is linear


@pytest.mark.parametrize("network", [Perceptron, LeakyNetwork])
def test_wrong_arguments(network: type) -> None:
    who = network.__name__
    with pytest.raises(ValueError, match=re.escape(f"{who}: sizes must be the number of inputs")):
        network([784])
    with pytest.raises(ValueError, match=f"{who}: sizes must be an integer >= 1, got 0"):
        network([784, 0, 10])
    with pytest.raises(ValueError, match="LeakyNetwork: beta must lie in"):
        LeakyNetwork([2, 2], beta=float("nan"))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_the_leaky_network_trains_in_any_precision(dtype: torch.dtype) -> None:
    network = LeakyNetwork([6, 5, 3], gain=3.0).to(dtype)
    outputs, _ = network(torch.ones(9, 2, 6, dtype=dtype))
    outputs.sum().backward()
    assert outputs.any()
    assert all(linear.weight.grad.any() for linear in network.linear)
