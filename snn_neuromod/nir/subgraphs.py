r"""What a layer looks like in NIR.

NIR describes neurons in continuous time: its leaky integrator LI is $\tau \dot v = v_\text{leak} - v + R I$, its
Threshold fires where $v > \vartheta$, its Scale multiplies. Tools that run such a graph step by step, snnTorch and
Norse among them, take forward Euler steps,

$$ v_t = v_{t-1} + \frac{\Delta t}{\tau} (v_\text{leak} - v_{t-1} + R I_t) . $$

So $v_t = \alpha v_{t-1} + I_t$ is written as $\tau = \Delta t / (1 - \alpha)$ in seconds, $R = \tau / \Delta t$ and
$v_\text{leak} = 0$. The decay $\alpha = e^{-\Delta t / \tau_m}$ is then met exactly, and read back as $1 - 1/R$; the
written $\tau$ is longer than the layer's own $\tau_m$ by about half a step. The time step is $\tau / R$.

An ALIF layer is a graph in the graph::

    input -> mem -> spike -> output        LI, Threshold
             mem <- reset <- spike         Scale(-v_th)
    spike <- adapt_scale <- adapt <- spike Scale(-beta), LI

`Recurrent` replaces the first edge by input -> input_weights -> mem and adds mem <- recurrent_weights <- spike.
`LeakyReadout` is input -> output_weights -> filter -> output. In alphabetical order, that of a file, no node comes
before one that it waits for in the same step.

NIR's edges carry no delay. Each loop, as every loop in NIR, is run with a delay of one step: what leaves the Threshold
reaches the membrane, through reset and weights, and the adaptation at the next step.
"""

from __future__ import annotations

from typing import Any

import nir
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]

ALIF = {
    ("input", "mem"),
    ("mem", "spike"),
    ("spike", "output"),
    ("spike", "reset"),
    ("reset", "mem"),
    ("spike", "adapt"),
    ("adapt", "adapt_scale"),
    ("adapt_scale", "spike"),
}
RECURRENT = (ALIF - {("input", "mem")}) | {
    ("input", "input_weights"),
    ("input_weights", "mem"),
    ("spike", "recurrent_weights"),
    ("recurrent_weights", "mem"),
}
READOUT = {("input", "output_weights"), ("output_weights", "filter"), ("filter", "output")}

TYPES = {
    "input": (nir.Input,),
    "output": (nir.Output,),
    "mem": (nir.LI,),
    "adapt": (nir.LI,),
    "filter": (nir.LI,),
    "spike": (nir.Threshold,),
    "reset": (nir.Scale,),
    "adapt_scale": (nir.Scale,),
    "input_weights": (nir.Linear,),
    "recurrent_weights": (nir.Linear,),
    "output_weights": (nir.Linear, nir.Affine),
}


def matches(graph: Any, edges: set[tuple[str, str]]) -> bool:
    """Whether a graph has exactly these edges, between nodes of the right types."""
    names = {name for edge in edges for name in edge}
    return (
        {tuple(edge) for edge in graph.edges} == edges
        and set(graph.nodes) == names
        and all(isinstance(graph.nodes[name], TYPES[name]) for name in names)
    )


def leaky(decay: Array, dt: float, who: str) -> Any:
    """The LI of a decay per step.

    Args:
        decay: Decays, (N,), in (0, 1).
        dt: Time step in ms.
        who: Layer, for the error message.

    Raises:
        ValueError: If a decay is 0 or 1, which no time constant gives.
    """
    if not ((decay > 0) & (decay < 1)).all():
        raise ValueError(
            f"to_nir: {who}'s decays per step must lie in (0, 1), got {decay.min():g} to {decay.max():g}; "
            "a leaky integrator of NIR needs a finite time constant, at most about 1e15 steps"
        )
    r = 1 / (1 - decay)
    return nir.LI(tau=1e-3 * dt * r, r=r, v_leak=np.zeros_like(r))


def decay_of(node: Any) -> tuple[Array, float]:
    """Time constants and time step, both in ms, whose decay per step an LI has.

    Args:
        node: LI with r = tau / dt.

    Raises:
        ValueError: If the node has a leak voltage or more than one axis, or tau / r is not one time step.
    """
    tau, r, v_leak = (np.asarray(x, dtype=np.float64) for x in (node.tau, node.r, node.v_leak))
    if v_leak.any():
        raise ValueError(f"from_nir: v_leak of an LI must be 0, got up to {abs(v_leak).max():g}")
    with np.errstate(all="ignore"):
        steps = 1e3 * tau / r
    dt = float(f"{steps.flat[0]:.12g}")
    if not (tau.ndim == 1 and dt > 0 and (r > 1).all() and np.allclose(steps, dt, rtol=1e-6)):
        raise ValueError(
            f"from_nir: an LI must have shape (N,) and tau / r = dt < tau, got shape {tau.shape} and tau / r from "
            f"{steps.min():g} to {steps.max():g} ms; the convention is explained in snn_neuromod.nir.subgraphs"
        )
    return -dt / np.log1p(-1 / r), dt
