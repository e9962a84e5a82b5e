"""The backward pass is linear in the number of steps: no step of it touches the whole sequence."""

import pytest
import torch

import snn_neuromod as nm
from snn_neuromod import dynamics

LAYERS = [
    nm.SRC(3),
    nm.MSRC(3),
    nm.BSRC(3),
    nm.ALIF(3),
    nm.STDPALIF(3),
    nm.Izhikevich(3),
    nm.LeakyIntegrator(3),
    nm.Recurrent(nm.ALIF(3), 3),
    nm.Recurrent(nm.ALIF(3, psi=nm.surrogate.smooth), 3),
    nm.Custom(3, dynamics.alif),
    nm.LeakyReadout(3, 2),
]


def operations(output):
    """Names of all operations that the backward pass of `output` runs."""
    found, waiting = [], [output.grad_fn]
    seen = set()
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        found.append(node.name())
        waiting += [below for below, _ in node.next_functions]
    return found


def sequence(num_steps):
    return torch.rand(num_steps, 2, 3, requires_grad=True)


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: type(layer).__name__)
def test_the_graph_of_a_layer_does_not_grow_with_the_steps(layer):
    short, long = (operations(layer(sequence(num_steps))[0]) for num_steps in (5, 50))
    assert sorted(short) == sorted(long)
    assert "_SequenceBackward" in short


def test_the_reference_scan_does_not_index_the_sequence():
    current = sequence(20)
    start = dynamics.src.initial_state(current[0].detach())
    spikes, _ = dynamics.scan(dynamics.src.step, dynamics.src.Params(), start, current)
    found = operations(spikes)
    assert "SelectBackward0" not in found
    assert found.count("UnbindBackward0") == 1
    # indexed, each step would fill a gradient of the whole sequence
    assert "SelectBackward0" in operations(torch.stack([current[t] for t in range(20)]))
