"""Two executors of NIR graphs that know nothing of this package.

`run` is written from the definitions of the nodes; `run_nirtorch` lets nirtorch order the nodes and delay the loops.
Both take forward Euler steps of NIR's equations.
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


SPIKING = (nir.LIF, nir.CubaLIF, nir.IF, nir.Threshold)


def run(
    graph: Any,
    inputs: Array,
    dt: float,
    *,
    reset: str = "value",
    synapse: str = "old",
    unit_step: bool = False,
) -> Array:
    """Output for inputs (T, batch, ...), dt in seconds; spikes that flow back to their neuron take one step."""
    nodes, edges = flatten(graph)
    late = {(a, b) for a, b in edges if isinstance(nodes[a], SPIKING) and a in reach(b, edges)}
    prompt = {name: [a for a, b in edges - late if b == name] for name in nodes}
    delayed = {name: [a for a, b in late if b == name] for name in nodes}
    order = list(TopologicalSorter(prompt).static_order())
    (source,) = (n for n, node in graph.nodes.items() if isinstance(node, nir.Input))
    (sink,) = (n for n, node in graph.nodes.items() if isinstance(node, nir.Output))
    v: dict[str, Array] = {}
    i: dict[str, Array] = {}
    lines: dict[str, list[Array]] = {name: [] for name in nodes}
    before: dict[str, Any] = {
        a: np.zeros((len(inputs[0]), *nodes[a].output_type["output"])) for a, _ in late
    }
    outputs = []
    for x in inputs:
        now: dict[str, Any] = {}
        for name in order:
            node = nodes[name]
            if name == source:
                now[name] = x
                continue
            signal: Any = sum([now[a] for a in prompt[name]] + [before[a] for a in delayed[name]])
            if name not in v:
                v[name], i[name] = np.zeros(np.shape(signal)), np.zeros(np.shape(signal))
            if isinstance(node, nir.CubaLI | nir.CubaLIF):
                new = i[name] + dt / node.tau_syn * (node.w_in * signal - i[name])
                signal, i[name] = (new if synapse == "new" else i[name]), new
            if isinstance(node, nir.LI | nir.LIF):
                v[name] = v[name] + dt / node.tau * (node.v_leak - v[name] + node.r * signal)
            elif isinstance(node, nir.CubaLI | nir.CubaLIF):
                v[name] = v[name] + dt / node.tau_mem * (node.v_leak - v[name] + node.r * signal)
            elif isinstance(node, nir.I | nir.IF):
                v[name] = v[name] + (1.0 if unit_step else dt) * node.r * signal
            if isinstance(node, nir.LIF | nir.CubaLIF | nir.IF):
                now[name] = (v[name] > node.v_threshold) * 1.0
                to = v[name] - node.v_threshold if reset == "subtract" else node.v_reset
                v[name] = np.where(now[name] > 0, to, v[name])
            elif isinstance(node, nir.LI | nir.CubaLI | nir.I):
                now[name] = v[name]
            elif isinstance(node, nir.Delay):
                lines[name].append(np.asarray(signal))
                now[name] = late_by(lines[name], np.rint(node.delay / dt).astype(int))
            else:
                now[name] = stateless(node, signal)
        before = now
        outputs.append(now[sink])
    return np.stack(outputs)


def late_by(line: list[Array], steps: Any) -> Array:
    """Each feature as it was its own number of steps ago."""
    out = np.zeros_like(line[-1])
    for place, step in np.ndenumerate(np.broadcast_to(steps, out.shape[1:])):
        if step < len(line):
            out[(slice(None), *place)] = line[-1 - step][(slice(None), *place)]
    return out


def stateless(node: Any, x: Array) -> Array:
    """Output of a node that remembers nothing, for inputs (batch, ...)."""
    if isinstance(node, nir.Input | nir.Output):
        return x
    if isinstance(node, nir.Linear):
        return x @ node.weight.T
    if isinstance(node, nir.Affine):
        return x @ node.weight.T + node.bias
    if isinstance(node, nir.Scale):
        return x * node.scale
    if isinstance(node, nir.Threshold):
        return (x > node.threshold) * 1.0
    if isinstance(node, nir.Flatten):
        axes = list(x.shape[1:])
        start, end = node.start_dim % len(axes), node.end_dim % len(axes)
        return x.reshape(len(x), *axes[:start], -1, *axes[end + 1 :])
    if isinstance(node, nir.SumPool2d | nir.AvgPool2d):
        patches = windows(x, node.kernel_size, node.stride, node.padding, (1, 1))
        return patches.sum((-2, -1)) if isinstance(node, nir.SumPool2d) else patches.mean((-2, -1))
    if isinstance(node, nir.Conv2d):
        w = node.weight
        patches = windows(x, w.shape[2:], node.stride, node.padding, node.dilation)
        groups = [
            np.einsum("bcyxij,ocij->boyx", p, k)
            for p, k in zip(
                np.split(patches, node.groups, 1), np.split(w, node.groups, 0), strict=True
            )
        ]
        return np.concatenate(groups, 1) + node.bias[:, None, None]
    if isinstance(node, nir.Conv1d):
        flat = nir.Conv2d(
            None, node.weight[:, :, None], (1, *pair(node.stride)[:1]), (0, *pair(node.padding)[:1]),
            (1, *pair(node.dilation)[:1]), node.groups, node.bias,
        )  # fmt: skip
        return stateless(flat, x[:, :, None])[:, :, 0]
    raise TypeError(type(node).__name__)


def pair(value: Any) -> tuple[int, ...]:
    sizes = tuple(int(n) for n in np.atleast_1d(value))
    return sizes * 2 if len(sizes) == 1 else sizes


def windows(x: Array, kernel: Any, stride: Any, padding: Any, dilation: Any) -> Array:
    """Patches (batch, channel, y, x, i, j)."""
    (ky, kx), (sy, sx), (py, px), (dy, dx) = map(pair, (kernel, stride, padding, dilation))
    x = np.pad(x, ((0, 0), (0, 0), (py, py), (px, px)))
    span = ((ky - 1) * dy + 1, (kx - 1) * dx + 1)
    view = np.lib.stride_tricks.sliding_window_view(x, span, axis=(2, 3))
    return view[:, :, ::sy, ::sx, ::dy, ::dx]


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
