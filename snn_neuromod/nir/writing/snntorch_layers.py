"""How snnTorch's neurons, and this package's in snnTorch's form, are written."""

from __future__ import annotations

import sys
from typing import Any

import nir
import numpy as np
import snntorch
import torch
from torch import nn

from snn_neuromod.errors import ConfigError
from snn_neuromod.nir.subgraphs import Array
from snn_neuromod.nir.writing import parts
from snn_neuromod.nir.writing.parts import Export, Leaky, Part, Shape, array, features
from snn_neuromod.nir.writing.torch_layers import Writer

_RESETS = ("subtract", "zero", "none")


def _check(layer: Any, wanted: dict[str, tuple[Any, Any]]) -> None:
    who = type(layer).__name__
    factors = set(layer.graded_spikes_factor.flatten().tolist())
    common = {
        "inhibition": (layer.inhibition, False),
        "state_quant": (layer.state_quant, False),
        "graded_spikes_factor": (factors, {1.0}),
    }
    for name, (value, right) in (common | wanted).items():
        if value != right:
            raise ConfigError(
                f"{who} must have {name}={right!r}, got {value!r}, for which NIR has no node; train the network with "
                "that option, or run it with this package"
            )


def _reset(layer: Any, *, delayed_zero: bool) -> str:
    """Reset of a neuron by name, checked against its delay.

    Args:
        layer: The neuron.
        delayed_zero: Whether a delayed reset to zero keeps the input of its step, as NIR's does.
    """
    kind = _RESETS[int(layer.reset_mechanism_val)]
    if kind == "subtract":
        _check(layer, {"reset_delay": (layer.reset_delay, True)})
    elif kind == "zero" and not delayed_zero:
        _check(layer, {"reset_delay": (layer.reset_delay, False)})
    else:
        _check(layer, {})
    return kind


def _plain(layer: Any, shape: Shape, *, delayed_zero: bool) -> Leaky:
    zeros = np.zeros(shape)
    kind = _reset(layer, delayed_zero=delayed_zero)
    alpha = features(layer.beta.clamp(0, 1), shape)
    return Leaky(alpha, features(layer.threshold, shape), kind, zeros, zeros)


def _adaptive(layer: Any, shape: Shape, *, delayed_zero: bool) -> Leaky:
    kind = _reset(layer, delayed_zero=delayed_zero)
    spikes = layer._spikes(torch.tensor([-1.0, 0.0, 1.0]), 1.0)
    if spikes.tolist() != [0.0, 0.0, 1.0]:
        raise ConfigError(f"{type(layer).__name__} must spike above its threshold only")
    alpha, rho, beta, v_th = (features(p, shape) for p in layer.params(torch.float64))
    return Leaky(alpha, v_th, kind, rho, beta)


def _leaky(layer: Any, shape: Shape, export: Export) -> list[Part]:
    describe = _adaptive if hasattr(layer, "adapt_strength") else _plain
    return [parts.leaky(describe(layer, shape, delayed_zero=True), export, export.step(None))]


def _recurrent(layer: Any, shape: Shape, export: Export) -> list[Part]:
    describe = _adaptive if hasattr(layer, "adapt_strength") else _plain
    neuron = describe(layer, shape, delayed_zero=False)
    weight, bias = _weights(layer, shape)
    return [parts.recurrent(neuron, export, export.step(None), weight, bias=bias)]


def _weights(layer: Any, shape: Shape) -> tuple[Array, Array | None]:
    recurrent = layer.recurrent
    if isinstance(recurrent, nn.Linear):
        return array(recurrent.weight), None if recurrent.bias is None else array(recurrent.bias)
    if not hasattr(recurrent, "V"):
        raise ConfigError(
            f"{type(layer).__name__} must be recurrent through a linear layer or V, got {type(recurrent).__name__}"
        )
    return np.diag(features(recurrent.V, shape)), None


def _synaptic(layer: Any, shape: Shape, export: Export) -> list[Part]:
    """Behind a synapse: CubaLIF with its new current, as snnTorch reads it; a soft reset as the exact graph."""
    neuron, dt = _plain(layer, shape, delayed_zero=False), export.step(None)
    alpha = features(layer.alpha.clamp(0, 1), shape)
    synapse = parts.integrator(alpha, dt)
    if neuron.is_lif or export.soft_reset == "lif":
        return [Part(_cuba(neuron, synapse, export, dt))]
    membrane = parts.leaky(neuron, export, dt, ours=False)
    gains = [part.gain for part in (synapse, membrane) if part.gain is not None]
    return [Part(synapse.node, np.prod(gains, axis=0)), Part(membrane.node)]


def _cuba(neuron: Leaky, synapse: Part, export: Export, dt: float) -> Any:
    lif = parts.leaky(neuron, export, dt, ours=False).node
    export.convention("synapse", "new")
    r, w_in = (1e3 * tau / dt for tau in (lif.tau, synapse.node.tau))
    taus = {"tau_syn": synapse.node.tau, "tau_mem": lif.tau}
    return nir.CubaLIF(
        **taus, r=r, w_in=w_in, v_leak=lif.v_leak, v_threshold=lif.v_threshold, v_reset=lif.v_reset
    )


def writers() -> dict[type[nn.Module], Writer]:
    """What writes the neurons of each class; this package's own forms where they are loaded."""
    known: dict[type[nn.Module], Writer] = {
        snntorch.Leaky: _leaky,
        snntorch.RLeaky: _recurrent,
        snntorch.Synaptic: _synaptic,
    }
    forms = sys.modules.get("snn_neuromod.snntorch")
    return known if forms is None else {**known, forms.ALIF: _leaky, forms.RALIF: _recurrent}
