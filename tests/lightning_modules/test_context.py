"""Networks that a context signal reaches as modulation, as current, or not at all."""

from __future__ import annotations

import importlib.util
from functools import partial

import pytest
import torch

if importlib.util.find_spec("pytorch_lightning") is None:
    pytest.skip("pytorch_lightning is not installed", allow_module_level=True)

from lightning_modules.context import ContextNetwork
from snn_neuromod import ALIF, MSRC


def make(*context, weight=-0.125, **options):
    torch.manual_seed(0)
    sizes = [22, *[15] * (len(context) - 1), 10]
    options = {"neuron": partial(MSRC, learn_modulation=True, b=1.0), "gain": 3.0} | options
    return ContextNetwork(
        sizes, context=context, num_contexts=2, context_weight=weight, **options
    ).double()


def sample(steps=40, batch=3):
    x = (torch.rand(steps, batch, 22) < 0.3).double()
    x[..., 20:] = torch.rand(steps, batch, 2)
    return x


def flipped(x):
    return torch.cat([x[..., :20], 1 - x[..., 20:]], dim=-1)


@pytest.mark.parametrize("path", ["modulation", "current"])
def test_what_context_does_by_hand(path):
    net, x = make(path), sample()
    layer = net.layers[0]
    current = x[..., :20] @ layer.layer.weight.T
    effect = -0.125 * x[..., 20:].sum(-1, keepdim=True)
    if path == "modulation":
        expected, _ = net.neurons[0](current, modulation=net.neurons[0].modulation + effect)
    else:
        expected, _ = net.neurons[0](current + effect)
    _, (spikes,) = net(x)
    assert spikes.sum() > 0
    assert torch.allclose(spikes, expected, atol=1e-12)


def test_context_reaches_only_the_layers_that_are_named():
    x = sample()
    _, before = make("none", "modulation")(x)
    _, after = make("none", "modulation")(flipped(x))
    assert before[0].sum() > 0
    assert torch.equal(before[0], after[0])
    assert not torch.equal(before[1], after[1])
    blind, changed = (make("none", "none")(s).outputs for s in (x, flipped(x)))
    assert blind[-1].sum() > 0
    assert torch.equal(blind, changed)


def test_both_paths_have_the_same_parameters():
    sizes = [
        {n: p.shape for n, p in make("none", path).named_parameters()}
        for path in ("modulation", "current")
    ]
    assert sizes[0] == sizes[1]
    assert tuple(sizes[0]["layers.1.context_weight"]) == (10, 2)


@pytest.mark.parametrize("path", ["modulation", "current"])
def test_the_weights_of_the_context_are_learned(path):
    net = make("none", path)
    net(sample()).outputs[-1].square().sum().backward()
    assert net.layers[1].context_weight.grad.abs().sum() > 0
    assert net.neurons[1].modulation.grad.abs().sum() > 0
    assert net.layers[0].weight.grad.abs().sum() > 0


def test_membranes_are_those_of_the_run():
    net, x = make("modulation", "modulation"), sample()
    _, spikes = net(x)
    for h, s in zip(net.membranes(x), spikes, strict=True):
        assert s.sum() > 0
        assert torch.allclose(h.relu(), s, atol=1e-12)


def test_modulation_at_run_time_keeps_what_the_same_current_changes():
    """Neurons follow their input at h_s0 = 1.4; at 0.15 they stay silent, or go on firing, whatever comes."""
    neuron = MSRC(4, rho=1.5, b=4.2, alpha=0.0).double()
    shown, later = torch.tensor([[9.0, 9, -9, -9]]), torch.tensor([[9.0, -9, 9, -9]])
    # Many copies that switch at different moments of their interspike interval.
    switch = torch.arange(60, 90)[:, None]
    t = torch.arange(500)[:, None, None]
    current = torch.where(t < switch + 10, shown, later).double()
    hold = (t >= switch).double()
    held, _ = neuron(current, modulation=1.4 - 1.25 * hold)
    follows, _ = neuron(current, modulation=torch.full_like(hold, 1.4))
    active = [(s[-150:] > 0.5).any(dim=0).double().mean(dim=0) for s in (held, follows)]
    assert active[1].tolist() == [1, 0, 1, 0]
    assert active[0][2:].tolist() == [0, 0]  # silent stays silent
    assert active[0][:2].min() > 0.6  # firing goes on, unless the switch came at the wrong phase
    assert held[-150:].amin(dim=0).max() == 0  # in spikes, not on a plateau


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"context": ["none"]}, "context must be one of"),
        ({"context": ["none", "both"]}, "context must be one of"),
        ({"num_contexts": 0}, "num_contexts must be >= 1, got 0"),
        ({"sizes": [2, 3, 4]}, "sizes must start with more inputs than the 2"),
        ({"neuron": ALIF}, "neuron must have a modulation, got ALIF"),
        ({"recurrent": True}, "recurrent must be false for layers that context reaches, got layer 2"),
    ],
)  # fmt: skip
def test_wrong_arguments(options, message):
    right = {"sizes": [22, 15, 10], "context": ["none", "modulation"], "num_contexts": 2}
    with pytest.raises(ValueError, match=message):
        ContextNetwork(**(right | {"neuron": MSRC} | options))
