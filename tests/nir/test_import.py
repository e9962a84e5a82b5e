"""Graphs of others: run as an explicit Euler simulation that knows nothing of this package runs them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest
import torch

from snn_neuromod.errors import ConfigError, DataError
from snn_neuromod.nir import from_nir, modules
from tests.nir.graphs import (
    DT,
    RNG,
    B,
    N,
    T,
    chain,
    check,
    cuba,
    ends,
    events,
    lif,
    recurrent,
    spread,
)
from tests.nir.interpreters import run


def integrate_fire(unit: float = 1.0) -> Any:
    return nir.IF(spread(0.1, 0.9) / unit, spread(0.5, 1.5, seed=1), spread(-0.5, 0.2, seed=2))


@pytest.mark.parametrize("reset", ["value", "subtract"])
@pytest.mark.parametrize("synapse", ["old", "new"])
def test_neurons_that_spike(reset: str, synapse: str) -> None:
    check(chain(nir.Input(np.array([N])), lif(), nir.Output(np.array([N]))), events(N), reset=reset)
    source, sink = ends(N)
    graph = chain(source, cuba(nir.CubaLIF), sink)
    check(graph, events(N), reset=reset, synapse=synapse)
    # the other convention is another network
    other = {"old": "new", "new": "old"}[synapse]
    there = run(graph, events(N), 1e-3 * DT, reset=reset, synapse=other)
    here = run(graph, events(N), 1e-3 * DT, reset=reset, synapse=synapse)
    assert (there != here).any()


@pytest.mark.parametrize("unit_step", [False, True])
@pytest.mark.parametrize("reset", ["value", "subtract"])
def test_integrate_and_fire(unit_step: bool, reset: str) -> None:
    source, sink = ends(N)
    unit = 1.0 if unit_step else 1e-3 * DT
    check(chain(source, integrate_fire(unit), sink), events(N), unit_step=unit_step, reset=reset)
    integrator = chain(source, nir.I(spread(0.1, 0.9) / unit), sink)
    check(integrator, events(N), unit_step=unit_step, live=False)


def test_neurons_without_spikes_and_nodes_without_state() -> None:
    source, sink = ends(N)
    li = nir.LI(spread(1e-3, 4e-3), spread(0.5, 2.0, seed=1), spread(-1.0, 1.0, seed=2))
    for node in (li, cuba(nir.CubaLI), nir.Scale(spread(-2, 2)), nir.Threshold(spread(-0.5, 1.5))):
        output = check(chain(source, node, sink), events(N), live=False)
        assert output.std() > 0.01
    check(chain(source, cuba(nir.CubaLI), sink), events(N), live=False, synapse="new")


@pytest.mark.parametrize("shape", [(), (1,), (2, 3, 4)])
def test_parameters_of_any_shape(shape: tuple[int, ...]) -> None:
    features = shape if len(shape) == 3 else (N,)
    source, sink = ends(*features)
    for node in ((lif(*shape) if shape else nir.LIF(*map(np.array, (2e-3, 1.5, 0.0, 0.15)))),):
        check(chain(source, node, sink), events(*features))
    uniform = {"tau": 2e-3, "r": 1.0, "v_leak": 0.0, "v_threshold": 0.1, "v_reset": 0.0}
    node = nir.LIF(**{key: np.full(shape, value) for key, value in uniform.items()})
    check(chain(source, node, sink), events(*features))


def test_delays() -> None:
    source, sink = ends(N)
    graph = chain(source, nir.Delay(1e-3 * DT * np.arange(N)), lif(), sink)
    check(graph, events(N))
    net, x = from_nir(graph, DT), torch.tensor(events(N)).float()
    whole, _ = net(x)
    first, state = net(x[:2])  # shorter than the longest delay
    second, state = net(x[2:70], state)
    third, _ = net(x[70:], state)
    assert torch.equal(torch.cat([first, second, third]), whole)
    with pytest.raises(ConfigError, match="dt must divide the delays of node 'n0'"):
        from_nir(graph, 0.07)


def test_convolutions_and_pools() -> None:
    rng = RNG(0)
    weight = rng.normal(size=(4, 1, 3, 3))
    nodes = [
        nir.Conv2d((12, 12), weight, (2, 1), (1, 2), (1, 2), 2, rng.normal(size=4)),
        nir.LIF(*(np.full((4, 6, 12), v) for v in (2e-3, 3.0, 0.0, 0.2))),
        nir.SumPool2d(np.array([2, 2]), np.array([2, 2]), np.array([1, 0])),
        nir.AvgPool2d(np.array([2, 3]), np.array([1, 2]), np.array([1, 0])),
        nir.Flatten({"input": None}, 0, -1),
        nir.Affine(rng.normal(size=(N, 40)) / 2, rng.normal(size=N)),
        lif(),
    ]
    graph = chain(nir.Input(np.array([2, 12, 12])), *nodes, nir.Output(np.array([N])))
    check(graph, events(2, 12, 12))
    conv = nir.Conv1d(10, rng.normal(size=(N, 2, 3)), 2, 1, 1, 1, rng.normal(size=N))
    graph = chain(
        nir.Input(np.array([2, 10])), conv, nir.Flatten({"input": None}, -2, -1), *ends(N)[1:]
    )
    check(graph, events(2, 10), live=False)


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("affine", [False, True])
@pytest.mark.parametrize("extra", [False, True])
def test_recurrent_graphs(nested: bool, affine: bool, extra: bool) -> None:
    for neuron in (lif(), cuba(nir.CubaLIF)):
        graph = recurrent(neuron, nested=nested, affine=affine, extra=extra)
        check(graph, events(N))
        net, x = from_nir(graph, DT), torch.tensor(events(N)).float()
        whole, _ = net(x)
        first, state = net(x[:40])
        second, _ = net(x[40:], state)
        assert torch.equal(torch.cat([first, second]), whole)
        kind = modules.Loop if extra else modules.Recurrence
        assert any(isinstance(layer, kind) for layer in net.layers)
        name = "rnn.w" if nested else "w"
        assert net[name].weight.shape == (N, N)


def test_a_loop_without_neurons_is_refused_and_one_of_integrators_is_not() -> None:
    source, sink = ends(N)
    weights = nir.Linear(0.1 * RNG(0).normal(size=(N, N)))
    nodes = {"input": source, "a": weights, "b": nir.Scale(np.full(N, 0.5)), "output": sink}
    edges = [("input", "a"), ("a", "b"), ("b", "a"), ("b", "output")]
    with pytest.raises(DataError, match="loops must have a neuron in them"):
        from_nir(nir.NIRGraph(nodes, edges, type_check=False), DT)
    nodes["b"] = nir.LI(np.full(N, 2e-3), np.ones(N), np.zeros(N))
    output, _ = from_nir(nir.NIRGraph(nodes, edges, type_check=False), DT)(torch.rand(T, B, N))
    assert output.std() > 0.01


def test_shapes_that_a_file_says_wrongly_do_not_matter(tmp_path: Path) -> None:
    """One of the paper's files gives its output another shape than its neuron."""
    nodes = {
        "input": nir.Input(np.array([N])),
        "n": lif(),
        "output": nir.Output(np.array([1, 1, N])),
    }
    graph = nir.NIRGraph(nodes, [("input", "n"), ("n", "output")], type_check=False)
    nir.write(tmp_path / "a.nir", graph)
    with pytest.raises(ValueError, match="type mismatch"):
        nir.read(tmp_path / "a.nir")
    output, _ = from_nir(tmp_path / "a.nir", DT)(torch.tensor(events(N)).float())
    assert output.any()
