"""From NIR to networks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from os import PathLike
from typing import Any

import nir
import numpy as np
import torch
from torch import nn

from snn_neuromod.errors import ConfigError, DataError, SnnNeuromodError
from snn_neuromod.learning.rules import LearningRule
from snn_neuromod.nir.neurons import Reset, Synapse
from snn_neuromod.nir.reading import layers, nodes
from snn_neuromod.nir.reading.conventions import Conventions, conventions
from snn_neuromod.nir.reading.file import read_graph
from snn_neuromod.nir.reading.network import Network
from snn_neuromod.nir.reading.plan import Plan, plan
from snn_neuromod.surrogate import Psi


def from_nir(
    graph: nir.NIRGraph | str | PathLike[str],
    dt: float | None = None,
    *,
    reset: Reset | None = None,
    synapse: Synapse | None = None,
    unit_step: bool | None = None,
    learning_rule: LearningRule = "bptt",
    learn: Collection[str] = (),
    psi: Psi = Psi(),
    dtype: torch.dtype | None = None,
) -> Network:
    """Build a network of this package's layers from a NIR graph.

    Neurons take explicit Euler steps of NIR's equations, `snn_neuromod.nir.neurons`; in a loop spikes come back one
    step later. Graphs that `to_nir` wrote for adaptive or softly reset neurons come back as `ALIF` and `Recurrent`,
    with the surrogate gradients of these. Neurons whose spikes come back to themselves through one set of weights
    learn by any rule; other loops run step by step, and learn by backpropagation.

    NIR holds neither a time step nor the conventions below; files of `to_nir` do, as metadata, which None takes.

    Args:
        graph: A `nir.NIRGraph`, or the path of a file with one.
        dt: Time step in ms, > 0, at most twice the shortest time constant; None: the file's. Files of `to_nir` have
            one, others need it, unless they hold nothing with a time constant and `unit_step` is True.
        reset: What a spike does: "value" puts the membrane to v_reset, NIR's equation, "subtract" takes the threshold
            off it. None: the file's, or "value".
        synapse: The current that the membrane of CubaLI and CubaLIF reads: "old", that of the step before, explicit
            Euler's, or "new", which snnTorch and Norse take. None: the file's, or "old".
        unit_step: Whether I and IF take steps of 1, as snnTorch, Norse and Sinabs do, in the place of steps of `dt` in
            seconds, NIR's equation. None: the file's, or False.
        learning_rule: Of recurrent layers, see `snn_neuromod.Recurrent`.
        learn: Parameters of neurons that are learned, by NIR's names (tau, tau_mem, tau_syn, r, w_in, v_leak,
            v_threshold, v_reset); of `ALIF` by its own. Weights are learned in any case.
        psi: Pseudo-derivative of the spikes.
        dtype: Type of the weights and parameters; None: PyTorch's default.

    Returns:
        A network that is called time first, `spikes, state = network(x)`.

    Raises:
        DataError: If the file or graph is damaged, or has a node, a loop or a shape that cannot be run.
        ConfigError: If `dt` is missing, not positive or too long, or another argument is unknown.

    Examples:
        >>> import torch
        >>> from snn_neuromod import ALIF
        >>> from snn_neuromod.nir import to_nir
        >>> network = from_nir(to_nir(torch.nn.Sequential(torch.nn.Linear(5, 20), ALIF(20))))
        >>> spikes, state = network(torch.rand(30, 8, 5))  # (T, batch, in_features)
        >>> spikes.shape
        torch.Size([30, 8, 20])
    """
    path = graph if isinstance(graph, str | PathLike) else None
    graph = graph if path is None else read_graph(path)
    if not isinstance(graph, nir.NIRGraph):
        raise DataError(f"from_nir: graph must be a NIRGraph or a path, got {type(graph).__name__}")
    held = graph.metadata if isinstance(graph.metadata, Mapping) else {}
    chosen = conventions(
        {"dt": _implied(graph), **held},
        dt=dt,
        reset=reset,
        synapse=synapse,
        unit_step=unit_step,
        learning_rule=learning_rule,
        learn=frozenset([learn] if isinstance(learn, str) else learn),
        psi=psi,
        dtype=torch.get_default_dtype() if dtype is None else dtype,
    )
    try:
        return _network(plan(graph, lambda node: layers.fits(node, chosen.dt)), chosen)
    except DataError as error:
        raise DataError(str(error), path) from error


def _network(order: Plan, chosen: Conventions) -> Network:
    made: dict[str, nn.Module] = {}
    listeners = Counter(source for sources in order.sources.values() for source in sources)
    scaled, rest = dict(order.nodes), {}
    for name, node in order.nodes.items():
        gain = layers.gain(node, chosen.step(name)) if layers.fits(node, chosen.dt) else None
        if gain is None or (gain == 1).all():
            continue
        sources = order.sources[name]
        if all(_weighs(order.nodes[s]) and listeners[s] == 1 for s in sources):
            scaled |= {source: nodes.scaled(order.nodes[source], gain) for source in sources}
        else:
            rest[name] = gain
    for name, node in scaled.items():
        if name in (order.input, order.output):
            continue
        ours = layers.fits(order.nodes[name], chosen.dt)
        made[name] = _made(layers.layer if ours else nodes.module, name, node, chosen)
        if name in rest:
            made[name] = layers.Gained(made[name], chosen.tensor(rest[name]))
    unknown = chosen.learn - nodes.learned(made.values())
    if unknown:
        raise ConfigError(
            f"from_nir: learn must name parameters of the graph's neurons, got {', '.join(sorted(unknown))}"
        )
    return Network(order, made, chosen.learning_rule)


def _made(build: Callable[..., nn.Module], name: str, node: Any, chosen: Conventions) -> nn.Module:
    try:
        return build(name, node, chosen)
    except SnnNeuromodError:
        raise
    except (RuntimeError, ValueError, TypeError) as error:  # such as a bias of another length
        raise DataError(f"from_nir: node {name!r} must fit together, got {error}") from error


def _weighs(node: Any) -> bool:
    return isinstance(node, nir.Linear | nir.Affine)


def _implied(graph: Any) -> float | None:
    """Time step in s of files that version 0.1 wrote: tau / r of every leaky integrator."""
    found = list(_nodes(graph))
    integrators = [node for node in found if isinstance(node, nir.LI)]
    if not integrators or any(isinstance(n, nir.LIF | nir.CubaLIF | nir.CubaLI) for n in found):
        return None
    r = np.concatenate([np.ravel(node.r) for node in integrators]).astype(np.float64)
    tau = np.concatenate([np.ravel(node.tau) for node in integrators]).astype(np.float64)
    if not (r > 1).all() or not np.allclose(tau / r, tau[0] / r[0], rtol=1e-6):
        return None
    return float(tau[0] / r[0])


def _nodes(graph: Any) -> Iterator[Any]:
    for node in graph.nodes.values():
        yield from _nodes(node) if isinstance(node, nir.NIRGraph) else (node,)
