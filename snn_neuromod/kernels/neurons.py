"""The neurons that the sequence operators run: those with closed-form derivatives by name, any other by its step."""

from __future__ import annotations

import importlib
import itertools
import json
from collections import namedtuple
from collections.abc import Callable, Mapping
from functools import cache, partial
from types import ModuleType, SimpleNamespace
from typing import Any, NamedTuple
from weakref import WeakValueDictionary

import torch
from torch import Tensor

from snn_neuromod import dynamics, surrogate
from snn_neuromod._types import Param
from snn_neuromod.kernels import generic
from snn_neuromod.kernels.alif import linearise_alif, linearise_stdp_alif
from snn_neuromod.kernels.izhikevich import linearise_izhikevich
from snn_neuromod.kernels.leaky_integrator import linearise_leaky_integrator
from snn_neuromod.kernels.linearisation import Linearisation
from snn_neuromod.kernels.src import linearise_bsrc, linearise_msrc, linearise_src


class Neuron(NamedTuple):
    """A neuron with its options, as the operators see it.

    Attributes:
        module: Holds `Params` and `State`.
        step: `step(params, state, current)` with its options.
        linearise: Its derivatives.
        options: Options of the closed form.
        described: For a neuron known by its step alone that description, which has to live as long as this; else None.
    """

    module: Any
    step: Callable[..., tuple[Tensor, Any]]
    linearise: Callable[..., Linearisation]
    options: dict[str, Any]
    described: Described | None = None

    @property
    def src_family(self) -> bool:
        return self.module in (dynamics.src, dynamics.msrc, dynamics.bsrc)

    @property
    def reads_input(self) -> bool:
        """Whether the derivatives depend on the input of the step."""
        normalised = self.module is dynamics.leaky_integrator and self.options["normalise"]
        return self.described is not None or normalised


class _Known(NamedTuple):
    module: Any
    linearise: Callable[..., Linearisation]


_KNOWN = {
    "src": _Known(dynamics.src, linearise_src),
    "msrc": _Known(dynamics.msrc, linearise_msrc),
    "bsrc": _Known(dynamics.bsrc, linearise_bsrc),
    "alif": _Known(dynamics.alif, linearise_alif),
    "stdp_alif": _Known(dynamics.stdp_alif, linearise_stdp_alif),
    "izhikevich": _Known(dynamics.izhikevich, linearise_izhikevich),
    "leaky_integrator": _Known(dynamics.leaky_integrator, linearise_leaky_integrator),
}


def encode(neuron: str, **options: Any) -> str:
    """Name and options of a neuron as one string, which operators can take.

    Args:
        neuron: Name of a module in `snn_neuromod.dynamics`.
        **options: Options of its `linearise`, where `psi` may be a `surrogate.Psi`.

    Returns:
        The argument `neuron` of `run`.
    """
    if isinstance(options.get("psi"), surrogate.Psi):
        options["psi"] = vars(options["psi"])
    encoded = json.dumps({"neuron": neuron, **options}, sort_keys=True)
    if encoded not in _DECODED:
        _DECODED[encoded] = _decode(encoded)
    return encoded


def _hard_spikes(distance: Tensor, unit: Param, held: Tensor | None = None) -> Tensor:
    """Spikes of `surrogate.Psi` without its derivative, which the closed form knows."""
    spikes = torch.gt(
        distance, 0, out=torch.empty_like(distance)
    )  # no detour through bool, which is slow
    return spikes if held is None else spikes.masked_fill_(held, 0.0)


def decode(neuron: str) -> Neuron:
    """Neuron that `encode` wrote, or the one of this `Described.key`."""
    if neuron in _DECODED:
        return _DECODED[neuron]
    described = _DESCRIBED.get(neuron)
    if described is not None:
        return described.neuron
    _DECODED[neuron] = _decode(neuron)
    return _DECODED[neuron]


_DECODED: dict[str, Neuron] = {}
"""The neurons of this process by what `encode` wrote: `torch.compile` can look one up, but not read JSON."""


def _decode(neuron: str) -> Neuron:
    options = json.loads(neuron)
    module, linearise = _KNOWN[options.pop("neuron")]
    step_options = dict(options)
    if "psi" in options:
        options["psi"] = surrogate.Psi(**options["psi"])
        step_options["spike_fn"] = _hard_spikes
        del step_options["psi"]
    if "straight_through" in options:  # same spikes either way; the closed form knows the gradient
        del step_options["straight_through"]

    def step(params: Any, state: Any, current: Tensor) -> tuple[Tensor, Any]:
        out: tuple[Tensor, Any] = module.step(params, state, current, **step_options)
        return out

    return Neuron(module, step, partial(linearise, **options), options)


class Described:
    """A neuron known by its step alone; its derivatives come from automatic differentiation of it.

    Args:
        dynamics: Module or object with `Params` and `State`, both NamedTuples, and `step`.
        options: Options of its `step`.

    Attributes:
        key: The argument `neuron` of `run`, valid as long as this object is.

    Raises:
        ValueError: If an option, or `dynamics` itself, is a module with parameters that learn.
    """

    def __init__(self, dynamics: Any, options: Mapping[str, Any]) -> None:
        self.dynamics, self.options = dynamics, dict(options)
        for name, value in {"dynamics": dynamics, **options}.items():
            learned = isinstance(value, torch.nn.Module) and any(
                p.requires_grad for p in value.parameters()
            )
            if learned:
                raise ValueError(
                    f"{name} must not hold parameters that learn, got {type(value).__name__}; what learns belongs in "
                    "the neuron's Params"
                )
        self.key = f"step {next(_COUNT)}"
        _DESCRIBED[self.key] = self

    @property
    def neuron(self) -> Neuron:
        """What the operators run. Its states have names of their own: one called "z" need not be the spikes."""
        fields = self.dynamics.State._fields
        state_type = _state_type(len(fields))

        def step(params: Any, state: Any, current: Tensor) -> tuple[Tensor, Any]:
            spikes, new = self.dynamics.step(
                params, self.dynamics.State(*state), current, **self.options
            )
            return spikes, state_type(*new)

        module = SimpleNamespace(
            __name__="described by its step",
            Params=self.dynamics.Params,
            State=state_type,
            step=step,
        )
        return Neuron(module, step, partial(generic.linearise, step), {}, self)

    def __deepcopy__(self, memo: dict[int, Any]) -> Described:
        return self  # nothing in it ever changes

    def __reduce__(self) -> tuple[Any, ...]:
        if isinstance(self.dynamics, ModuleType):
            return _from_module, (self.dynamics.__name__, self.options)
        return Described, (self.dynamics, self.options)


def _from_module(name: str, options: Mapping[str, Any]) -> Described:
    return Described(importlib.import_module(name), options)


@cache
def _state_type(num: int) -> Any:
    return namedtuple("State", [f"state_{k}" for k in range(num)])


_DESCRIBED: WeakValueDictionary[str, Described] = WeakValueDictionary()
_COUNT = itertools.count()
