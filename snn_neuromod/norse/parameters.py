"""Parameters in Norse's form: a NamedTuple per neuron, in Norse's units, which a layer is made of."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor

from snn_neuromod import layers
from snn_neuromod.layers.parameters import Value


class ALIFParameters(NamedTuple):
    """Parameters of ALIF and STDP-ALIF, in Norse's units.

    Attributes:
        tau_mem_inv: Inverse membrane time constant, 1/s, > 0.
        tau_adapt_inv: Inverse adaptation time constant, 1/s, > 0.
        beta: Threshold increase per spike, >= 0, in units of the membrane.
        v_th: Baseline threshold, > 0, in units of the membrane.
    """

    tau_mem_inv: Value = 1 / 20e-3
    tau_adapt_inv: Value = 1 / 200e-3
    beta: Value = 0.184
    v_th: Value = 1.0


class IzhikevichParameters(NamedTuple):
    """Parameters of the Izhikevich neuron, in the source's units (and Norse's).

    Attributes:
        a: Rate of recovery, 1/ms, > 0.
        b: Sensitivity of recovery to the membrane.
        c: Membrane after a spike, mV.
        d: Increase of recovery by a spike, mV.
    """

    a: Value = 0.02
    b: Value = 0.2
    c: Value = -65.0
    d: Value = 2.0


class SRCParameters(NamedTuple):
    """Parameters of the SRC, dimensionless.

    Attributes:
        alpha: Decay of the synapse per step, in [0, 1].
        rho: Bound of the drive, > 0; inf for none.
        r: Fast positive feedback.
        r_s: Slow feedback.
        z: Membrane update gate, in [0, 1).
        z_hyp: Gate of the slow variable at rest, in [0, 1).
        z_dep: Gate of the slow variable during a spike, in [0, 1).
        b: Bias.
    """

    alpha: Value = 0.9
    rho: Value = 3.0
    r: Value = 2.0
    r_s: Value = -7.0
    z: Value = 0.0
    z_hyp: Value = 0.9
    z_dep: Value = 0.0
    b: Value = -6.0


class MSRCParameters(NamedTuple):
    """Parameters of the mSRC, dimensionless.

    Attributes:
        modulation: The modulation, which sets the type of excitability.
        alpha: Decay of the synapse per step, in [0, 1].
        rho: Bound of the drive, > 0; inf for none.
        r: Fast positive feedback.
        r_s: Slow feedback.
        z: Membrane update gate, in [0, 1).
        z_hyp: Gate of the slow variable at rest, in [0, 1).
        z_dep: Gate of the slow variable during a spike, in [0, 1).
        b: Bias.
    """

    modulation: Value = 0.9
    alpha: Value = 0.9
    rho: Value = 3.0
    r: Value = 4.0
    r_s: Value = -7.0
    z: Value = 0.0
    z_hyp: Value = 0.9
    z_dep: Value = 0.0
    b: Value = 0.0


class BSRCParameters(NamedTuple):
    """Parameters of the BSRC, dimensionless.

    Attributes:
        modulation: The modulation, which sets the type of excitability.
        alpha: Decay of the synapse per step, in [0, 1].
        rho: Bound of the drive, > 0; inf for none.
        r: Fast positive feedback.
        r_s: Slow feedback.
        r_u: Ultra-slow feedback.
        z: Membrane update gate, in [0, 1).
        z_hyp: Gate of the slow variable at rest, in [0, 1).
        z_dep: Gate of the slow variable during a spike, in [0, 1).
        z_u: Gate of the ultra-slow variable, in [0, 1).
        b: Bias.
        h_u0: Offset of the ultra-slow feedback.
    """

    modulation: Value = 0.7
    alpha: Value = 0.5
    rho: Value = 3.0
    r: Value = 4.0
    r_s: Value = -7.0
    r_u: Value = -8.5
    z: Value = 0.0
    z_hyp: Value = 0.9
    z_dep: Value = 0.0
    z_u: Value = 0.999
    b: Value = 0.0
    h_u0: Value = 0.55


@dataclass(frozen=True)
class Recipe:
    """How a neuron's layer is made of its parameters.

    Attributes:
        layer: Class of the layer.
        parameters: Class of the parameters.
        options: Keywords of the layer that are no parameters.
        timed: Whether a time step can be given.
        inverse: Parameters given as inverse time constants, and their names in the layer.
    """

    layer: Callable[..., layers.Layer]
    parameters: type[Any]
    options: Collection[str]
    timed: bool = True
    inverse: Mapping[str, str] = field(default_factory=dict)

    def build(
        self,
        who: str,
        p: Any,
        num_neurons: int | None,
        learn: Collection[str],
        options: Mapping[str, Any],
    ) -> layers.Layer:
        """Make the layer.

        Args:
            who: Name of the class on whose behalf.
            p: The parameters; None: the defaults. Tensors that require a gradient become learned parameters.
            num_neurons: Number of neurons, or None for inputs of any shape.
            learn: Names of further parameters to learn.
            options: Keywords of the layer.

        Returns:
            The layer.

        Raises:
            TypeError: If `p` is of another neuron or library, or an option is unknown.
            ValueError: If a parameter is outside its range or `learn` names an unknown one.
        """
        p = self.parameters() if p is None else p
        if not isinstance(p, self.parameters):
            raise TypeError(
                f"{who}: p must be {self.parameters.__name__}({', '.join(self.parameters._fields)}), "
                f"got {type(p).__name__}; Norse's parameters are those of another neuron"
            )
        unknown = sorted(set(options) - set(self.options))
        if unknown:
            known = ", ".join(sorted(self.options)) or "none"
            raise TypeError(
                f"{who}: {unknown[0]} is no option of this neuron; its options: {known}"
            )
        learn = {learn} if isinstance(learn, str) else set(learn)
        wrong = sorted(learn - set(self.parameters._fields))
        if wrong:
            raise ValueError(
                f"{who}: learn must name parameters among {', '.join(self.parameters._fields)}, got {', '.join(wrong)}"
            )
        given = p._asdict()
        learn |= {n for n, v in given.items() if isinstance(v, Tensor) and v.requires_grad}
        values = {
            self.inverse.get(n, n): _milliseconds(who, n, v) if n in self.inverse else v
            for n, v in given.items()
        }
        renamed = [self.inverse.get(n, n) for n in learn]
        return self.layer(num_neurons, **values, learn=renamed, **options)


def _milliseconds(who: str, name: str, inverse: Value) -> Value:
    if not isinstance(inverse, Tensor | int | float):
        try:
            inverse = torch.as_tensor(inverse)
        except (TypeError, ValueError, RuntimeError):
            raise TypeError(
                f"{who}: {name} must be a number or a tensor, got {type(inverse).__name__}"
            ) from None
    positive = bool((inverse > 0).all()) if isinstance(inverse, Tensor) else inverse > 0
    if not positive:
        raise ValueError(f"{who}: {name} must be > 0 (1/s), got {inverse}")
    return 1000 / (inverse.detach() if isinstance(inverse, Tensor) else inverse)


_TAUS = {"tau_mem_inv": "tau_mem", "tau_adapt_inv": "tau_adapt"}
_SRC_OPTIONS = ("start", "detach_recurrence", "straight_through", "backend")

ALIF = Recipe(
    layers.ALIF,
    ALIFParameters,
    ("refractory", "reset", "detach_reset", "psi", "backend"),
    inverse=_TAUS,
)
STDPALIF = Recipe(
    layers.STDPALIF, ALIFParameters, ("refractory", "detach_reset", "psi", "backend"), inverse=_TAUS
)
IZHIKEVICH = Recipe(
    layers.Izhikevich, IzhikevichParameters, ("v_init", "detach_reset", "psi", "backend")
)
SRC = Recipe(layers.SRC, SRCParameters, (*_SRC_OPTIONS, "b_max"), timed=False)
MSRC = Recipe(layers.MSRC, MSRCParameters, _SRC_OPTIONS, timed=False)
BSRC = Recipe(layers.BSRC, BSRCParameters, _SRC_OPTIONS, timed=False)
