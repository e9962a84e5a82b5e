"""Two executors of NIR graphs that know nothing of this package.

`run` is written from the definitions of the nodes; `run_nirtorch` lets nirtorch order the nodes and delay the loops.
Both take forward Euler steps.
"""

from __future__ import annotations

from graphlib import TopologicalSorter
from typing import Any

import nir
import nirtorch
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

Array = NDArray[np.float64]


def flatten(graph: Any, prefix: str = "") -> tuple[dict[str, Any], set[tuple[str, str]]]:
    """Nodes and edges with those of the graphs inside, named graph/node."""
    nodes: dict[str, Any] = {}
    edges: set[tuple[str, str]] = set()
    first, last = {}, {}
    for name, node in graph.nodes.items():
        full = first[name] = last[name] = prefix + name
        if isinstance(node, nir.NIRGraph):
            inner, inner_edges = flatten(node, full + "/")
            nodes |= inner
            edges |= inner_edges
            first[name] = next(k for k, n in node.nodes.items() if isinstance(n, nir.Input))
            last[name] = next(k for k, n in node.nodes.items() if isinstance(n, nir.Output))
            first[name], last[name] = f"{full}/{first[name]}", f"{full}/{last[name]}"
        else:
            nodes[full] = node
    return nodes, edges | {(last[a], first[b]) for a, b in graph.edges}


def reach(start: str, edges: set[tuple[str, str]]) -> set[str]:
    """Nodes downstream of a node."""
    seen: set[str] = set()
    todo = [start]
    while todo:
        node = todo.pop()
        new = {b for a, b in edges if a == node} - seen
        seen |= new
        todo += new
    return seen


def run(graph: Any, inputs: Array, dt: float) -> Array:
    """Output for inputs (T, batch, features); spikes that flow back to their Threshold take one step."""
    nodes, edges = flatten(graph)
    late = {
        (a, b) for a, b in edges if isinstance(nodes[a], nir.Threshold) and a in reach(b, edges)
    }
    prompt = {name: [a for a, b in edges - late if b == name] for name in nodes}
    delayed = {name: [a for a, b in late if b == name] for name in nodes}
    order = list(TopologicalSorter(prompt).static_order())
    (source,) = (n for n, node in graph.nodes.items() if isinstance(node, nir.Input))
    (sink,) = (n for n, node in graph.nodes.items() if isinstance(node, nir.Output))
    v: dict[str, Any] = dict.fromkeys(nodes, 0.0)
    before = {name: np.zeros(*node.output_type.values()) for name, node in nodes.items()}
    outputs = []
    for x in inputs:
        now: dict[str, Any] = {}
        for name in order:
            signal = sum([now[a] for a in prompt[name]] + [before[a] for a in delayed[name]])
            node = nodes[name]
            if name == source:
                now[name] = x
            elif isinstance(node, nir.Input | nir.Output):
                now[name] = signal
            elif isinstance(node, nir.Linear):
                now[name] = signal @ node.weight.T
            elif isinstance(node, nir.Affine):
                now[name] = signal @ node.weight.T + node.bias
            elif isinstance(node, nir.Scale):
                now[name] = signal * node.scale
            elif isinstance(node, nir.Threshold):
                now[name] = (signal > node.threshold) * 1.0
            elif isinstance(node, nir.LI):
                drift = node.v_leak - v[name] + node.r * signal
                v[name] = now[name] = v[name] + dt / node.tau * drift
            else:
                raise TypeError(type(node).__name__)
        before = now
        outputs.append(now[sink])
    return np.stack(outputs)


class LI(nn.Module):
    def __init__(self, node: Any, dt: float) -> None:
        super().__init__()
        self.gain, self.r = torch.tensor(dt / node.tau), torch.tensor(node.r)

    def forward(self, x: Tensor, state: Any = None) -> tuple[Tensor, Tensor]:
        v = torch.zeros_like(x * self.r) if state is None else state
        v = v + self.gain * (self.r * x - v)
        return v, v


class Scale(nn.Module):
    def __init__(self, node: Any) -> None:
        super().__init__()
        self.scale = torch.tensor(node.scale)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale


class Threshold(nn.Module):
    def __init__(self, node: Any) -> None:
        super().__init__()
        self.threshold = torch.tensor(node.threshold)

    def forward(self, x: Tensor) -> Tensor:
        return (x > self.threshold).to(x.dtype)


def affine(node: Any) -> nn.Linear:
    """What nirtorch's own mapping of Affine does not do: keep the bias."""
    linear = nn.Linear(node.weight.shape[1], node.weight.shape[0])
    linear.weight.data, linear.bias.data = torch.tensor(node.weight), torch.tensor(node.bias)
    return linear


def run_nirtorch(graph: Any, inputs: Array, dt: float) -> Array:
    """Output for inputs (T, batch, features)."""
    nodes = {
        nir.LI: lambda node: LI(node, dt),
        nir.Scale: Scale,
        nir.Threshold: Threshold,
        nir.Affine: affine,
    }
    network = nirtorch.nir_to_torch(graph, nodes, dtype=torch.float64)
    state, outputs = None, []
    for x in torch.tensor(inputs):
        output, state = network(x, state)
        outputs.append(output.detach())
    result: Array = torch.stack(outputs).numpy()
    return result
