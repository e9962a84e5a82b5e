"""RFLO against its explicit traces: one for each synapse, that decays as the membrane does."""

from __future__ import annotations

import numpy as np
import pytest

from tests.learning.oracles import rules
from tests.learning.oracles.problems import ALIF, STDP, Problem, backward, distance

THRESHOLD = pytest.mark.parametrize("problem", [*ALIF, *STDP], ids=str)


@THRESHOLD
def test_it_is_the_oracle(problem: Problem) -> None:
    run, signal = problem.run(), problem.signal()
    spikes, found = backward(problem.make("rflo"), problem.input(), signal)
    assert np.abs(spikes - run.z).max() < 1e-11
    assert distance(found, rules.rflo(run, signal)) < 1e-10


@THRESHOLD
def test_it_is_not_eprop_where_there_is_a_path_to_drop(problem: Problem) -> None:
    """Negative control: adaptation or an attached reset tell the two apart; without both they are one."""
    x, signal, neuron = problem.input(), problem.signal(), problem.neuron
    _, found = backward(problem.make("rflo"), x, signal)
    _, eprop = backward(problem.make("eprop"), x, signal)
    _, bptt = backward(problem.make("bptt"), x, signal)
    dropped = neuron.beta > 0 or not (neuron.detached or neuron.reset == "none")
    assert (distance(found, eprop) > 1e-3) == dropped
    assert distance(found, bptt) > 1e-3
