"""The graphs of NIR's paper."""

from __future__ import annotations

from typing import Any

import nir
import numpy as np
import pytest
import torch

from snn_neuromod.nir import from_nir
from tests.nir.graphs import (
    PAPER,
    T,
    check,
    events,
)
from tests.nir.interpreters import run

SUBTRACT = {"reset": "subtract"}
GRAPHS: list[tuple[str, tuple[int, ...], float, dict[str, Any]]] = [
    ("lif_norse", (1,), 1.0, {}),
    ("cnn_sinabs", (2, 34, 34), 0.1, {"unit_step": True}),
    ("cnn_sinabs", (2, 34, 34), 0.1, {"unit_step": True, "reset": "subtract"}),
    ("braille_noDelay_bias_zero", (12,), 0.1, {}),
    ("braille_noDelay_bias_zero", (12,), 0.1, {"synapse": "new"}),
    ("braille_noDelay_bias_zero", (12,), 0.1, SUBTRACT),
]


@pytest.mark.skipif(not PAPER.exists(), reason="the graphs of NIR's paper are not here")
@pytest.mark.parametrize(("name", "shape", "dt", "conventions"), GRAPHS)
def test_graphs_of_nirs_paper(
    name: str, shape: tuple[int, ...], dt: float, conventions: dict[str, Any]
) -> None:
    path = PAPER / f"{name}.nir"
    x = events(*shape, rate=0.2)[: 30 if name == "cnn_sinabs" else T]
    expected = run(nir.read(path), x, 1e-3 * dt, **conventions)
    assert 0 < expected.mean() < 1
    output, _ = from_nir(path, dt, dtype=torch.float64, **conventions)(torch.tensor(x))
    assert np.array_equal(output.detach().numpy(), expected)


@pytest.mark.skipif(not PAPER.exists(), reason="the graphs of NIR's paper are not here")
def test_two_neurons_of_nirs_paper() -> None:
    """Its second neuron is for spikes of height 1 / dt; those of height 1 leave it below its threshold."""
    graph, x = nir.read(PAPER / "two_lif_neurons.nir"), events(1)
    membrane = nir.LI(graph.nodes["lif2"].tau, graph.nodes["lif2"].r, graph.nodes["lif2"].v_leak)
    for last in (graph.nodes["lif2"], membrane):
        graph.nodes["lif2"] = last
        output = check(graph, x, live=False)
    assert output.std() > 0.001
    graph.edges = [("in", "linear1"), ("linear1", "lif1"), ("lif1", "out")]
    graph.nodes = {name: graph.nodes[name] for name in ("in", "linear1", "lif1", "out")}
    check(graph, x)
