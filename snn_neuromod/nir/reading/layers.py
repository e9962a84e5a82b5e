"""From what `to_nir` wrote for a layer of this package back to that layer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import nir
import numpy as np
import torch
from torch import Tensor, nn

from snn_neuromod.layers import ALIF, LeakyIntegrator, LeakyReadout, Recurrent
from snn_neuromod.nir.modules import Recurrence
from snn_neuromod.nir.reading.conventions import Conventions
from snn_neuromod.nir.reading.nodes import filled, linear, scaled
from snn_neuromod.nir.subgraphs import Array, layer_of


class Gained(nn.Module):
    """A layer whose input is scaled.

    Args:
        layer: The layer.
        gain: Factors, (neuron,).
    """

    gain: Tensor

    def __init__(self, layer: nn.Module, gain: Tensor) -> None:
        super().__init__()
        self.layer = layer
        self.register_buffer("gain", gain)

    def forward(self, x: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """Run over (T, batch, neuron)."""
        y, state = self.layer(x * self.gain, state)
        return y, state


def fits(node: Any, dt: float | None) -> bool:
    """Whether a node is one of this package's layers, with values that the layer can have.

    Args:
        node: The node.
        dt: Time step in ms, or None.
    """
    if layer_of(node) is None or dt is None:
        return False
    inner = node.nodes if isinstance(node, nir.NIRGraph) else {"mem": node}
    leaky = [n for n in inner.values() if isinstance(n, nir.LI | nir.LIF)]
    if not all(_discrete(n, dt) for n in leaky):
        return False
    if "reset" in inner:
        taken = -np.asarray(inner["reset"].scale) * _decay(inner["mem"], dt)[1]
        if not np.allclose(taken, inner["spike"].threshold, rtol=1e-5, atol=0):
            return False
    return layer_of(node) != "Recurrent" or not np.diagonal(inner["recurrent_weights"].weight).any()


def _discrete(node: Any, dt: float) -> bool:
    """Whether an LI or LIF has a decay per step, and rests at 0."""
    at_rest = not np.any(node.v_leak) and not np.any(getattr(node, "v_reset", 0))
    return at_rest and np.ndim(node.tau) == 1 and bool((1e3 * node.tau / dt > 1 - 1e-9).all())


def gain(node: Any, dt: float) -> Array | None:
    """Factors of the input of what is to become an ALIF or LeakyIntegrator; None for other layers.

    Args:
        node: A node that `fits`.
        dt: Time step in ms.
    """
    if layer_of(node) not in ("ALIF", "LeakyIntegrator", "Recurrence"):
        return None
    return _decay(node.nodes["mem"] if isinstance(node, nir.NIRGraph) else node, dt)[1]


def layer(name: str, node: Any, chosen: Conventions) -> nn.Module:
    """The layer, without the factors of its input.

    Args:
        name: Name of the node.
        node: A node that `fits`.
        chosen: How to run the graph.
    """
    makers: dict[str, Callable[..., nn.Module]] = {
        "ALIF": _alif,
        "Recurrent": _recurrent,
        "Recurrence": _recurrence,
        "LeakyIntegrator": _integrator,
        "LeakyReadout": _readout,
    }
    return makers[str(layer_of(node))](name, node, chosen)


def _decay(node: Any, dt: float) -> tuple[Array, Array]:
    """Time constants in ms that give the decays per step of an LI or LIF, and the gains of its input."""
    tau, r = (np.asarray(x, dtype=np.float64) for x in (node.tau, node.r))
    steps = 1e3 * tau / dt
    with np.errstate(divide="ignore", invalid="ignore"):
        decays = np.where(steps > 1 + 1e-9, -dt / np.log1p(-1 / steps), 1e-3 * dt)
    return decays, r / steps


def _learned(names: tuple[str, ...], chosen: Conventions) -> list[str]:
    return [name for name in names if name in chosen.learn]


def _alif(name: str, node: Any, chosen: Conventions) -> ALIF:
    if isinstance(node, nir.LIF):
        nodes = {"mem": node}
        v_th, reset = np.asarray(node.v_threshold), "zero"
    elif "lif" in node.nodes:
        return _alif(name, node.nodes["lif"], chosen)
    else:
        nodes = node.nodes
        v_th, reset = np.asarray(nodes["spike"].threshold), "none"
    tau_mem, _ = _decay(nodes["mem"], chosen.step(name))
    tau_adapt, beta = np.full_like(tau_mem, 200.0), np.zeros_like(tau_mem)
    if "adapt" in nodes:
        tau_adapt, gain_adapt = _decay(nodes["adapt"], chosen.step(name))
        beta = -np.asarray(nodes["adapt_scale"].scale, dtype=np.float64) * gain_adapt
    if "reset" in nodes:
        reset = "subtract"
    values = {"tau_mem": tau_mem, "tau_adapt": tau_adapt, "beta": beta, "v_th": v_th}
    made = ALIF(
        len(v_th),
        **{key: torch.tensor(value) for key, value in values.items()},  # type: ignore[arg-type]
        dt=chosen.step(name),
        reset=reset,  # type: ignore[arg-type]
        psi=chosen.psi,
        learn=_learned(tuple(values), chosen),
    )
    return filled(made, values, chosen.dtype)


def _recurrent(name: str, node: Any, chosen: Conventions) -> Recurrent:
    neuron = _alif(name, node, chosen)
    gain = _decay(node.nodes["lif" if "lif" in node.nodes else "mem"], chosen.step(name))[1]
    w_in, w_rec = (
        gain[:, None] * np.asarray(node.nodes[f"{which}_weights"].weight, dtype=np.float64)
        for which in ("input", "recurrent")
    )
    delay: Any = 1
    if "delay" in node.nodes:
        steps = 1e3 * np.asarray(node.nodes["delay"].delay) / chosen.step(name)
        delay = 1 + torch.as_tensor(np.rint(steps)).long()
    made = Recurrent(neuron, w_in.shape[1], learning_rule=chosen.learning_rule, delay=delay)
    return filled(made, {"w_in": w_in, "w_rec": w_rec}, chosen.dtype)


def _recurrence(name: str, node: Any, chosen: Conventions) -> Recurrence:
    neuron = _alif(name, node, chosen)
    gain = _decay(node.nodes["mem"], chosen.step(name))[1]
    back = linear(name, scaled(node.nodes["recurrent_weights"], gain), chosen)
    return Recurrence(neuron, back, chosen.learning_rule)


def _integrator(name: str, node: Any, chosen: Conventions) -> LeakyIntegrator:
    tau, _ = _decay(node, chosen.step(name))
    made = LeakyIntegrator(
        len(tau), tau=torch.tensor(tau), dt=chosen.step(name), learn=_learned(("tau",), chosen)
    )
    return filled(made, {"tau": tau}, chosen.dtype)


def _readout(name: str, node: Any, chosen: Conventions) -> LeakyReadout:
    weights, filter_ = node.nodes["output_weights"], node.nodes["filter"]
    gain = _decay(filter_, chosen.step(name))[1]
    outputs, inputs = weights.weight.shape
    affine = isinstance(weights, nir.Affine)
    made = LeakyReadout(inputs, outputs, bias=affine)
    made.filter = _integrator(name, filter_, chosen)
    values = {"w_out": gain[:, None] * np.asarray(weights.weight, dtype=np.float64)}
    if affine:
        values["bias"] = gain * np.asarray(weights.bias, dtype=np.float64)
    return filled(made, values, chosen.dtype)
