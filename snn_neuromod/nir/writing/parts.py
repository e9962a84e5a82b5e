"""The pieces that layers are written as, and what the writing of a network has to agree on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import nir
import numpy as np
import torch
from torch import Tensor

from snn_neuromod.errors import ConfigError
from snn_neuromod.nir import subgraphs
from snn_neuromod.nir.subgraphs import Array

Shape = tuple[int, ...]
SoftReset = Literal["graph", "lif"]


@dataclass(frozen=True)
class Part:
    """A node, and what it does to its input.

    Attributes:
        node: The node of NIR.
        gain: Factors by which the node scales its input, by which weights before it are therefore divided, shaped as
            its features; None: one.
        bias: Added to its input, shaped as its features; None: nothing.
    """

    node: Any
    gain: Array | None = None
    bias: Array | None = None


@dataclass
class Export:
    """What the layers of a network have in common in its file.

    Attributes:
        dt: Time step in ms that the reader takes; None: that of the layers.
        soft_reset: See `to_nir`.
        leading: Axes before the features: batch, or time and batch.
        conventions: Conventions that the graph needs, by their names in `from_nir`.
        lost: What is not written, in words.
    """

    dt: float | None
    soft_reset: SoftReset
    leading: int = 1
    conventions: dict[str, Any] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)
    _steps: set[float] = field(default_factory=set)

    def step(self, own: float | None) -> float:
        """Time step in ms of a layer.

        Args:
            own: The layer's own; None: it has none.

        Raises:
            ConfigError: If layers have different ones.
        """
        if self.dt is not None:
            return self.dt
        if own is not None:
            self._steps.add(own)
        if len(self._steps) > 1:
            steps = ", ".join(f"{dt:g}" for dt in sorted(self._steps))
            raise ConfigError(
                f"dt must be given, got layers with time steps {steps} ms; "
                "with dt=1.0 all are written for a reader that takes steps of 1 ms"
            )
        return self.file_step()

    def file_step(self) -> float:
        """Time step in ms of the file."""
        return self.dt or next(iter(self._steps), 1.0)

    def convention(self, name: str, value: Any) -> None:
        """Ask for a convention of the reader.

        Args:
            name: Its name in `from_nir`.
            value: Its value there.

        Raises:
            ConfigError: If another layer asks for another.
        """
        if self.conventions.setdefault(name, value) != value:
            raise ConfigError(
                f"{name} must be the same in all layers, got {self.conventions[name]!r} and {value!r}"
            )


@dataclass(frozen=True)
class Leaky:
    """A leaky neuron with a threshold that may adapt, per step.

    Attributes:
        alpha: Decay of the membrane.
        v_th: Threshold.
        reset: What a spike does a step later: "subtract", "zero" or "none".
        rho: Decay of the adaptation.
        beta: Rise of the threshold by a spike.
    """

    alpha: Array
    v_th: Array
    reset: str
    rho: Array
    beta: Array

    @property
    def is_lif(self) -> bool:
        """Whether a LIF of NIR is the same."""
        return self.reset == "zero" and not self.beta.any()


def array(tensor: Tensor) -> Array:
    """A copy in the tensor's precision, at least float32: the network may train on."""
    tensor = tensor.detach().cpu()
    tensor = tensor if tensor.dtype == torch.float64 else tensor.float()
    return np.array(tensor.numpy())


def features(value: Tensor | float, shape: Shape) -> Array:
    """A parameter as one value for each feature, in double precision."""
    return np.array(np.broadcast_to(torch.as_tensor(value).detach().cpu().double().numpy(), shape))


def integrator(decay: Array, dt: float, mark: str | None = None) -> Part:
    """The LI of a decay per step.

    Args:
        decay: Decays, in [0, 1).
        dt: Time step in ms.
        mark: Which of this package's layers it is.

    Raises:
        ConfigError: If a decay is 1, which no time constant gives.
    """
    gain = _gain(decay)
    tau, ones = 1e-3 * dt / gain, np.ones_like(gain)
    return Part(nir.LI(tau, ones, np.zeros_like(gain), metadata=_marked(mark)), gain)


def _gain(decay: Array) -> Array:
    if not ((decay >= 0) & (decay < 1)).all():
        raise ConfigError(
            f"decays per step must lie in [0, 1), got {decay.min():g} to {decay.max():g}; a leaky integrator of NIR "
            "needs a finite time constant, at most about 1e15 steps"
        )
    gain: Array = 1 - decay
    return gain


def _marked(mark: str | None) -> dict[str, str]:
    return {} if mark is None else {subgraphs.MARK: mark}


