"""How Norse's neurons, and this package's in Norse's form, are written."""

from __future__ import annotations

import sys
from typing import Any

import nir
import norse.torch as theirs
import numpy as np
from norse.torch.functional import reset
from torch import nn

from snn_neuromod.errors import ConfigError
from snn_neuromod.nir.writing import parts
from snn_neuromod.nir.writing.our_layers import alif_neuron, axonal, fed_back
from snn_neuromod.nir.writing.parts import Export, Part, Shape, array, features
from snn_neuromod.nir.writing.torch_layers import Writer


def _alif(layer: Any, shape: Shape, export: Export) -> list[Part]:
    return [parts.leaky(alif_neuron(layer.p, shape), export, export.step(layer.p.dt))]


def _alif_recurrent(layer: Any, shape: Shape, export: Export) -> list[Part]:
    neuron = alif_neuron(layer.p, (layer.hidden_size,))
    w_in, w_rec = map(array, layer._acting())
    delay = axonal(layer.delays.given, layer.hidden_size)
    return [parts.recurrent(neuron, export, export.step(layer.p.dt), w_rec, w_in=w_in, delay=delay)]


def _step(layer: Any, export: Export) -> float:
    """Time step in ms."""
    return export.step(float(f"{1e3 * layer.dt:.12g}"))


def _values(layer: Any, shape: Shape, names: dict[str, str], export: Export) -> dict[str, Any]:
    """Parameters of a node by their names in Norse; inverse time constants become the decay's time constant."""
    own, dt = 1e3 * layer.dt, _step(layer, export)
    values = {key: features(getattr(layer.p, name), shape) for key, name in names.items()}
    return {
        key: 1e-3 * dt / (1e-3 * own * value) if names[key].endswith("_inv") else value
        for key, value in values.items()
    }


_LEAK = {"tau": "tau_mem_inv", "v_leak": "v_leak"}
_SYNAPSE = {"tau_mem": "tau_mem_inv", "tau_syn": "tau_syn_inv", "v_leak": "v_leak"}
_SPIKE = {"v_threshold": "v_th", "v_reset": "v_reset"}


def _at_rest(values: dict[str, Any]) -> tuple[dict[str, Any], Any]:
    """Norse's membranes start from their leak, NIR's from 0: the same in units in which the leak is 0, and the leak."""
    leak = values["v_leak"]
    shifted = {key: values[key] - leak for key in _SPIKE if key in values}
    return {**values, **shifted, "v_leak": np.zeros_like(leak)}, leak


def _with_leak(node: Any, leak: Any) -> list[Part]:
    """An integrator, and its leak added after it."""
    return [Part(node), *([Part(nir.Affine(np.eye(len(leak)), leak))] if leak.any() else [])]


def _box(layer: Any, shape: Shape, export: Export) -> list[Part]:
    values, leak = _at_rest(_values(layer, shape, _LEAK | _SPIKE, export))
    kinds = {reset.reset_value: "value", reset.reset_subtract: "subtract"}
    if layer.p.reset_method not in kinds:
        raise ConfigError("LIFBoxCell must have reset_method reset_value or reset_subtract")
    export.convention("reset", kinds[layer.p.reset_method])
    if kinds[layer.p.reset_method] == "subtract" and leak.any():
        raise ConfigError(
            "LIFBoxCell must have v_leak=0 with reset_subtract, whose threshold would shift"
        )
    return [Part(nir.LIF(r=np.ones(shape), **values))]


def _li_box(layer: Any, shape: Shape, export: Export) -> list[Part]:
    values, leak = _at_rest(_values(layer, shape, _LEAK, export))
    return _with_leak(nir.LI(r=np.ones(shape), **values), leak)


def _cuba(layer: Any, shape: Shape, export: Export, names: dict[str, str]) -> dict[str, Any]:
    """Norse adds the input to the current before the membrane reads it, and lets it decay after that."""
    export.convention("synapse", "new")
    values = _values(layer, shape, names, export)
    return values | {"r": np.ones(shape), "w_in": 1e3 * values["tau_syn"] / _step(layer, export)}


def _li(layer: Any, shape: Shape, export: Export) -> list[Part]:
    values, leak = _at_rest(_cuba(layer, shape, export, _SYNAPSE))
    return _with_leak(nir.CubaLI(**values), leak)


def _lif(layer: Any, shape: Shape, export: Export) -> list[Part]:
    export.convention("reset", "value")
    values, _ = _at_rest(_cuba(layer, shape, export, _SYNAPSE | _SPIKE))
    return [Part(nir.CubaLIF(**values))]


def _lif_recurrent(layer: Any, shape: Shape, export: Export) -> list[Part]:
    (part,) = _lif(layer, (layer.hidden_size,), export)
    w_in, w_rec = (parts.weights(array(w)) for w in (layer.input_weights, layer.recurrent_weights))
    return [fed_back(part.node, w_rec, w_in=w_in)]


def _iaf(layer: Any, shape: Shape, export: Export) -> list[Part]:
    export.convention("unit_step", True)
    export.convention("reset", "value")
    return [
        Part(
            nir.IF(np.ones(shape), features(layer.p.v_th, shape), features(layer.p.v_reset, shape))
        )
    ]


def writers() -> dict[type[nn.Module], Writer]:
    """What writes the neurons of each class; this package's own forms where they are loaded."""
    known: dict[type[nn.Module], Writer] = {
        theirs.LIFBoxCell: _box,
        theirs.LIBoxCell: _li_box,
        theirs.LICell: _li,
        theirs.LI: _li,
        theirs.LIFCell: _lif,
        theirs.LIF: _lif,
        theirs.LIFRecurrentCell: _lif_recurrent,
        theirs.LIFRecurrent: _lif_recurrent,
        theirs.IAFCell: _iaf,
        theirs.IAF: _iaf,
    }
    forms = sys.modules.get("snn_neuromod.norse")
    if forms is not None:
        known |= dict.fromkeys((forms.ALIFCell, forms.ALIF), _alif)
        known |= dict.fromkeys((forms.ALIFRecurrentCell, forms.ALIFRecurrent), _alif_recurrent)
    return known
