"""`torch.func`, forward mode and gradients of gradients: right, or refused; never zero in silence."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.func import functional_call, grad, jvp, vmap

import snn_neuromod as nm

NEURONS = [nm.SRC, nm.MSRC, nm.BSRC, nm.ALIF, nm.STDPALIF, nm.Izhikevich, nm.LeakyIntegrator]
RULES = ["bptt", "eprop", "khop", "rflo"]
every_neuron = pytest.mark.parametrize("neuron", NEURONS, ids=lambda n: n.__name__)


def drive(neuron: Any) -> float:
    return 30.0 if neuron is nm.Izhikevich else 1.5


def make(neuron: Any, rule: str) -> tuple[nm.Recurrent, Tensor]:
    torch.manual_seed(0)
    layer = nm.Recurrent(neuron(6, learn=["tau"] if neuron is nm.LeakyIntegrator else []), 5)
    layer.learning_rule = rule  # type: ignore[assignment]
    return layer.double(), drive(neuron) * torch.rand(3, 12, 2, 5, dtype=torch.float64)


def loss(layer: nm.Recurrent, params: dict[str, Tensor], x: Tensor) -> Tensor:
    spikes, _ = functional_call(layer, params, (x,))
    return (spikes * torch.linspace(0, 1, 6)).square().sum()


@every_neuron
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.filterwarnings("ignore:There is a performance drop:UserWarning")
def test_gradients_of_each_sample(neuron: Any, rule: str) -> None:
    """vmap(grad(...)) equals one backward pass for each sample, for every layer and rule."""
    layer, x = make(neuron, rule)
    params = dict(layer.named_parameters())
    found = vmap(grad(lambda p, sample: loss(layer, p, sample)), in_dims=(None, 0))(params, x)
    for k, sample in enumerate(x):
        expected = torch.autograd.grad(loss(layer, params, sample), list(params.values()))
        for (name, value), wanted in zip(found.items(), expected, strict=True):
            torch.testing.assert_close(value[k], wanted, rtol=1e-9, atol=1e-11, msg=name)
    assert found["w_rec"].any()
    assert found["w_in"].any()


@every_neuron
@pytest.mark.parametrize("backend", ["auto", "eager"])
def test_forward_mode_is_right(neuron: Any, backend: str) -> None:
    """The tangent is the directional derivative that backward mode gives."""
    layer = neuron(4, backend=backend).double()
    x = drive(neuron) * torch.rand(10, 2, 4, dtype=torch.float64)
    direction, weight = torch.rand_like(x), torch.rand_like(x)
    _, tangent = jvp(lambda value: layer(value)[0], (x,), (direction,))
    leaf = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad((layer(leaf)[0] * weight).sum(), leaf)
    assert tangent.any()
    torch.testing.assert_close((tangent * weight).sum(), (gradient * direction).sum())


@every_neuron
def test_a_gradient_of_a_gradient_is_refused(neuron: Any) -> None:
    layer = neuron(4).double()
    x = (drive(neuron) * torch.rand(10, 2, 4, dtype=torch.float64)).requires_grad_()
    out, _ = layer(x)
    (first,) = torch.autograd.grad(out.square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match=r"once_differentiable|does not require grad"):
        first.square().sum().backward()
