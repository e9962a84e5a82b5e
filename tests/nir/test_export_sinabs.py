"""What is written, as Sinabs reads it."""

from __future__ import annotations

import warnings
from typing import Any

import nir
import numpy as np
import pytest
import snntorch
import torch
from torch import Tensor, nn

import snn_neuromod as nm
from snn_neuromod.nir import to_nir
from tests.nir.networks import (
    OUT,
    B,
    Chain,
    N,
    T,
    first_of,
    linear,
    stimulus,
)


def by_sinabs_rule(graph: Any, x: Tensor) -> Tensor:
    """Sinabs's own neuron: decay exp(-1 / tau) with tau in steps, spikes counted and subtracted."""
    signal = x.double().numpy()
    for name in ("_0", "_1", "_2", "_3"):
        node = graph.nodes[name]
        if isinstance(node, nir.Affine):
            signal = signal @ node.weight.T.astype(float) + node.bias
            continue
        v, outputs = np.zeros(signal.shape[1:]), []
        for step in signal:
            v = np.exp(-1 / node.tau) * v + step
            spikes = np.floor(np.maximum(v / node.v_threshold, 0))
            v = v - spikes * node.v_threshold
            outputs.append(spikes)
        signal = np.stack(outputs)
    return torch.tensor(signal)


def by_sinabs(graph: Any, x: Tensor) -> Tensor:
    """Sinabs's importer; it takes samples one after another."""
    sinabs = pytest.importorskip("sinabs.nir")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = sinabs.from_nir(graph, batch_size=B)
    with torch.no_grad():
        y = first_of(module(x.transpose(0, 1).flatten(0, 1)))
    return y.unflatten(0, (B, T)).transpose(0, 1)


@pytest.mark.parametrize("soft", [False, True])
def test_sinabs_reads_it_as_its_own_neuron(soft: bool) -> None:
    pytest.importorskip("sinabs")
    kind = {"init_hidden": True, "reset_mechanism": "subtract" if soft else "zero"}
    net = nn.Sequential(
        linear(),
        snntorch.Leaky(0.6, threshold=3.0, **kind),
        linear(N, OUT),
        snntorch.Leaky(0.5, **kind),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        graph = to_nir(net, dt=1000.0, soft_reset="lif")  # tau counted in steps
    expected = by_sinabs_rule(graph, stimulus())
    assert expected.std() > 0
    assert torch.equal(by_sinabs(graph, stimulus()).double(), expected)


def test_a_reader_of_sinabs_takes_our_integrators() -> None:
    pytest.importorskip("sinabs")
    net = Chain(linear(), nm.LeakyIntegrator(N, tau=7.0))
    graph = to_nir(net, dt=1000.0)
    x = stimulus()
    alpha = np.exp(-1 / graph.nodes["layers_1"].tau)
    weights, y, outputs = graph.nodes["layers_0"], np.zeros((B, N)), []
    for step in x.double().numpy():
        y = alpha * y + step @ weights.weight.T + weights.bias
        outputs.append(y)
    torch.testing.assert_close(
        by_sinabs(graph, x).double(), torch.tensor(np.stack(outputs)), rtol=1e-4, atol=1e-3
    )
