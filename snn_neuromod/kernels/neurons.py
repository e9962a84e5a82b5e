"""The neurons that the backends run: those of the package by name, any other by its step."""

from __future__ import annotations

import importlib
import inspect
import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import ModuleType, SimpleNamespace
from typing import Any
from weakref import WeakValueDictionary

import torch
from torch import Tensor

from snn_neuromod import dynamics, surrogate
from snn_neuromod.errors import ConfigError, KindError
from snn_neuromod.kernels.fusion.kernel import Kernels

__all__ = ["Described", "Neuron", "decode", "describe", "encode"]


@dataclass(frozen=True, eq=False)
class Neuron:
    """A neuron with its options, as the backends see it.

    Attributes:
        name: Of its module in `snn_neuromod.dynamics`; of another neuron that it is known by its step.
        module: Holds `Params`, `State` and `step`.
        options: Options of `step`.
        kernels: What is printed from its step.
        known: Whether it is one of the package, with a spike function of the package.
        plans: What was decided for sequences that look alike, see `operator`.
    """

    name: str
    module: Any
    options: Mapping[str, Any]
    kernels: Kernels
    known: bool = True
    plans: dict[Any, Any] = field(default_factory=dict)


def describe(module: Any, step_options: Mapping[str, Any]) -> str | Described:
    """A neuron as operators can take it: by name where its spike function is one of the package's, else by its step.

    Args:
        module: Module in `snn_neuromod.dynamics`.
        step_options: Options of its `step`.

    Raises:
        TypeError: If the spike function is not callable.
    """
    options = dict(step_options)
    spike_fn = options.pop("spike_fn", None)
    if spike_fn is None:
        pass
    elif isinstance(spike_fn, surrogate.Psi):
        options["psi"] = spike_fn
    elif spike_fn in (torch.relu, surrogate.straight_through_relu):
        options["straight_through"] = spike_fn is surrogate.straight_through_relu
    elif callable(spike_fn):
        return Described(module, step_options)
    else:
        raise KindError(
            f"psi must be a Psi such as Psi('triangular') or a spike function, got {spike_fn!r}"
        )
    return encode(module.__name__.rpartition(".")[2], **options)


def encode(neuron: str, **options: Any) -> str:
    """Name and options of a neuron as one string, which operators can take.

    Args:
        neuron: Name of a module in `snn_neuromod.dynamics`.
        **options: Options of its derivatives, where `psi` may be a `surrogate.Psi`.
    """
    if isinstance(options.get("psi"), surrogate.Psi):
        options["psi"] = vars(options["psi"])
    encoded = json.dumps({"neuron": neuron, **options}, sort_keys=True)
    if encoded not in _DECODED:
        _DECODED[encoded] = _decode(encoded)
    return encoded


def decode(neuron: str) -> Neuron:
    """Neuron that `encode` wrote, or the one of this `Described.key`.

    Raises:
        ValueError: If it is neither.
    """
    if neuron in _DECODED:
        return _DECODED[neuron]
    described = _DESCRIBED.get(neuron)
    if described is not None:
        return described
    _DECODED[neuron] = _decode(neuron)
    return _DECODED[neuron]


_DECODED: dict[str, Neuron] = {}
"""The neurons of this process by what `encode` wrote: `torch.compile` can look one up, but not read JSON."""


def _decode(neuron: str) -> Neuron:
    try:
        options = json.loads(neuron)
        name = options.pop("neuron")
        module = dynamics.NEURONS[name]
        if "psi" in options:
            options["spike_fn"] = surrogate.Psi(**options.pop("psi"))
        if "straight_through" in options:
            straight = options.pop("straight_through")
            options["spike_fn"] = surrogate.straight_through_relu if straight else torch.relu
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"sequence: neuron must be what a layer gives, a name among {', '.join(dynamics.NEURONS)} with its "
            f"options, got {neuron[:200]!r}"
        ) from error
    unknown = set(options) - set(inspect.signature(module.step).parameters)
    if unknown:
        raise ConfigError(
            f"sequence: options of {name} must be those of its step, got {', '.join(sorted(unknown))}"
        )
    kernels = Kernels(module.step, module.Params, module.State, options, name)
    return Neuron(name, module, options, kernels)


class Described:
    """A neuron known by its step alone.

    Args:
        dynamics: Module or object with `Params` and `State`, both NamedTuples, and `step`.
        options: Options of its `step`.

    Attributes:
        neuron: What the operators run.
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
                raise ConfigError(
                    f"{name} must not hold parameters that learn, got {type(value).__name__}; what learns belongs in "
                    "the neuron's Params"
                )
        params_type, state_type, own = dynamics.Params, dynamics.State, self.options

        def step(params: Any, state: Any, current: Tensor) -> tuple[Tensor, Any]:
            spikes, after = dynamics.step(params, state, current, **own)
            return spikes, state_type(*after)

        module = SimpleNamespace(Params=params_type, State=state_type, step=step)
        name = getattr(dynamics, "__name__", type(dynamics).__name__)
        kernels = Kernels(step, params_type, state_type, name=name)
        self.neuron = Neuron("neuron described by its step", module, {}, kernels, known=False)
        self.key = f"step {next(_COUNT)}"
        _DESCRIBED[self.key] = self.neuron

    def __deepcopy__(self, memo: dict[int, Any]) -> Described:
        return self  # nothing in it ever changes

    def __reduce__(self) -> tuple[Any, ...]:
        if isinstance(self.dynamics, ModuleType):
            return _from_module, (self.dynamics.__name__, self.options)
        return Described, (self.dynamics, self.options)


def _from_module(name: str, options: Mapping[str, Any]) -> Described:
    return Described(importlib.import_module(name), options)


_DESCRIBED: WeakValueDictionary[str, Neuron] = WeakValueDictionary()
_COUNT = itertools.count()
