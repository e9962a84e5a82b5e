"""The oracles agree with one another, and with what the package does already: e-prop and BPTT."""

from __future__ import annotations

import numpy as np
import pytest

from tests.learning.oracles import rules
from tests.learning.oracles.problems import ALIF, PROBLEMS, STDP, STEPS, Problem, backward, distance

EVERY = pytest.mark.parametrize("problem", PROBLEMS, ids=str)


@EVERY
@pytest.mark.parametrize("rule", ["eprop", "bptt"])
def test_the_package_gives_the_oracles_spikes_and_gradient(problem: Problem, rule: str) -> None:
    run, signal = problem.run(), problem.signal()
    spikes, found = backward(problem.make(rule), problem.input(), signal)
    assert np.abs(spikes - run.z).max() < 1e-11
    expected = rules.eprop(run, signal)
    if rule == "bptt":
        expected = rules.gradient(run, rules.bptt(run, signal))
    assert distance(found, expected) < 1e-11


@EVERY
def test_traces_and_recursion_are_the_same_rule(problem: Problem) -> None:
    run, signal = problem.run(), problem.signal()
    for hops in (0, 1, 2):
        turned_round = rules.gradient(run, rules.khop(run, signal, hops))
        assert distance(rules.khop_traces(run, signal, hops), turned_round) < 1e-12
    exact = rules.gradient(run, rules.bptt(run, signal))
    assert distance(rules.gradient(run, rules.khop(run, signal, STEPS)), exact) < 1e-12


@EVERY
def test_each_hop_counts(problem: Problem) -> None:
    """Negative control: no two of these rules are the same on a live network."""
    run, signal = problem.run(), problem.signal()
    found = [rules.khop_traces(run, signal, hops) for hops in (0, 1, 2)]
    found.append(rules.gradient(run, rules.bptt(run, signal)))
    for i, one in enumerate(found):
        for other in found[:i]:
            assert distance(one, other) > 1e-6


@pytest.mark.parametrize("problem", [*ALIF, *STDP], ids=str)
def test_rflo_traces_and_recursion_are_the_same_rule(problem: Problem) -> None:
    run, signal = problem.run(), problem.signal()
    found = rules.rflo(run, signal)
    assert distance(rules.gradient(run, rules.rflo_adjoint(run, signal)), found) < 1e-12
    assert (distance(found, rules.eprop(run, signal)) > 1e-3) == any_path_dropped(problem)


def any_path_dropped(problem: Problem) -> bool:
    """Without adaptation, and with the reset detached or absent, RFLO is e-prop."""
    neuron = problem.neuron
    return neuron.beta > 0 or not (neuron.detached or neuron.reset == "none")
