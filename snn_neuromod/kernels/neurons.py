"""The neurons that the backends run: those of the package by name, any other by its step."""

from __future__ import annotations

import importlib
import inspect
import itertools
import json
from collections.abc import Mapping, Sequence
from types import MappingProxyType, ModuleType
from typing import Any
from weakref import WeakValueDictionary

import torch
from torch import Tensor

from snn_neuromod import dynamics, surrogate
from snn_neuromod.errors import ConfigError, KindError
from snn_neuromod.kernels.fusion.kernel import Kernel, compiled
from snn_neuromod.kernels.fusion.once import Once
from snn_neuromod.kernels.fusion.trace import Step, trace

__all__ = ["Neuron", "decode", "describe", "encode"]


class Neuron:
    """A neuron with its options, and all that is traced, printed and compiled of its step, when it is first needed.

    Args:
        module: Module or object with `Params` and `State`, both NamedTuples, and `step(params, state, current,
            **options) -> (spikes, state)`, elementwise.
        options: Options of `step`.
        name: What the user knows it by; "": as the module is called.
        exact: Whether both passes of its kernels compute what PyTorch would, operation by operation.
        encoded: What `encode` wrote, for a neuron of the package with a spike function of the package.

    Attributes:
        key: The argument `neuron` of `operator.run`, valid as long as this object is.
        known: Whether `encode` wrote it.
        once: Makes, and keeps, what backends print of it.
        plans: What was decided for sequences that look alike, see `operator`.

    Raises:
        ValueError: If an option, or `module` itself, is a module with parameters that learn.
    """

    def __init__(
        self,
        module: Any,
        options: Mapping[str, Any] = MappingProxyType({}),
        name: str = "",
        exact: bool = False,
        encoded: str = "",
    ) -> None:
        for what, value in {"dynamics": module, **options}.items():
            if isinstance(value, torch.nn.Module) and any(
                p.requires_grad for p in value.parameters()
            ):
                raise ConfigError(
                    f"{what} must not hold parameters that learn, got {type(value).__name__}; what learns belongs in "
                    "the neuron's Params"
                )
        self.module, self.options, self.exact = module, dict(options), exact
        self.name = name or getattr(module, "__name__", type(module).__name__)
        self.key, self.known = encoded or f"step {next(_COUNT)}", bool(encoded)
        self.once, self.plans = Once(), dict[Any, Any]()
        if not encoded:
            _OTHERS[self.key] = self

    def __deepcopy__(self, memo: dict[int, Any]) -> Neuron:
        return self  # what is in it does not change

    def __reduce__(self) -> tuple[Any, ...]:
        if self.known:
            return decode, (self.key,)
        if isinstance(self.module, ModuleType):
            return _from_module, (self.module.__name__, self.options, self.name, self.exact)
        return Neuron, (self.module, self.options, self.name, self.exact)

    def plain(
        self, params: Sequence[Tensor], state: Sequence[Tensor], current: Tensor
    ) -> tuple[Tensor, Any]:
        """The step itself, in plain PyTorch: spikes and state after it."""
        module = self.module
        spikes, after = module.step(
            module.Params(*params), module.State(*state), current, **self.options
        )
        return spikes, module.State(*after)

    def traced(self, dtype: torch.dtype, states: tuple[int, ...] | None = None) -> Step:
        """The traced step, with the past of these states followed alone; None: of all.

        Raises:
            NotElementwise: If no kernel can be printed from it.
        """
        parts = self.module.step, self.module.Params, self.module.State, self.options
        whole = self.once(("step", dtype), lambda: trace(*parts, dtype=dtype))
        return whole.following(states)

    def kernel(self, dtype: torch.dtype, states: tuple[int, ...] | None = None) -> Kernel:
        """Compiled kernels; arguments as of `traced`.

        Raises:
            NotElementwise: If no kernel can be printed from the step.
            CompileError: If it cannot be compiled.
        """
        return self.once(
            ("c", dtype, states),
            lambda: compiled(self.traced(dtype, states), dtype, self.name, exact=self.exact),
        )


def _from_module(module: str, *rest: Any) -> Neuron:
    return Neuron(importlib.import_module(module), *rest)


_OTHERS: WeakValueDictionary[str, Neuron] = WeakValueDictionary()
_COUNT = itertools.count()
_KNOWN: dict[str, Neuron] = {}
"""The neurons of this process by what `encode` wrote: `torch.compile` can look one up, but not read JSON."""


def describe(module: Any, step_options: Mapping[str, Any]) -> Neuron:
    """A neuron of the package: known by name where its spike function is one of the package's, else by its step.

    Args:
        module: Module in `snn_neuromod.dynamics`.
        step_options: Options of its `step`.

    Raises:
        TypeError: If the spike function is not callable.
    """
    options = dict(step_options)
    spike_fn = options.pop("spike_fn", None)
    if isinstance(spike_fn, surrogate.Psi):
        options["psi"] = spike_fn
    elif spike_fn in (torch.relu, surrogate.straight_through_relu):
        options["straight_through"] = spike_fn is surrogate.straight_through_relu
    elif callable(spike_fn):
        return Neuron(module, step_options)
    elif spike_fn is not None:
        raise KindError(
            f"psi must be a Psi such as Psi('triangular') or a spike function, got {spike_fn!r}"
        )
    return decode(encode(module.__name__.rpartition(".")[2], **options))


def encode(neuron: str, **options: Any) -> str:
    """Name and options of a neuron as one string, which operators can take.

    Args:
        neuron: Name of a module in `snn_neuromod.dynamics`.
        **options: Options of its derivatives, where `psi` may be a `surrogate.Psi`.
    """
    if isinstance(options.get("psi"), surrogate.Psi):
        options["psi"] = vars(options["psi"])
    return decode(json.dumps({"neuron": neuron, **options}, sort_keys=True)).key


def decode(neuron: str) -> Neuron:
    """Neuron of this `Neuron.key`.

    Raises:
        ValueError: If there is none.
    """
    if neuron in _KNOWN:
        return _KNOWN[neuron]
    other = _OTHERS.get(neuron)
    if other is not None:
        return other
    _KNOWN[neuron] = _decode(neuron)
    return _KNOWN[neuron]


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
    return Neuron(module, options, name, encoded=neuron)
