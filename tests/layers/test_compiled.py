"""Traces, compiled layers, and the graph behind a run, for all layers and options."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch.testing import assert_close

from tests.helpers import graph_nodes
from tests.layers.cases import (
    CASES,
    DEFAULTS_LEARN,
    LayerCase,
    assert_live,
    every_class,
    every_layer,
)

pytestmark = pytest.mark.usefixtures("device")

compiles = pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")


@every_class
def test_a_trace_holds_the_neuron(case: LayerCase) -> None:
    """A trace sees what PyTorch's own operations do, and nothing of a kernel but uninitialised memory."""
    layer, current = case.make(), case.current(dtype=torch.float64)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=torch.jit.TracerWarning)
        warnings.filterwarnings("ignore", message="`torch.jit.trace` is deprecated")
        traced = torch.jit.trace(lambda x: layer(x)[0], current, check_trace=False)
    for x in (current, current.flip(0)):
        assert_close(traced(x), layer(x)[0], rtol=1e-9, atol=1e-9)
    assert_live(traced(current))


@every_layer
@compiles
def test_forward_compiles_to_one_graph_with_its_gradient(case: LayerCase) -> None:
    """Defaults with all that they learn, other options with nothing."""
    torch._dynamo.reset()
    layer = case.make(learn=DEFAULTS_LEARN[case.layer] if case.label == "default" else ())
    current = case.current(10).requires_grad_()
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    results = []
    for run in (layer, compiled):
        spikes, state = run(current)
        (by_current, *learned) = torch.autograd.grad(spikes.sum(), [current, *layer.parameters()])
        results.append(((spikes, *state, by_current), learned))
    (found, learned), (expected, rounded) = results
    assert all(map(torch.equal, found, expected))
    for a, b in zip(learned, rounded, strict=True):
        assert_close(a, b, rtol=1e-5, atol=1e-6)


@every_layer
@compiles
def test_step_compiles_to_one_graph(case: LayerCase) -> None:
    torch._dynamo.reset()
    layer, current = case.make(), case.current(3)
    compiled = torch.compile(layer.step, fullgraph=True, backend="eager")
    state = expected_state = layer.initial_state(current[0])
    for current_t in current:
        expected, expected_state = layer.step(current_t, expected_state)
        spikes, state = compiled(current_t, state)
        assert torch.equal(spikes, expected)
    assert all(map(torch.equal, state, expected_state))


@pytest.mark.parametrize("case", [c for c in CASES if c.label != "own spike function"], ids=str)
def test_the_graph_does_not_grow_with_the_sequence(case: LayerCase) -> None:
    """One operator whatever T is: no slice of the sequence with a full-size gradient of its own."""
    layer = case.make(learn=DEFAULTS_LEARN[case.layer] if case.label == "default" else ())
    counts = []
    for num_steps in (3, 300):
        names = graph_nodes(layer(case.current(num_steps).requires_grad_())[0])
        assert not [n for n in names if n.startswith(("Select", "Slice", "Index", "Stack"))]
        counts.append(len(names))
    assert counts[0] == counts[1]
