"""k-hop e-prop against its explicit traces; k = 0 is e-prop, as many hops as steps are BPTT."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import snn_neuromod as nm
from tests.learning.oracles import rules
from tests.learning.oracles.neurons import simulate
from tests.learning.oracles.problems import (
    NEURONS,
    PROBLEMS,
    STEPS,
    Problem,
    assert_live,
    backward,
    distance,
)

EVERY = pytest.mark.parametrize("problem", PROBLEMS, ids=str)


def khop(k: int) -> Any:
    return nm.learning.rules.KHop(k)


@EVERY
@pytest.mark.parametrize("hops", [1, 2, 3])
def test_it_is_the_oracle(problem: Problem, hops: int) -> None:
    run, signal = problem.run(), problem.signal()
    spikes, found = backward(problem.make(khop(hops)), problem.input(), signal)
    assert np.abs(spikes - run.z).max() < 1e-11
    assert distance(found, rules.khop_traces(run, signal, hops)) < 1e-10


@EVERY
def test_the_name_means_one_hop(problem: Problem) -> None:
    run, signal = problem.run(), problem.signal()
    _, found = backward(problem.make("khop"), problem.input(), signal)
    assert distance(found, rules.khop_traces(run, signal, 1)) < 1e-10


@EVERY
def test_no_hop_is_eprop_and_as_many_as_steps_are_bptt(problem: Problem) -> None:
    x, signal = problem.input(), problem.signal()
    for hops, name in ((0, "eprop"), (STEPS, "bptt")):
        _, found = backward(problem.make(khop(hops)), x, signal)
        _, expected = backward(problem.make(name), x, signal)
        assert distance(found, expected) < 1e-10


@EVERY
def test_one_hop_is_neither_eprop_nor_bptt(problem: Problem) -> None:
    """Negative control."""
    x, signal = problem.input(), problem.signal()
    _, found = backward(problem.make("khop"), x, signal)
    for other in ("eprop", "bptt"):
        _, expected = backward(problem.make(other), x, signal)
        assert distance(found, expected) > 1e-6


@pytest.mark.parametrize("problem", [PROBLEMS[1], PROBLEMS[8]], ids=str)
def test_a_rule_can_be_set_again(problem: Problem) -> None:
    x, signal = problem.input(), problem.signal()
    layer = problem.make("bptt")
    for rule in ("khop", khop(2), "eprop", "rflo", "bptt", khop(0)):
        layer.learning_rule = rule
        _, found = backward(layer, x, signal)
        _, expected = backward(problem.make(rule), x, signal)
        assert all(np.array_equal(f, e) for f, e in zip(found, expected, strict=True))


@pytest.mark.parametrize("rule", ["khop", "rflo"])
@pytest.mark.parametrize("credit", ["broadcast", "spatial"])
def test_a_stack(rule: str, credit: Any) -> None:
    """Two layers: with spatial credit the lower one also hears what the upper one's input weights bring back."""
    problem = PROBLEMS[1]
    signal = problem.signal(2 * NEURONS)
    lower, upper = problem.run(), None
    w_in, w_rec = problem.weights(NEURONS, seed=3)
    upper = simulate(problem.neuron, lower.z, 2 * w_in, w_rec)
    assert_live(upper)
    sweep = rules.rflo_adjoint if rule == "rflo" else lambda run, s: rules.khop(run, s, 1)
    p_upper = sweep(upper, signal[..., NEURONS:])
    from_above = p_upper @ (2 * w_in) if credit == "spatial" else 0
    p_lower = sweep(lower, signal[..., :NEURONS] + from_above)

    layers = [problem.make(rule), problem.make(rule, inputs=NEURONS, seed=3)]
    with torch.no_grad():
        layers[1].w_in.mul_(2)
    stack = nm.RecurrentStack(layers, credit=credit)
    spikes, _ = stack(torch.as_tensor(problem.input()))
    (spikes * torch.as_tensor(signal)).sum().backward()
    for layer, run, p in zip(layers, (lower, upper), (p_lower, p_upper), strict=True):
        found = rules.Gradient(*(w.grad.numpy() for w in (layer.w_in, layer.w_rec)))
        assert distance(found, rules.gradient(run, p)) < 1e-10


@pytest.mark.parametrize("wrong", [-1, 1.5, "one", True])
def test_wrong_hops(wrong: Any) -> None:
    with pytest.raises((ValueError, TypeError), match="KHop"):
        khop(wrong)


@pytest.mark.parametrize("wrong", ["k-hop", "", None, 3, object()])
def test_unknown_rules(wrong: Any) -> None:
    with pytest.raises((ValueError, TypeError), match="learning_rule"):
        nm.Recurrent(nm.ALIF(3), 2, learning_rule=wrong)
    layer = nm.Recurrent(nm.ALIF(3), 2)
    with pytest.raises((ValueError, TypeError), match="learning_rule"):
        layer.learning_rule = wrong
