"""A layer that is trained on and does not spike says so, once."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import pytest
import torch
from snntorch import utils
from torch import nn

import snn_neuromod as nm
from snn_neuromod import snntorch as ours

NEURONS: dict[str, Callable[[], ours.Neuron]] = {
    "ALIF": lambda: ours.ALIF(0.9, init_hidden=True),
    "RALIF": lambda: ours.RALIF(0.9, linear_features=4, init_hidden=True),
    "STDPALIF": lambda: ours.STDPALIF(0.9, init_hidden=True),
    "Izhikevich": lambda: ours.Izhikevich(init_hidden=True),
    "SRC": lambda: ours.SRC(init_hidden=True),
    "MSRC": lambda: ours.MSRC(init_hidden=True),
}


def net_of(name: str) -> nn.Sequential:
    net = nn.Sequential(nn.Linear(3, 4), nn.Sequential(NEURONS[name]()))
    nn.init.zeros_(net[0].bias)
    return net


def train(net: nn.Module, gain: float, *, backward: bool = True, steps: int = 40) -> None:
    out = torch.stack([net(gain * torch.rand(2, 3)) for _ in range(steps)])
    if backward:
        (out.sum() + 0 * next(net.parameters()).sum()).backward()


@pytest.mark.parametrize("name", NEURONS)
@pytest.mark.parametrize("reset", [nm.reset, utils.reset])
def test_a_silent_layer_is_named_once(name: str, reset: Callable[[nn.Module], None]) -> None:
    net = net_of(name)
    train(net, 1e-3)
    with pytest.warns(
        ours.SilentLayerWarning, match=rf"'1\.0' has not spiked.*{net[1][0].remedy[:20]}"
    ) as seen:
        reset(net)
    assert len(seen) == 1
    train(net, 1e-3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        reset(net)


@pytest.mark.parametrize("name", NEURONS)
def test_a_layer_that_spikes_says_nothing(name: str) -> None:
    net = net_of(name)
    nn.init.constant_(net[0].weight, 1.0)
    for _ in range(2):
        train(net, 30.0)
        nm.reset(net)


def test_a_layer_that_dies_later_says_so() -> None:
    net = net_of("ALIF")
    nn.init.constant_(net[0].weight, 1.0)
    train(net, 30.0)
    nm.reset(net)
    train(net, 1e-3)
    with pytest.warns(ours.SilentLayerWarning):
        nm.reset(net)


@pytest.mark.parametrize("how", ["no backward", "no grad", "eval"])
def test_only_what_is_trained_on_is_listened_to(how: str) -> None:
    net = net_of("ALIF")
    net.train(how != "eval")
    with torch.set_grad_enabled(how != "no grad"):
        train(net, 1e-3, backward=how == "eval")
    nm.reset(net)


def test_before_evaluation_and_at_a_reset_of_its_own() -> None:
    net = net_of("MSRC")
    train(net, 1e-3)
    with pytest.warns(ours.SilentLayerWarning, match="a layer of MSRC has not spiked"):
        net.eval()
    neuron = ours.Izhikevich()
    spk, *_ = neuron(torch.ones(2, 3, requires_grad=True))
    spk.sum().backward()
    with pytest.warns(ours.SilentLayerWarning, match="a layer of Izhikevich"):
        neuron.reset_mem()


def test_output_of_a_membrane_alone_counts_as_training() -> None:
    neuron = ours.ALIF(0.9)
    _, _, mem = neuron(1e-3 * torch.ones(2, 3, requires_grad=True))
    mem.sum().backward()
    with pytest.warns(ours.SilentLayerWarning):
        nm.reset(neuron)


def test_an_integrator_may_be_silent() -> None:
    """The output of snnTorch's regression: a membrane without reset that is read."""
    for spikes_wanted in (False, True):
        neuron = ours.ALIF(0.9, reset_mechanism="none", adapt_strength=0.0)
        spk, mem = neuron(1e-3 * torch.ones(2, 3, requires_grad=True))
        (spk if spikes_wanted else mem).sum().backward()
        if spikes_wanted:
            with pytest.warns(ours.SilentLayerWarning):
                neuron.reset_mem()
        else:
            neuron.reset_mem()


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")
@pytest.mark.parametrize(("name", "reset"), [("ALIF", utils.reset), ("MSRC", nm.reset)])
def test_a_compiled_network(name: str, reset: Callable[[nn.Module], None]) -> None:
    """The largest spike is kept inside the graph, which stays whole; it is read at the reset."""
    torch.compiler.reset()
    net = net_of(name)
    compiled = torch.compile(net, fullgraph=True, backend="eager")
    with torch.no_grad():
        train(compiled, 1e-3, backward=False, steps=2)
    reset(net)
    train(compiled, 1e-3, steps=3)
    with pytest.warns(ours.SilentLayerWarning, match=r"'1\.0' has not spiked") as seen:
        reset(net)
    assert len(seen) == 1
    train(compiled, 1e-3, steps=3)
    reset(net)  # said once
    torch.compiler.reset()
    other = net_of(name)
    nn.init.constant_(other[0].weight, 1.0)
    train(torch.compile(other, fullgraph=True, backend="eager"), 30.0)
    reset(other)
    assert "_peak" not in str(net.state_dict().keys())
