"""How this package's sequence layers are written."""

from __future__ import annotations

from typing import Any

import nir
import numpy as np
import torch
from torch import nn

from snn_neuromod.errors import ConfigError, KindError
from snn_neuromod.layers import ALIF, Custom, LeakyIntegrator, LeakyReadout, Recurrent
from snn_neuromod.nir import neurons, subgraphs
from snn_neuromod.nir.modules import Flat, Recurrence
from snn_neuromod.nir.reading.layers import Gained
from snn_neuromod.nir.subgraphs import Array
from snn_neuromod.nir.writing import parts
from snn_neuromod.nir.writing.parts import Export, Leaky, Part, Shape, array, features
from snn_neuromod.nir.writing.torch_layers import Writer


def alif_neuron(layer: ALIF, shape: Shape) -> Leaky:
    """An ALIF layer's neuron.

    Args:
        layer: The layer.
        shape: Its features.

    Raises:
        ConfigError: If it has an option that NIR cannot express.
    """
    who, options = type(layer).__name__, layer.step_options()
    if layer.refractory:
        raise ConfigError(
            f"{who} must have refractory=0, got {layer.refractory}, for which NIR has no node; train the network "
            "with that option, or run it with this package"
        )
    if options["spike_fn"](torch.tensor([-1.0, 0.0, 1.0]), 1.0, None).tolist() != [0.0, 0.0, 1.0]:
        raise ConfigError(f"{who} must spike above its threshold only, got {options['spike_fn']}")
    alpha, rho, beta, v_th = (features(p, shape) for p in layer.params(torch.float64))
    return Leaky(alpha, v_th, options["reset"], rho, beta)


def _alif(layer: ALIF, shape: Shape, export: Export) -> list[Part]:
    return [parts.leaky(alif_neuron(layer, shape), export, export.step(layer.dt))]


def _recurrent(layer: Recurrent, shape: Shape, export: Export) -> list[Part]:
    neuron = layer.neuron
    if type(neuron) is not ALIF:
        raise refusal(neuron)
    w_in, w_rec = map(array, layer.weights())
    described = alif_neuron(neuron, (len(w_rec),))
    delay = axonal(layer.delay, len(w_rec))
    dt = export.step(neuron.dt)
    return [parts.recurrent(described, export, dt, w_rec, w_in=w_in, delay=delay)]


def axonal(delay: int | torch.Tensor, n: int) -> Array:
    """Delays by presynaptic neuron, (n,).

    Args:
        delay: One number, (n,), or (n, n) by synapse.
        n: Number of neurons.

    Raises:
        ConfigError: If they differ between synapses of one neuron.
    """
    steps = np.broadcast_to(np.asarray(torch.as_tensor(delay).cpu()), (n, n)).copy()
    np.fill_diagonal(steps, np.where(np.arange(n) == 0, np.roll(steps, -1, 0)[0, 0], steps[0]))
    if (steps != steps[0]).any():
        raise ConfigError(
            "delays must be one number or one per presynaptic neuron, got one per synapse, for which NIR has no node"
        )
    by_source: Array = steps[0]
    return by_source


def _integrator(layer: LeakyIntegrator, shape: Shape, export: Export) -> list[Part]:
    (kappa,) = (features(p, shape) for p in layer.params(torch.float64))
    if (kappa == 1).all():  # a running sum
        export.convention("unit_step", False)
        return [Part(nir.I(np.full(shape, 1e3 / export.step(layer.dt))))]
    mark = None if layer.normalise else "LeakyIntegrator"
    part = parts.integrator(kappa, export.step(layer.dt), mark)
    return [Part(part.node) if layer.normalise else part]


def _readout(layer: LeakyReadout, shape: Shape, export: Export) -> list[Part]:
    outputs, inputs = layer.w_out.shape
    (filtered,) = _integrator(layer.filter, (outputs,), export)
    bias = None if layer.bias is None else array(layer.bias)
    inside = bias if layer.bias_inside else None
    weights = parts.weights(array(layer.w_out), inside, filtered.gain)
    after = [] if bias is None or layer.bias_inside else [nir.Affine(np.eye(outputs), bias)]
    if after or layer.filter.normalise:
        return [Part(node) for node in (weights, filtered.node, *after)]
    nodes = {
        "filter": filtered.node,
        "input": nir.Input(np.array([inputs])),
        "output": nir.Output(np.array([outputs])),
        "output_weights": weights,
    }
    return [Part(nir.NIRGraph(nodes, subgraphs.ordered(subgraphs.READOUT), metadata={}))]


def _custom(layer: Any, shape: Shape, export: Export) -> list[Part]:
    """Neurons of NIR's, as `from_nir` makes them."""
    kind: Any = layer.dynamics
    if kind not in neurons.KINDS:
        raise refusal(layer)
    options = layer.step_options()
    values = {name: features(layer.value(name), shape) for name in kind.Params._fields}
    timed = [name for name in values if name.startswith("tau")]
    if timed:
        scale = 1e-3 * export.step(options["dt"]) / options["dt"]
        values |= {name: scale * values[name] for name in timed}
    elif options["dt"] == 1.0:
        export.convention("unit_step", True)
    else:
        values["r"] = values["r"] * options["dt"] / (1e-3 * export.step(1e3 * options["dt"]))
        export.convention("unit_step", False)
    for name in {"reset", "synapse"} & set(options):
        export.convention(name, options[name])
    return [Part(getattr(nir, kind.__name__)(**values))]


