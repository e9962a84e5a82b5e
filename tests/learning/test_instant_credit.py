"""OSTL and OTTT against their explicit traces: credit comes down through the layers at each instant."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import snn_neuromod as nm
from tests.learning.oracles import rules
from tests.learning.oracles.neurons import Trajectory, simulate
from tests.learning.oracles.problems import (
    ALIF,
    ALPHA,
    IZHIKEVICH_PROBLEMS,
    NEURONS,
    PROBLEMS,
    SRC_PROBLEMS,
    Problem,
    assert_live,
    backward,
    distance,
)

SOFT = [p for p in ALIF if getattr(p.neuron, "reset", None) == "subtract"]
STACKS = [ALIF[1], ALIF[3], ALIF[7], SRC_PROBLEMS[0], SRC_PROBLEMS[3], IZHIKEVICH_PROBLEMS[0]]


@pytest.mark.parametrize("problem", PROBLEMS, ids=str)
def test_in_one_layer_ostl_is_eprop(problem: Problem) -> None:
    run, signal = problem.run(), problem.signal()
    _, found = backward(problem.make("ostl"), problem.input(), signal)
    assert distance(found, rules.eprop(run, signal)) < 1e-10


@pytest.mark.parametrize("problem", SOFT, ids=str)
def test_in_one_layer_ottt_is_a_trace_of_each_input(problem: Problem) -> None:
    run, signal = problem.run(), problem.signal()
    _, found = backward(problem.make("ottt"), problem.input(), signal)
    assert distance(found, rules.ottt(run, signal, ALPHA)) < 1e-10


def two_layers(problem: Problem) -> tuple[Trajectory, Trajectory, Any]:
    """The oracle's runs of a live stack, and the input weights of the upper layer."""
    lower = problem.run()
    w_in, w_rec = problem.weights(NEURONS, seed=3)
    upper = simulate(problem.neuron, lower.z, 2 * w_in, w_rec, problem.delay)
    assert_live(upper)
    return lower, upper, 2 * w_in


def stacked(problem: Problem, rule: Any, x: Any) -> tuple[list[rules.Gradient], torch.Tensor]:
    """Gradients of both layers and of the input, by `loss.backward()`; the loss hears the upper layer alone."""
    layers = [problem.make(rule), problem.make(rule, inputs=NEURONS, seed=3)]
    with torch.no_grad():
        layers[1].w_in.mul_(2)
    given = torch.as_tensor(x).requires_grad_()
    spikes, _ = nm.RecurrentStack(layers, credit="spatial")(given)
    (spikes[..., NEURONS:] * torch.as_tensor(problem.signal())).sum().backward()
    assert given.grad is not None
    found = [
        rules.Gradient(*(w.grad.numpy() for w in (layer.w_in, layer.w_rec))) for layer in layers
    ]
    return found, given.grad


@pytest.mark.parametrize(
    ("rule", "problem"),
    [("ostl", p) for p in STACKS] + [("ottt", p) for p in STACKS if p in SOFT],
    ids=str,
)
def test_a_stack(rule: str, problem: Problem) -> None:
    lower, upper, w_in = two_layers(problem)
    signal = problem.signal()
    down = rules.instant(upper, signal) @ w_in
    assert np.abs(down).sum() > 0, "nothing comes down: the test would be vacuous"
    expected = [
        rules.eprop(run, s) if rule == "ostl" else rules.ottt(run, s, ALPHA)
        for run, s in ((lower, down), (upper, signal))
    ]
    found, given = stacked(problem, rule, problem.input())
    for f, e in zip(found, expected, strict=True):
        assert distance(f, e) < 1e-10
    through = rules.instant(lower, down) @ problem.weights()[0]
    assert np.abs(given.numpy() - through).max() < 1e-10 * np.abs(through).max()


@pytest.mark.parametrize("problem", STACKS[:3], ids=str)
@pytest.mark.parametrize(("rule", "other"), [("ostl", "eprop"), ("ottt", "rflo")])
def test_credit_of_the_instant_is_another(problem: Problem, rule: str, other: str) -> None:
    """Negative control: below, the rules differ from those that pass the adjoint on."""
    found, _ = stacked(problem, rule, problem.input())
    adjoint, _ = stacked(problem, other, problem.input())
    assert distance(found[1], adjoint[1]) < 1e-12
    assert distance(found[0], adjoint[0]) > 1e-3


@pytest.mark.parametrize("rule", ["ostl", "ottt"])
def test_spikes_and_parameters_are_as_ever(rule: str) -> None:
    problem = ALIF[1]
    x = torch.as_tensor(problem.input())
    layer, same = problem.make(rule), problem.make("eprop" if rule == "ostl" else "rflo")
    for made in (layer, same):
        made.neuron.beta = torch.nn.Parameter(made.neuron.beta.clone())
        made.neuron.learned = ("beta",)
    results = []
    for made in (layer, same):
        spikes, _ = made(x.clone().requires_grad_())
        spikes.square().sum().backward()
        results.append((spikes, made.neuron.beta.grad))
    assert torch.equal(results[0][0], results[1][0])
    assert torch.allclose(results[0][1], results[1][1], rtol=1e-12)
    assert results[0][1].abs().sum() > 0


@pytest.mark.parametrize("rule", ["ostl", "ottt"])
def test_forms_that_see_one_step_refuse(rule: Any) -> None:
    from snn_neuromod import snntorch as nms

    with pytest.raises(ValueError, match="one by one"):
        nms.RALIF(0.9, linear_features=4, learning_rule=rule)


@pytest.mark.parametrize("rule", ["ostl", "ottt"])
def test_norse_sequences_take_them(rule: Any) -> None:
    from snn_neuromod import norse

    torch.manual_seed(0)
    grads = []
    for chosen in (rule, "eprop"):
        torch.manual_seed(1)
        module = norse.ALIFRecurrent(3, 6, learning_rule=chosen).double()
        x = (5 * torch.rand(30, 2, 3, dtype=torch.float64)).requires_grad_()
        spikes, _ = module(x)
        assert spikes.sum() > 0
        spikes.square().sum().backward()
        grads.append((module.input_weights.grad, x.grad))
    assert grads[0][1].abs().sum() > 0
    assert not torch.allclose(grads[0][1], grads[1][1])
    assert (rule == "ostl") == torch.allclose(grads[0][0], grads[1][0])
