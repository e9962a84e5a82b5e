r"""How this package's layers look in NIR.

NIR describes neurons in continuous time; tools that run such a graph take forward Euler steps,

$$ v_t = v_{t-1} + \frac{\Delta t}{\tau} (v_\text{leak} - v_{t-1} + R I_t) . $$

So $v_t = \alpha v_{t-1} + I_t$ is written as $\tau = \Delta t / (1 - \alpha)$ in seconds, $R = 1$,
$v_\text{leak} = 0$, and the weights before it are divided by the gain $g = \Delta t / \tau = 1 - \alpha$: some tools
ignore $R$, others refuse any but 1. The decay $\alpha = e^{-\Delta t / \tau_m}$ is then met exactly; the written
$\tau$ is longer than the layer's own $\tau_m$ by about half a step.

A neuron whose membrane a spike puts to zero is a LIF. One from whose membrane a spike takes the threshold, a step
later, or whose threshold adapts, is a graph in the graph::

    input -> mem -> spike -> output        LI, Threshold
             mem <- reset <- spike         Scale(-v_th / g); none with reset "none"
    spike <- adapt_scale <- adapt <- spike Scale(-beta / (1 - rho)), LI; none without adaptation

`Recurrent` replaces the first edge by input -> input_weights -> mem and adds mem <- recurrent_weights <- spike, with a
Delay between the two where spikes are delayed by more than one step. `LeakyReadout` is input -> output_weights ->
filter -> output. In alphabetical order, that of a file, no node comes before one that it waits for in the same step.

NIR's edges carry no delay. Each loop, as every loop in NIR, is run with a delay of one step: what leaves the Threshold
reaches the membrane, through reset and weights, and the adaptation at the next step.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import nir
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]
Edges = Collection[tuple[str, str]]

MEMBRANE = {("mem", "spike"), ("spike", "output")}
RESET = {("spike", "reset"), ("reset", "mem")}
ADAPTATION = {("spike", "adapt"), ("adapt", "adapt_scale"), ("adapt_scale", "spike")}
DRIVEN = {("input", "mem")}
WEIGHTED = {("input", "input_weights"), ("input_weights", "mem")}
RECURRENT = {("spike", "recurrent_weights"), ("recurrent_weights", "mem")}
DELAYED = {("spike", "delay"), ("delay", "recurrent_weights"), ("recurrent_weights", "mem")}
HARD = {("lif", "output")}
HARD_DRIVEN = {("input", "lif")}
HARD_WEIGHTED = {("input", "input_weights"), ("input_weights", "lif")}
HARD_RECURRENT = {("lif", "recurrent_weights"), ("recurrent_weights", "lif")}
READOUT = {("input", "output_weights"), ("output_weights", "filter"), ("filter", "output")}

_WEIGHTS = (nir.Linear, nir.Affine)
_TYPES: dict[str, tuple[type, ...]] = {
    "input": (nir.Input,),
    "output": (nir.Output,),
    "mem": (nir.LI,),
    "adapt": (nir.LI,),
    "filter": (nir.LI,),
    "lif": (nir.LIF,),
    "spike": (nir.Threshold,),
    "reset": (nir.Scale,),
    "adapt_scale": (nir.Scale,),
    "delay": (nir.Delay,),
    "input_weights": (nir.Linear,),
    "recurrent_weights": _WEIGHTS,
    "output_weights": _WEIGHTS,
}
MARK = "snn_neuromod"
"""Metadata that says which of this package's layers an LI or LIF was."""


def ordered(edges: Edges) -> list[tuple[str, str]]:
    """Edges in an order: nirtorch's older reader, Norse's and Sinabs's, takes the node last reached for the output."""
    return sorted(edges, key=lambda edge: (edge[1] == "output", edge))


def matches(graph: Any, *parts: Edges) -> bool:
    """Whether a graph has exactly these edges, between nodes of the right types."""
    edges = set().union(*parts)
    names = {name for edge in edges for name in edge}
    return (
        {tuple(edge) for edge in graph.edges} == edges
        and set(graph.nodes) == names
        and all(isinstance(graph.nodes[name], _TYPES[name]) for name in names)
    )


def layer_of(node: Any) -> str | None:
    """Which layer a node is: its class, "Recurrence" for an `ALIF` with weights behind it; None for none of these."""
    if isinstance(node, nir.LI | nir.LIF):
        mark = node.metadata.get(MARK) if isinstance(node.metadata, dict) else None
        wanted = "LeakyIntegrator" if isinstance(node, nir.LI) else "ALIF"
        return wanted if mark == wanted else None
    if not isinstance(node, nir.NIRGraph):
        return None
    if matches(node, READOUT):
        return "LeakyReadout"
    if matches(node, HARD, HARD_WEIGHTED, HARD_RECURRENT):
        return "Recurrent"
    for reset in ((), RESET):
        for adaptation in ((), ADAPTATION):
            if matches(node, MEMBRANE, reset, adaptation, DRIVEN):
                return "ALIF"
            if matches(node, MEMBRANE, reset, adaptation, DRIVEN, RECURRENT):
                return "Recurrence"
            for back in (RECURRENT, DELAYED):
                if matches(node, MEMBRANE, reset, adaptation, WEIGHTED, back):
                    return "Recurrent"
    return None
