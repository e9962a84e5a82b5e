"""A graph in the making: nodes of the layers of a network, and gains on their way into the weights."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import nir
import numpy as np
from torch import nn

from snn_neuromod.errors import ConfigError, KindError
from snn_neuromod.nir.subgraphs import Array
from snn_neuromod.nir.writing import our_layers
from snn_neuromod.nir.writing.parts import Export, Part, Shape, weights
from snn_neuromod.nir.writing.torch_layers import LEFT_OUT, Writer
from snn_neuromod.nir.writing.tracing import Call, Trace


class Draft:
    """Nodes and edges of a graph.

    Args:
        writers: What writes the layers of each class.
        export: What the layers have in common.

    Attributes:
        nodes: Nodes by name.
        edges: Edges between them.
    """

    def __init__(self, writers: Mapping[type[nn.Module], Writer], export: Export) -> None:
        self.writers, self.export = writers, export
        self.nodes: dict[str, Any] = {}
        self.edges: list[tuple[str, str]] = []
        self._starts: dict[str, str] = {}
        self._ends: dict[str, tuple[str, ...]] = {}
        self._shapes: dict[str, Shape] = {}
        self._inputs: dict[str, tuple[Array, Array | None]] = {}

    def fill(self, trace: Trace, sample: Shape | None) -> None:
        """Write the layers of a network.

        Args:
            trace: What the network does.
            sample: Shape of an input, with the axes before its features, or None.
        """
        for call in trace.calls:
            layer = _lifted(call.layer)
            if type(layer) not in self.writers and type(layer) not in LEFT_OUT:
                error = our_layers.refusal(layer, tuple(self.writers))
                raise KindError(f"to_nir: node {call.path!r}: {error}")
        shape = _input_shape(trace, sample, self.export.leading)
        self.nodes[trace.input] = nir.Input(np.array(shape))
        self._ends[trace.input], self._shapes[trace.input] = (trace.input,), shape
        for call in trace.calls:
            self._add(call)
        ends = [end for source in trace.output for end in self._ends[source]]
        self.nodes["output"] = nir.Output(np.array(self._shapes[ends[0]]))
        self.edges += [(end, "output") for end in ends]
        self.edges += [(end, self._starts[b]) for a, b in trace.back for end in self._ends[a]]
        for name, (gain, bias) in self._inputs.items():
            self._fold(name, gain, bias)
        self._sort()

    def _add(self, call: Call) -> None:
        sources = tuple(end for source in call.sources for end in self._ends[source])
        layer = _lifted(call.layer)
        if type(layer) in LEFT_OUT:
            self._ends[call.name] = sources
            return
        try:
            shape = self._shapes[sources[0]] if sources else ()  # weights in a loop
            parts = self.writers[type(layer)](layer, shape, self.export)
        except (ConfigError, TypeError) as error:
            raise type(error)(f"to_nir: node {call.path!r}: {error}") from None
        for k, part in enumerate(parts):
            name = f"{call.name}_{k}" if k else call.name
            self._starts.setdefault(call.name, name)
            self._place(name, part, sources)
            sources = (name,)
        self._ends[call.name] = sources

    def _place(self, name: str, part: Part, sources: tuple[str, ...]) -> None:
        self.nodes[name] = part.node
        self.edges += [(source, name) for source in sources]
        self._shapes[name] = _output_shape(part.node, self._shapes[sources[0]] if sources else ())
        gain = np.ones(self._shapes[name]) if part.gain is None else part.gain
        if part.bias is not None or (gain != 1).any():
            self._inputs[name] = gain, part.bias

    def _fold(self, name: str, gain: Array, bias: Array | None) -> None:
        """Divide the weights before a node by its gain and add its bias, or put weights there that do only that."""
        sources = [a for a, b in self.edges if b == name]
        listeners = Counter(a for a, _ in self.edges)
        biases = [bias, *[None] * len(sources)]  # once
        changed = {
            a: _divided(self.nodes[a], gain, extra)
            for a, extra in zip(sources, biases, strict=False)
            if listeners[a] == 1
        }
        if len(changed) == len(sources) and None not in changed.values():
            self.nodes |= changed
            return
        before = f"{name}_gain"
        self.edges = [(a, before if b == name else b) for a, b in self.edges] + [(before, name)]
        if gain.ndim != 1:
            self.nodes[before] = nir.Scale(1 / gain)
        else:
            none = np.zeros(len(gain)) if bias is None else bias / gain
            self.nodes[before] = nir.Affine(np.diag(1 / gain), none)

    def _sort(self) -> None:
        """Let no graph in the graph stand before its source in alphabetical order, that of a file.

        nirtorch would wire it twice.
        """
        inner = [name for name, node in self.nodes.items() if isinstance(node, nir.NIRGraph)]
        if not any(a > b for a, b in self.edges if b in inner and not self._is_end(a)):
            return
        order = self._order()
        width = len(str(len(order)))
        new = {a: a if self._is_end(a) else f"n{k:0{width}}_{a}" for k, a in enumerate(order)}
        self.nodes = {new[name]: self.nodes[name] for name in order}
        self.edges = [(new[a], new[b]) for a, b in self.edges]

    def _is_end(self, name: str) -> bool:
        return isinstance(self.nodes[name], nir.Input | nir.Output)

    def _order(self) -> list[str]:
        """Nodes as they were written, weights that only scale before what they scale."""
        return [n for name in self.nodes for n in self._with_gain(name)]

    def _with_gain(self, name: str) -> list[str]:
        if name.endswith("_gain") and name.removesuffix("_gain") in self.nodes:
            return []
        return [f"{name}_gain", name] if f"{name}_gain" in self.nodes else [name]


def _lifted(layer: nn.Module) -> nn.Module:
    """What Norse's Lift holds."""
    found: nn.Module = getattr(layer, "lifted_module", layer)
    return found


