"""How each neuron's layer is made of its parameters in Norse's form."""

from __future__ import annotations

import importlib
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor
from typing_extensions import TypedDict

from snn_neuromod._types import ThresholdFn
from snn_neuromod.dynamics.alif import Reset
from snn_neuromod.dynamics.parameter import Range
from snn_neuromod.errors import ConfigError, KindError
from snn_neuromod.kernels.backends import Backend
from snn_neuromod.layers.parameters import Value
from snn_neuromod.layers.times import Ms
from snn_neuromod.norse import layers
from snn_neuromod.norse.layers import Shared
from snn_neuromod.norse.parameters import (
    CONVERTED,
    ALIFParameters,
    BSRCParameters,
    IzhikevichParameters,
    MSRCParameters,
    SRCParameters,
    from_norse,
)
from snn_neuromod.surrogate import Psi


class Options(TypedDict, total=False):
    """Options of the layers, in one for all neurons: one that a neuron has not is refused by name when it is made."""

    reset: Reset
    refractory: int | Ms
    detach_reset: bool
    psi: Psi | ThresholdFn
    clip_jacobian: float | None
    v_init: float
    u_init: float | None
    start: Value | None
    b_max: float | None
    detach_recurrence: bool
    straight_through: bool
    backend: Backend | None


@dataclass(frozen=True)
class Recipe:
    """How a neuron's layer is made of its parameters.

    Attributes:
        layer: Class of the layer, a `Shared`.
        parameters: Class of the parameters.
        options: Keywords of the layer that are no parameters.
        timed: Whether a time step can be given.
        fixed: Parameters that are numbers for all neurons, and the layer's keywords for them.
    """

    layer: Any
    parameters: type[Any]
    options: Collection[str]
    timed: bool = True
    fixed: Mapping[str, str] = field(default_factory=dict)

    def build(
        self,
        who: str,
        p: Any,
        num_neurons: int | None,
        learn: Collection[str],
        options: Mapping[str, Any],
    ) -> Shared:
        """Make the layer.

        Args:
            who: Name of the class on whose behalf.
            p: The parameters, or Norse's, see `from_norse`; None: the defaults.
            num_neurons: Number of neurons; None: as many as a parameter per neuron says, else for inputs of any shape.
            learn: Names of further parameters to learn.
            options: Keywords of the layer.

        Returns:
            The layer.

        Raises:
            TypeError: If `p` is of another neuron, or an option is unknown.
            ValueError: If a parameter is outside its range or `learn` names an unknown one.
        """
        p, start = self._parameters(who, p)
        unknown = sorted(set(options) - set(self.options))
        if unknown:
            known = ", ".join(sorted(self.options)) or "none"
            raise KindError(
                f"{who}: {unknown[0]} is no option of this neuron; its options: {known}"
            )
        given = p._asdict()
        fixed = {
            keyword: _number(who, name, given.pop(name)) for name, keyword in self.fixed.items()
        }
        tau_inv = _number(who, "tau_inv", given.pop("tau_inv", 1000.0) if self.timed else 1000.0)
        learn = {learn} if isinstance(learn, str) else set(learn)
        wrong = sorted(learn - set(given))
        if wrong:
            raise ConfigError(
                f"{who}: learn must name parameters among {', '.join(given)}, got {', '.join(wrong)}"
            )
        per_neuron = [v for v in given.values() if isinstance(v, Tensor) and v.ndim == 1]
        n = len(per_neuron[0]) if num_neurons is None and per_neuron else num_neurons
        names = {theirs: ours for ours, theirs in self.layer.inverse.items()}
        values = {
            names.get(name, name): _milliseconds(who, name, value) if name in names else value
            for name, value in given.items()
        }
        renamed = [names.get(name, name) for name in learn]
        layer: Shared = self.layer(n, **values, learn=renamed, **fixed, **{**start, **options})
        layer.adopt(given, learn)
        layer.tau_inv = tau_inv
        return layer

    def _parameters(self, who: str, p: Any) -> tuple[Any, dict[str, float]]:
        """Parameters of this neuron, and keywords of the layer for its initial state."""
        p = self.parameters() if p is None else p
        start = {}
        if self.timed and hasattr(p, "p") and hasattr(p, "s"):  # Norse's IzhikevichSpikingBehavior
            start = {"v_init": float(p.s.v.detach()), "u_init": float(p.s.u.detach())}
            p = p.p
        if not isinstance(p, self.parameters):
            given = type(p).__name__
            p = from_norse(p) if isinstance(p, CONVERTED) else p
            if not isinstance(p, self.parameters):
                raise KindError(
                    f"{who}: p must be {self.parameters.__name__}({', '.join(self.parameters._fields)}), or Norse's of "
                    f"such a neuron, got {given}"
                )
        return p, start