def leaky(neuron: Leaky, export: Export, dt: float, ours: bool = True) -> Part:
    """The node of a leaky neuron: a LIF where that is the same, else the exact graph.

    Args:
        neuron: The neuron.
        export: What the network's layers have in common.
        dt: Time step in ms.
        ours: Whether it comes back as `ALIF`.
    """
    if neuron.is_lif or export.soft_reset == "lif":
        return _lif(neuron, export, dt, ours)
    if neuron.reset == "zero":
        raise ConfigError(
            "an adaptive neuron must have reset='subtract', got 'zero', for which NIR has no node; train the network "
            "with that option, or run it with this package"
        )
    nodes, edges, gain = _exact(neuron, dt)
    ends = {"input": nir.Input(np.array(gain.shape)), "output": nir.Output(np.array(gain.shape))}
    graph = nir.NIRGraph(ends | nodes, subgraphs.ordered(edges | subgraphs.DRIVEN), metadata={})
    return Part(graph, gain)


def _lif(neuron: Leaky, export: Export, dt: float, ours: bool) -> Part:
    gain = _gain(neuron.alpha)
    changed = {
        "subtract": "a spike takes the threshold off the membrane, in a LIF it puts it to zero",
        "none": "a spike leaves the membrane as it is, in a LIF it puts it to zero",
    }
    export.lost += [changed[neuron.reset]] if neuron.reset in changed else []
    export.lost += ["a threshold adapts, that of a LIF does not"] if neuron.beta.any() else []
    zeros = np.zeros_like(gain)
    mark = _marked("ALIF" if ours else None)
    node = nir.LIF(1e-3 * dt / gain, zeros + 1, zeros, neuron.v_th, zeros.copy(), metadata=mark)
    return Part(node, gain)


def _exact(neuron: Leaky, dt: float) -> tuple[dict[str, Any], set[tuple[str, str]], Array]:
    """Nodes and edges without the ends, and the gain of the membrane."""
    gain = _gain(neuron.alpha)
    nodes = {"mem": integrator(neuron.alpha, dt).node, "spike": nir.Threshold(neuron.v_th)}
    edges = {*subgraphs.MEMBRANE}
    if neuron.reset == "subtract":
        nodes["reset"] = nir.Scale(-neuron.v_th / gain)
        edges |= subgraphs.RESET
    if neuron.beta.any():
        nodes["adapt"] = integrator(neuron.rho, dt).node
        nodes["adapt_scale"] = nir.Scale(-neuron.beta / (1 - neuron.rho))
        edges |= subgraphs.ADAPTATION
    return nodes, edges, gain


def recurrent(
    neuron: Leaky,
    export: Export,
    dt: float,
    w_rec: Array,
    *,
    bias: Array | None = None,
    w_in: Array | None = None,
    delay: Array | None = None,
) -> Part:
    """The graph of leaky neurons whose spikes come back through weights.

    Args:
        neuron: The neurons, one axis of features.
        export: What the network's layers have in common.
        dt: Time step in ms.
        w_rec: Recurrent weights, row: to, column: from.
        bias: Added to what comes back, at every step. It is written before the neurons, since readers disagree about
            what comes back at the first step.
        w_in: Weights of the input; None: the input is weighted already, and the part has a gain.
        delay: Delay of the recurrent spikes in steps, (neuron from,); None: one.
    """
    single = leaky(neuron, export, dt, ours=w_in is not None)
    gain = np.ones_like(neuron.alpha) if single.gain is None else single.gain
    if isinstance(single.node, nir.NIRGraph):
        nodes, edges, _ = _exact(neuron, dt)
        spikes, membrane = "spike", "mem"
    else:
        nodes, edges, spikes, membrane = {"lif": single.node}, set(subgraphs.HARD), "lif", "lif"
    back = "recurrent_weights"
    edges |= {(back, membrane), ("input", membrane if w_in is None else "input_weights")}
    nodes[back] = weights(w_rec, None, gain)
    if w_in is not None:
        nodes["input_weights"] = weights(w_in, None, gain)
        edges.add(("input_weights", membrane))
    if delay is not None and (delay > 1).any():
        nodes["delay"] = nir.Delay(1e-3 * dt * (delay - 1))
        edges |= {(spikes, "delay"), ("delay", back)}
    else:
        edges.add((spikes, back))
    inputs = len(gain) if w_in is None else w_in.shape[1]
    nodes["input"], nodes["output"] = (
        nir.Input(np.array([inputs])),
        nir.Output(np.array(gain.shape)),
    )
    graph = nir.NIRGraph(dict(sorted(nodes.items())), subgraphs.ordered(edges), metadata={})
    return Part(graph, gain if w_in is None else None, bias)


def weights(weight: Array, bias: Array | None = None, gain: Array | None = None) -> Any:
    """A Linear or Affine node, divided by the gains of what it leads to."""
    if gain is not None and (gain != 1).any():
        weight = weight / gain[:, None]
        bias = None if bias is None else bias / gain
    return nir.Linear(weight) if bias is None else nir.Affine(weight, bias)