def _recurrence(layer: Recurrence, shape: Shape, export: Export) -> list[Part]:
    w, n = layer.recurrent, layer.recurrent.weight.shape[0]
    bias = None if w.bias is None else array(w.bias)
    if type(layer.neuron) is ALIF:
        neuron, dt = alif_neuron(layer.neuron, (n,)), export.step(layer.neuron.dt)
        return [parts.recurrent(neuron, export, dt, array(w.weight), bias=bias)]
    custom: Any = layer.neuron
    (node,) = (part.node for part in _custom(custom, (n,), export))
    return [fed_back(node, parts.weights(array(w.weight)), bias=bias)]


def fed_back(node: Any, weights: Any, *, w_in: Any = None, bias: Array | None = None) -> Part:
    """The graph of neurons in one node whose spikes come back through weights.

    Args:
        node: The neurons.
        weights: Linear.
        w_in: Linear before the neurons, or None.
        bias: Added to what comes back, see `parts.recurrent`.
    """
    n = weights.weight.shape[0]
    nodes = {
        "input": nir.Input(np.array([n if w_in is None else w_in.weight.shape[1]])),
        "lif": node,
    }
    edges = {*subgraphs.HARD, *subgraphs.HARD_RECURRENT}
    if w_in is not None:
        nodes["input_weights"] = w_in
    edges |= subgraphs.HARD_DRIVEN if w_in is None else subgraphs.HARD_WEIGHTED
    nodes |= {"output": nir.Output(np.array([n])), "recurrent_weights": weights}
    return Part(nir.NIRGraph(nodes, subgraphs.ordered(edges), metadata={}), bias=bias)


def _flat(layer: Any, shape: Shape, export: Export) -> list[Part]:
    (part,) = _custom(layer.layer, (int(np.prod(shape)),), export)
    values = {
        name: getattr(part.node, name).reshape(shape)
        for name in layer.layer.dynamics.Params._fields
    }
    return [Part(type(part.node)(**values))]


def _gained(layer: Gained, shape: Shape, export: Export) -> list[Part]:
    (part,) = WRITERS[type(layer.layer)](layer.layer, shape, export)
    gain = features(layer.gain, shape)
    own = np.ones(shape) if part.gain is None else part.gain
    return [Part(part.node, own / gain)]


_INSTEAD = "run it with this package, or train an ALIF layer in its place and export that"
_REASONS = {
    "SRC": f"its tanh and its gates are no nodes of NIR; {_INSTEAD}",
    "Izhikevich": f"NIR has no node for the product of the membrane with itself; {_INSTEAD}",
    "STDPALIF": f"NIR has no node for its refractory period; {_INSTEAD}",
    "LSNN": "Norse's LSNN steps its own way; train snn_neuromod.norse.ALIF in its place and export that",
    "BatchNorm": "fold it into the weights before it with torch.nn.utils.fusion, and export those",
    "MaxPool": "NIR has no node for a maximum; use AvgPool2d",
    "Loop": "it stands for several nodes; give to_nir the Network that from_nir returned",
    "SpikingNeuron": "swap it for snntorch.Leaky, RLeaky, Synaptic or snn_neuromod.snntorch.ALIF",
}
_KNOWN = (
    "known are nn.Linear, SpikeLinear, convolutions, AvgPool2d, Flatten and Dropout, the layers ALIF, Recurrent(ALIF), "
    "LeakyIntegrator and LeakyReadout of snn_neuromod, their forms for snnTorch and Norse, snntorch.Leaky, RLeaky and "
    "Synaptic, and Norse's LIF, LI and IAF"
)


def refusal(layer: nn.Module, known: tuple[type[nn.Module], ...] = (ALIF,)) -> TypeError:
    """Why a layer cannot be written, and what to do.

    Args:
        layer: The layer.
        known: Classes that can be.
    """
    names = [cls.__name__ for cls in type(layer).__mro__]
    who, reason = names[0], _reason(names[:1])
    if reason is None and isinstance(layer, known):
        return KindError(
            f"{who} must be one of the known classes itself, got a subclass, which may compute something else; "
            "export a network with the class itself"
        )
    return KindError(f"{who} cannot be written: {reason or _reason(names) or _KNOWN}")


def _reason(names: list[str]) -> str | None:
    return next((why for name in names for key, why in _REASONS.items() if key in name), None)


WRITERS: dict[type[nn.Module], Writer] = {
    ALIF: _alif,
    Recurrent: _recurrent,
    LeakyIntegrator: _integrator,
    LeakyReadout: _readout,
    Custom: _custom,
    Recurrence: _recurrence,
    Flat: _flat,
    Gained: _gained,
}
