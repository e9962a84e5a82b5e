"""Imported networks learn."""

from __future__ import annotations

from typing import Any

import nir
import numpy as np
import pytest
import torch
from torch import nn

import snn_neuromod as nm
from snn_neuromod.nir import from_nir
from tests.nir.graphs import (
    DT,
    RNG,
    B,
    N,
    T,
    chain,
    cuba,
    ends,
    events,
    lif,
    recurrent,
)


@pytest.mark.parametrize("kind", ["LIF", "CubaLIF"])
@pytest.mark.parametrize("rule", ["bptt", "eprop", "khop", "rflo", nm.learning.rules.KHop(T)])
def test_imported_neurons_learn(rule: Any, kind: str) -> None:
    if kind == "CubaLIF":
        graph, tau = recurrent(cuba(nir.CubaLIF), nested=False), "tau_mem"
    else:
        graph, tau = recurrent(lif(), nested=False), "tau"
    net = from_nir(graph, DT, learning_rule=rule, learn=[tau, "v_threshold"], dtype=torch.float64)
    exact = from_nir(graph, DT, learn=[tau, "v_threshold"], dtype=torch.float64)
    x = torch.tensor(events(N))
    for network in (net, exact):
        (network(x)[0] * torch.linspace(0, 1, T)[:, None, None]).sum().backward()
    gradients = {name: p.grad for name, p in net.named_parameters()}
    assert {n.rpartition(".")[2] for n in gradients} == {"weight", "bias", tau, "v_threshold"}
    assert all(g is not None and g.any(-1).all() for g in gradients.values())
    same = [
        torch.allclose(p.grad, q.grad, rtol=1e-8, atol=1e-10)
        for p, q in zip(net.parameters(), exact.parameters(), strict=True)
    ]
    assert all(same) if rule == "bptt" or not isinstance(rule, str) else not any(same)


def test_gradients_are_those_of_the_unrolled_equations() -> None:
    graph = recurrent(lif(), nested=False)
    net = from_nir(graph, DT, dtype=torch.float64)
    x = torch.tensor(events(N))
    weight = net["w"].weight
    node = graph.nodes["lif"]
    tau, r, leak, th, v_reset = (
        torch.tensor(getattr(node, k)) for k in ("tau", "r", "v_leak", "v_threshold", "v_reset")
    )
    bias = torch.tensor(graph.nodes["w"].bias)
    v, z, outputs = torch.zeros(B, N).double(), torch.zeros(B, N).double(), []
    for current in x:
        drive = current + z @ weight.T + bias
        v = v + 1e-3 * DT / tau * (leak - v + r * drive)
        z = nm.Psi()(v - th, th)
        v = v + z * (v_reset - v)
        outputs.append(z)
    scale = torch.linspace(0, 1, T)[:, None, None]
    expected = torch.autograd.grad((torch.stack(outputs) * scale).sum(), weight)[0]
    found = torch.autograd.grad((net(x)[0] * scale).sum(), weight)[0]
    assert expected.abs().max() > 0.1
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)


def test_a_threshold_of_zero_has_a_gradient() -> None:
    source, sink = ends(N)
    graph = chain(
        source, nir.Linear(RNG(0).normal(size=(N, N))), lif(v_threshold=np.zeros(N)), sink
    )
    net: nn.Module = from_nir(graph, DT)
    net(torch.randn(T, B, N))[0].sum().backward()
    assert all(p.grad.isfinite().all() and p.grad.any() for p in net.parameters())