def _divided(node: Any, gain: Array, bias: Array | None) -> Any:
    """Weights divided by the gains of what they lead to; None if the node has none, or gains differ in a channel."""
    if isinstance(node, nir.Linear | nir.Affine):
        own = getattr(node, "bias", None)
        both = [b for b in (own, bias) if b is not None]
        return weights(node.weight, sum(both[1:], both[0]) if both else None, gain)
    if not isinstance(node, nir.Conv1d | nir.Conv2d):
        return None
    by_channel = gain.reshape(len(gain), -1)
    if bias is not None or (by_channel != by_channel[:, :1]).any():
        return None
    weight = node.weight / by_channel[:, :1].reshape(-1, *[1] * (node.weight.ndim - 1))
    sizes = (node.stride, node.padding, node.dilation, node.groups)
    return type(node)(node.input_shape, weight, *sizes, node.bias / by_channel[:, 0])


def _output_shape(node: Any, shape: Shape) -> Shape:
    if isinstance(node, nir.SumPool2d | nir.AvgPool2d):
        sizes = zip(shape[1:], node.kernel_size, node.stride, node.padding, strict=True)
        return (shape[0], *(int((n + 2 * pad - k) // step + 1) for n, k, step, pad in sizes))
    found = next(iter(node.output_type.values()))
    return tuple(int(n) for n in found)


def _input_shape(trace: Trace, sample: Shape | None, leading: int) -> Shape:
    """Shape of the input's features: as the first layer says, or the sample."""
    first = [call for call in trace.calls if trace.input in call.sources]
    for call in first:
        layer: Any = _lifted(call.layer)
        axes = {nn.Conv1d: 2, nn.Conv2d: 3}.get(type(layer))
        if axes and sample is not None:
            return sample[-axes:]
        for owner, name in (
            (layer, "in_features"),
            (layer, "input_size"),
            (layer, "num_neurons"),
            (getattr(layer, "p", None), "num_neurons"),
        ):
            size = getattr(owner, name, None)
            if size is not None and not axes:
                return (int(size),)
        if hasattr(layer, "w_out"):
            return (int(layer.w_out.shape[1]),)
    if sample is None:
        raise ConfigError(
            "to_nir: sample must be given, got None, since "
            f"{', '.join(type(call.layer).__name__ for call in first)} does not tell the shape of its input"
        )
    return sample[leading:]
