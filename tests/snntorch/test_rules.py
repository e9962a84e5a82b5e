"""Learning rules of the recurrent neurons in snnTorch's form, step by step."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import snn_neuromod as nm
from snn_neuromod.learning.rules import EProp, KHop

MAKERS = {
    "RALIF": lambda **o: nm.snntorch.RALIF(0.9, linear_features=6, **o),
    "RSTDPALIF": lambda **o: nm.snntorch.RSTDPALIF(0.9, linear_features=6, **o),
    "RIzhikevich": lambda **o: nm.snntorch.RIzhikevich(linear_features=6, dt=0.5, **o),
}
every_neuron = pytest.mark.parametrize("name", MAKERS)


def gradients(neuron: Any, name: str, *, detach: bool = False) -> dict[str, Tensor]:
    """Of a loss of all spikes by input and recurrent weights; `detach` cuts the fed-back spikes by hand."""
    generator = torch.Generator().manual_seed(2)
    scale = 60.0 if name == "RIzhikevich" else 0.8
    x = scale * torch.rand(25, 3, 6, generator=generator, dtype=torch.float64)
    x.requires_grad_()
    states, emitted = list(neuron.reset_mem()), []
    for x_t in x.unbind(0):
        if detach and isinstance(states[0], Tensor):
            states[0] = states[0].detach()
        spk, *states = neuron(x_t, *states)
        states = [spk, *states]
        emitted.append(spk)
    out = torch.stack(emitted)
    assert 0 < out.mean() < 1
    loss = (out * torch.linspace(0.1, 1, 25 * 6, dtype=torch.float64).view(25, 1, 6)).sum()
    found = torch.autograd.grad(loss, [x, neuron.recurrent.weight])
    return dict(zip(("x", "weight"), found, strict=True))


def make(name: str, **options: Any) -> Any:
    torch.manual_seed(0)
    neuron = MAKERS[name](**options).double()
    with torch.no_grad():
        neuron.recurrent.weight.mul_(30 if name == "RIzhikevich" else 1)
    return neuron


@every_neuron
def test_eprop_cuts_the_recurrent_spikes(name: str) -> None:
    full = gradients(make(name), name)
    cut = gradients(make(name), name, detach=True)
    for rule in ("eprop", EProp()):
        found = gradients(make(name, learning_rule=rule), name)
        for key, value in found.items():
            torch.testing.assert_close(value, cut[key], rtol=1e-12, atol=1e-14)
    assert (full["weight"] - cut["weight"]).norm() > 1e-3 * full["weight"].norm()


@every_neuron
def test_rflo_leaves_adaptation_out(name: str) -> None:
    neuron = make(name, learning_rule="eprop")
    eprop = gradients(neuron, name)
    neuron.learning_rule = "rflo"
    rflo = gradients(neuron, name)
    assert rflo["weight"].any()
    assert (eprop["weight"] - rflo["weight"]).norm() > 1e-3 * eprop["weight"].norm()


@every_neuron
def test_a_rule_that_needs_the_whole_sequence_is_refused(name: str) -> None:
    for rule in ("khop", KHop(2)):
        with pytest.raises(
            ValueError, match=f"{name}: learning_rule must be 'bptt', 'eprop' or 'rflo'"
        ):
            make(name, learning_rule=rule)
    with pytest.raises(ValueError, match=f"{name}: learning_rule must be one of"):
        make(name, learning_rule="rtrl")


def test_a_stack_takes_a_rule_for_all() -> None:
    layers = [nm.Recurrent(nm.ALIF(4), 3), nm.Recurrent(nm.ALIF(5), 4, learning_rule="eprop")]
    stack = nm.RecurrentStack(layers, learning_rule="khop")
    assert [layer.learning_rule for layer in stack.layers] == ["khop", "khop"]
    with pytest.raises(ValueError, match="learning_rule must be one of"):
        nm.RecurrentStack(layers, learning_rule="none")  # type: ignore[arg-type]
