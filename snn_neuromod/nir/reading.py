"""From NIR to networks."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from functools import reduce
from graphlib import CycleError, TopologicalSorter
from os import PathLike
from typing import Any, TypeVar

import nir
import numpy as np
import torch
from torch import Tensor, nn

from snn_neuromod.layers import ALIF, LeakyIntegrator, LeakyReadout, Recurrent
from snn_neuromod.nir import subgraphs

Module = TypeVar("Module", bound=nn.Module)


class Network(nn.Module):
    """Layers run one after another over whole sequences; what several of them send to one is added up.

    Args:
        layers: Layers by name, in the order in which they run.
        sources: For each layer the names of those it listens to; a name that is no layer is the input.
        last: Names of the layers whose output is returned.

    Attributes:
        layers: The layers.
    """

    def __init__(
        self,
        layers: Mapping[str, nn.Module],
        sources: Mapping[str, Sequence[str]],
        last: Sequence[str],
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers.values())
        self._plan = [(name, tuple(sources[name])) for name in layers]
        self._last = tuple(last)

    def forward(self, x: Tensor, state: Any = None) -> tuple[Tensor, dict[str, Any]]:
        """Run over a sequence.

        Args:
            x: Input, time first, (T, batch, in_features).
            state: State after an earlier sequence; None: at rest.

        Returns:
            output: Output of the last layer, (T, batch, neuron).
            state: State of each layer that has one, by its name.
        """
        signals: dict[str, Tensor] = {}
        after = {}
        for layer, (name, sources) in zip(self.layers, self._plan, strict=True):
            total = reduce(operator.add, (signals.get(source, x) for source in sources))
            if isinstance(layer, nn.Linear):
                signals[name] = layer(total)
            else:
                before = None if state is None else state[name]
                signals[name], after[name] = layer(total, before)
        return reduce(operator.add, (signals[name] for name in self._last)), after


def from_nir(graph: Any, *, dtype: torch.dtype | None = None) -> Network:
    """Build a network of this package's layers from a NIR graph, as `to_nir` writes it.

    Parameters are per neuron. Surrogate gradients and learning rules, which NIR does not hold, are the layers'
    defaults; an ALIF in snnTorch's form comes back as a layer over sequences.

    Args:
        graph: A `nir.NIRGraph`, or the path of a file with one.
        dtype: Type of the weights and parameters; None: PyTorch's default.

    Returns:
        A network that is called time first, `spikes, state = network(x)`.

    Raises:
        ValueError: If the graph has a node or a loop that `to_nir` does not write, or more than one input or output.

    Examples:
        >>> import torch
        >>> from snn_neuromod import ALIF
        >>> from snn_neuromod.nir import to_nir
        >>> network = from_nir(to_nir(torch.nn.Sequential(torch.nn.Linear(5, 20), ALIF(20))))
        >>> spikes, state = network(torch.rand(30, 8, 5))  # (T, batch, in_features)
        >>> spikes.shape
        torch.Size([30, 8, 20])
    """
    graph = nir.read(graph) if isinstance(graph, str | PathLike) else graph
    dtype = torch.get_default_dtype() if dtype is None else dtype
    sources: dict[str, list[str]] = {name: [] for name in graph.nodes}
    for source, target in graph.edges:
        sources[target].append(source)
    outputs = [sources[name] for name, node in graph.nodes.items() if isinstance(node, nir.Output)]
    inputs = sum(isinstance(node, nir.Input) for node in graph.nodes.values())
    if inputs != 1 or len(outputs) != 1:
        raise ValueError(
            f"from_nir: graph must have one input and one output, got {inputs} and {len(outputs)}"
        )
    try:
        order = list(TopologicalSorter(sources).static_order())
    except CycleError as error:
        raise ValueError(
            f"from_nir: graph must have loops inside the layers that to_nir writes only, got {error.args[1]}"
        ) from error
    hidden = [name for name in order if not isinstance(graph.nodes[name], nir.Input | nir.Output)]
    layers = {name: _layer(name, graph.nodes[name], dtype) for name in hidden}
    return Network(layers, sources, outputs[0])


def _layer(name: str, node: Any, dtype: torch.dtype) -> nn.Module:
    if isinstance(node, nir.Linear | nir.Affine):
        return _linear(node, dtype)
    if isinstance(node, nir.LI):
        return _integrator(node, dtype)
    if isinstance(node, nir.NIRGraph):
        if subgraphs.matches(node, subgraphs.ALIF):
            return _alif(node, dtype)
        if subgraphs.matches(node, subgraphs.RECURRENT):
            return _recurrent(node, dtype)
        if subgraphs.matches(node, subgraphs.READOUT):
            return _readout(node, dtype)
    raise ValueError(
        f"from_nir: node {name!r} must be Linear, Affine, LI or a graph that to_nir writes, got {type(node).__name__}; "
        "such a node may be read with nirtorch.nir_to_torch and a layer of your own"
    )


def _linear(node: Any, dtype: torch.dtype) -> nn.Linear:
    outputs, inputs = node.weight.shape
    linear = nn.Linear(inputs, outputs, bias=isinstance(node, nir.Affine), dtype=dtype)
    weights = {"weight": node.weight, **({} if linear.bias is None else {"bias": node.bias})}
    return _filled(linear, weights, dtype)


def _alif(graph: Any, dtype: torch.dtype) -> ALIF:
    nodes = graph.nodes
    tau_mem, dt = subgraphs.decay_of(nodes["mem"])
    tau_adapt, dt_adapt = subgraphs.decay_of(nodes["adapt"])
    v_th = nodes["spike"].threshold
    if not np.isclose(dt, dt_adapt, rtol=1e-6) or not np.array_equal(nodes["reset"].scale, -v_th):
        raise ValueError(
            "from_nir: an ALIF must have one time step, and its reset take off the threshold, got time steps "
            f"{dt:g} and {dt_adapt:g} ms, thresholds {v_th} and resets {nodes['reset'].scale}"
        )
    beta = -nodes["adapt_scale"].scale
    values = {"tau_mem": tau_mem, "tau_adapt": tau_adapt, "beta": beta, "v_th": v_th}
    layer = ALIF(len(v_th), **{key: torch.tensor(v) for key, v in values.items()}, dt=dt)  # type: ignore[arg-type]
    return _filled(layer, values, dtype)


def _recurrent(graph: Any, dtype: torch.dtype) -> Recurrent:
    w_in, w_rec = (graph.nodes[f"{name}_weights"].weight for name in ("input", "recurrent"))
    if np.diagonal(w_rec).any():
        raise ValueError(
            "from_nir: w_rec must have a zero diagonal, Recurrent has no self-connections"
        )
    return _filled(
        Recurrent(_alif(graph, dtype), w_in.shape[1]), {"w_in": w_in, "w_rec": w_rec}, dtype
    )


def _integrator(node: Any, dtype: torch.dtype) -> LeakyIntegrator:
    tau, dt = subgraphs.decay_of(node)
    return _filled(LeakyIntegrator(len(tau), tau=torch.tensor(tau), dt=dt), {"tau": tau}, dtype)


def _readout(graph: Any, dtype: torch.dtype) -> LeakyReadout:
    node = graph.nodes["output_weights"]
    outputs, inputs = node.weight.shape
    affine = isinstance(node, nir.Affine)
    readout = LeakyReadout(inputs, outputs, bias=affine)
    readout.filter = _integrator(graph.nodes["filter"], dtype)
    return _filled(
        readout, {"w_out": node.weight, **({"bias": node.bias} if affine else {})}, dtype
    )


def _filled(module: Module, values: Mapping[str, Any], dtype: torch.dtype) -> Module:
    """The module with these values in full precision, whatever type it was made in."""
    module = module.to(dtype)
    with torch.no_grad():
        for name, value in values.items():
            getattr(module, name).copy_(torch.as_tensor(value))
    return module