def _milliseconds(who: str, name: str, inverse: Value) -> Value:
    if not isinstance(inverse, Tensor | int | float):
        try:
            inverse = torch.as_tensor(inverse)
        except (TypeError, ValueError, RuntimeError):
            raise KindError(
                f"{who}: {name} must be a number or a tensor, got {type(inverse).__name__}"
            ) from None
    positive = bool((inverse > 0).all()) if isinstance(inverse, Tensor) else inverse > 0
    if not positive:
        raise ConfigError(f"{who}: {name} must be > 0 (1/s), got {inverse}")
    return 1000 / (inverse.detach() if isinstance(inverse, Tensor) else inverse)


def _number(who: str, name: str, value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError, RuntimeError):
        raise ConfigError(
            f"{who}: {name} must be one number for all neurons, got {value}"
        ) from None
    if not math.isfinite(number) or (name == "tau_inv" and not number > 0):
        raise ConfigError(f"{who}: {name} must be finite, and tau_inv > 0, got {number}")
    return number


_SRC_OPTIONS = ("start", "detach_recurrence", "straight_through", "backend")
_ALIF_OPTIONS = ("refractory", "detach_reset", "psi", "backend")

ALIF = Recipe(layers.ALIF, ALIFParameters, (*_ALIF_OPTIONS, "reset"))
STDPALIF = Recipe(layers.STDPALIF, ALIFParameters, _ALIF_OPTIONS)
IZHIKEVICH = Recipe(
    layers.Izhikevich,
    IzhikevichParameters,
    ("v_init", "u_init", "detach_reset", "clip_jacobian", "psi", "backend"),
    fixed={"mn": "linear", "bias": "constant"},
)
SRC = Recipe(layers.SRC, SRCParameters, (*_SRC_OPTIONS, "b_max"), timed=False)
MSRC = Recipe(layers.MSRC, MSRCParameters, _SRC_OPTIONS, timed=False)
BSRC = Recipe(layers.BSRC, BSRCParameters, _SRC_OPTIONS, timed=False)


@dataclass(frozen=True)
class _CustomLayer:
    """Makes the layer of a neuron of one's own from what `Recipe.build` gives."""

    dynamics: Any
    inverse: ClassVar[Mapping[str, str]] = {}

    def __call__(
        self,
        num_neurons: int | None,
        *,
        learn: Collection[str],
        options: Mapping[str, Any] | None = None,
        ranges: Mapping[str, Range] | None = None,
        backend: Backend | None = None,
        **values: Value,
    ) -> Shared:
        return layers.Custom(
            num_neurons, self.dynamics, params=values, options=options, ranges=ranges, learn=learn, backend=backend
        )  # fmt: skip


def custom(dynamics: Any) -> Recipe:
    """How the layer of a neuron of one's own is made; its parameters are its `Params`, as they are.

    Args:
        dynamics: The neuron's equations, or the name of a module that can be imported.

    Raises:
        TypeError: If it has no `Params`.
    """
    if isinstance(dynamics, str):
        dynamics = importlib.import_module(dynamics)
    if not hasattr(dynamics, "Params"):
        raise KindError(
            f"Custom: dynamics must have Params, State, initial_state and step, got {dynamics!r}"
        )
    options = ("options", "ranges", "backend")
    return Recipe(_CustomLayer(dynamics), dynamics.Params, options, timed=False)
