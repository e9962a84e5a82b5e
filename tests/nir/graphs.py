"""Graphs as others write them, and the simulation that they are held to."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import nir
import numpy as np
import torch
from torch import Tensor

from snn_neuromod.nir import from_nir
from tests.nir.interpreters import Array, run

PAPER = Path(__file__).parents[3] / "shared" / "data" / "nir"
N, B, T, DT = 5, 3, 150, 0.1  # ms
RNG = np.random.default_rng


def events(*shape: int, rate: float = 0.3, seed: int = 0, gain: float = 1.0) -> Array:
    return (RNG(seed).random((T, B, *shape)) < rate) * gain


def check(graph: Any, x: Array, *, live: bool = True, dt: float = DT, **conventions: Any) -> Tensor:
    """The network equals the simulation, and its spikes tell something."""
    expected = run(graph, x, 1e-3 * dt, **conventions)
    net = from_nir(graph, dt, dtype=torch.float64, **conventions)
    output, _ = net(torch.tensor(x))
    if live:
        assert set(np.unique(expected)) == {0.0, 1.0}
    np.testing.assert_allclose(output.detach().numpy(), expected, rtol=0, atol=1e-10)
    return output


def chain(*nodes: Any) -> Any:
    """A graph of nodes one after another."""
    names = ["input", *(f"n{k}" for k in range(len(nodes) - 2)), "output"]
    return nir.NIRGraph(
        dict(zip(names, nodes, strict=True)), list(pairwise(names)), type_check=False
    )


def ends(*shape: int) -> tuple[Any, Any]:
    return nir.Input(np.array(shape)), nir.Output(np.array(shape))


def spread(low: float, high: float, *shape: int, seed: int = 0) -> Array:
    return RNG(seed).uniform(low, high, shape or (N,))


def lif(*shape: int, **values: Any) -> Any:
    shape = shape or (N,)
    given = {
        "tau": spread(1e-3, 4e-3, *shape, seed=1),
        "r": spread(0.5, 2.0, *shape, seed=2),
        "v_leak": spread(-0.1, 0.1, *shape, seed=3),
        "v_threshold": spread(0.1, 0.2, *shape, seed=4),
        "v_reset": spread(-0.2, 0.05, *shape, seed=5),
    }
    return nir.LIF(**{**given, **values})


def cuba(kind: Any, **values: Any) -> Any:
    given = {
        "tau_syn": spread(5e-4, 1e-3, seed=1),
        "tau_mem": spread(1e-3, 3e-3, seed=2),
        "r": spread(0.5, 2.0, seed=3),
        "v_leak": spread(-0.1, 0.1, seed=4),
        "w_in": spread(0.5, 2.0, seed=5),
    }
    if kind is nir.CubaLIF:
        given |= {"v_threshold": spread(0.1, 0.2, seed=6), "v_reset": spread(-0.2, 0.05, seed=7)}
    return kind(**{**given, **values})


def recurrent(neuron: Any, *, nested: bool, affine: bool = True, extra: bool = False) -> Any:
    rng = RNG(7)
    weight, bias = rng.normal(size=(N, N)), rng.normal(size=N) / 10
    w = nir.Affine(weight, bias) if affine else nir.Linear(weight)
    inner = {"lif": neuron, "w": w}
    loop = [("lif", "w"), ("w", "lif")]
    if extra:  # a loop of two populations
        inner |= {"other": lif(), "back": nir.Linear(rng.normal(size=(N, N)))}
        loop = [("lif", "w"), ("w", "other"), ("other", "back"), ("back", "lif")]
    source, sink = ends(N)
    nodes = {"input": source, **inner, "output": sink}
    edges = [("input", "lif"), *loop, ("lif", "output")]
    if not nested:
        return nir.NIRGraph(nodes, edges)
    outer = {
        "input": nir.Input(np.array([N])),
        "rnn": nir.NIRGraph(nodes, edges),
        "output": ends(N)[1],
    }
    return nir.NIRGraph(outer, [("input", "rnn"), ("rnn", "output")])
