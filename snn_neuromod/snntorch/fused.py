"""A neuron's step in snnTorch's form as one call of compiled code, its surrogate and options with it.

What is traced is the neuron's own `_plain`, on a copy without tensors, so that there is one formulation of a step. It
is traced once for all neurons of one class with the same options, whatever their parameters.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Mapping, Sequence
from functools import cache
from operator import is_
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from snn_neuromod.kernels import operator
from snn_neuromod.kernels.fusion import jit
from snn_neuromod.kernels.neurons import Neuron
from snn_neuromod.kernels.onestep import OneStep, watched

_NO_OPTIONS = frozenset(vars(nn.Module())) | {
    "init_hidden", "output", "all_to_all", "learn_recurrent", "num_neurons", "backend", "delay", "v_init", "u_init",
}  # fmt: skip
"""Attributes that no step reads."""
_OPTIONS = ("_reset_mechanism", "_ranges")
"""Attributes with an underscore that a step reads."""
_MOST = 256
_KNOWN: dict[Any, tuple[OneStep | None, list[str]]] = {}


def fused(
    neuron: Any, current: Tensor, states: Sequence[Tensor], given: Mapping[str, Tensor]
) -> list[Tensor] | None:
    """Take a step.

    Args:
        neuron: A neuron in snnTorch's form.
        current: Input of the step.
        states: State before it.
        given: Tensors in the place of parameters, by name.

    Returns:
        Spikes and state after the step; None where the step in plain PyTorch has to serve.
    """
    if watched() or current.ndim < 2:
        return None
    bound = _bound(neuron)
    if bound.step is None or bound.num_neurons not in (None, current.shape[-1]):
        return None
    found: list[Tensor] | None = bound.step(current, bound.params(given), states)
    return found


def fused_sequence(neuron: Any, current: Tensor, states: Sequence[Tensor]) -> list[Tensor] | None:
    """Take all steps of a sequence; arguments and results as of `fused`, spikes before the graded factor."""
    if watched() or current.ndim < 3 or jit.unable() is not None:
        return None
    bound = _bound(neuron)
    if bound.step is None or bound.num_neurons not in (None, current.shape[-1]):
        return None
    ones = {"graded_spikes_factor": torch.ones_like(neuron.graded_spikes_factor)}
    key = bound.step.over_time.key
    spikes, after = operator.run(key, current, bound.params(ones), [*states])
    return [spikes, *after]


def _bound(neuron: Any) -> _Bound:
    bound = neuron.__dict__.get("_bound_step")
    if bound is None or not bound.holds():
        neuron.__dict__["_bound_step"] = None
        bound = neuron.__dict__["_bound_step"] = _Bound(neuron)
    return bound  # type: ignore[no-any-return]


class _Bound:
    """A neuron's step and where its parameters are, as long as its options stay the same objects."""

    def __init__(self, neuron: Any) -> None:
        self._parts = [neuron, *([neuron.layer] if "layer" in neuron._modules else [])]
        self._places = [vars(part) for part in self._parts]
        self._names = [_names(part) for part in self._parts]
        self._values = self._now()
        self.num_neurons = self._places[-1].get("num_neurons")
        self.step, self.names = _step_of(self._parts, self._names) if _can(neuron) else (None, [])
        self._modules = [neuron.get_submodule(n.rpartition(".")[0]) for n in self.names]
        self._keys = [name.rpartition(".")[2] for name in self.names]

    def _now(self) -> list[Any]:
        """Classes, parts, numbers of attributes and all options."""
        neuron = self._parts[0]
        found = [neuron._modules.get("layer")]
        for part, place, names in zip(self._parts, self._places, self._names, strict=True):
            found += [part.__class__, len(place), *[place.get(name) for name in names]]
        return found

    def holds(self) -> bool:
        """Whether no option was changed."""
        return all(map(is_, self._now(), self._values))

    def params(self, given: Mapping[str, Tensor]) -> list[Tensor]:
        """The neuron's parameters as they are now, with some tensors in their place."""
        found = []
        for module, key in zip(self._modules, self._keys, strict=True):
            parameters = module._parameters
            found.append(parameters[key] if key in parameters else module._buffers[key])
        for name, tensor in given.items():
            found[self.names.index(name)] = tensor
        return found


def _names(module: Any) -> list[str]:
    """Names of the attributes that a step may read."""
    return [
        name
        for name in vars(module)
        if name not in _NO_OPTIONS and (name[0] != "_" or name in _OPTIONS)
    ]


def _can(neuron: Any) -> bool:
    """Whether the step is elementwise and its parameters are where they are expected."""
    parts = [neuron, *([neuron.layer] if "layer" in neuron._modules else [])]
    return not (
        neuron.inhibition
        or neuron.state_quant
        or set(neuron._modules) - {"layer", "recurrent"}
        or (len(parts) > 1 and parts[1]._modules)
        or any(isinstance(vars(part)[name], Tensor) for part in parts for name in _names(part))
    )


def _step_of(
    parts: Sequence[Any], names: Sequence[Sequence[str]]
) -> tuple[OneStep | None, list[str]]:
    """The step of all neurons with these options, and the names of the parameters that it reads."""
    options = [
        (type(part), *((name, _hashable(vars(part)[name])) for name in own))
        for part, own in zip(parts, names, strict=True)
    ]
    try:
        known = _KNOWN.get(tuple(options))
    except TypeError:  # an option that cannot be looked up
        return _made(parts[0])
    if known is None:
        if len(_KNOWN) > _MOST:  # ever new functions as surrogates
            _KNOWN.clear()
        known = _KNOWN[tuple(options)] = _made(parts[0])
    return known


def _made(neuron: Any) -> tuple[OneStep | None, list[str]]:
    try:
        names = _read_by(neuron)
    except (
        Exception
    ):  # a surrogate of the user's own may raise anything: the plain step will say it
        return None, []
    params, fields = _tuple_of(len(names)), [n for n in neuron.state_names if n != "spk"]
    state = namedtuple("State", fields)  # type: ignore[misc]
    bare = _bare(neuron)

    def step(values: Any, states: Any, current: Tensor) -> tuple[Tensor, Any]:
        spikes, *after = _filled(bare, names, values)._plain(current, list(states))
        return spikes, state(*after)

    module = SimpleNamespace(Params=params, State=state, step=step)
    return OneStep(Neuron(module, {}, type(neuron).__name__, exact=neuron.exact)), names


def _hashable(option: Any) -> Any:
    """An option as it can be looked up: of a dictionary what is in it."""
    return tuple(option.items()) if isinstance(option, dict) else option


@cache
def _tuple_of(num: int) -> Any:
    return namedtuple("Params", [f"p{k}" for k in range(num)])


class _Recording(dict[str, Any]):
    """A module's tensors, and which of them were read."""

    def __init__(self, prefix: str, read: dict[str, None], given: Mapping[str, Any]) -> None:
        super().__init__(given)
        self._prefix, self._read = prefix, read

    def __getitem__(self, name: str) -> Any:
        self._read[self._prefix + name] = None
        return super().__getitem__(name)


def _read_by(neuron: Any) -> list[str]:
    """Names of the parameters that a step reads, in its order."""
    read: dict[str, None] = {}
    twin = _bare(neuron)
    for name, module in twin.named_modules():
        tensors = neuron.get_submodule(name)._parameters | neuron.get_submodule(name)._buffers
        numbers = {k: torch.full((), 0.5) for k, t in tensors.items() if t is not None}
        module._buffers = _Recording(f"{name}." if name else "", read, numbers)
    twin._plain(torch.ones(1, 1), [torch.ones(1, 1) for n in neuron.state_names if n != "spk"])
    return list(read)


def _bare(module: nn.Module) -> Any:
    """A copy without tensors, which does not train."""
    twin = object.__new__(type(module))
    twin.__dict__.update(vars(module), _parameters={}, _buffers={}, training=False)
    twin.__dict__.pop("_bound_step", None)
    if "num_neurons" in twin.__dict__:
        twin.__dict__["num_neurons"] = None
    inner = {
        name: _bare(part) for name, part in module._modules.items() if name == "layer" and part
    }
    twin.__dict__["_modules"] = inner
    return twin


def _filled(bare: nn.Module, names: Sequence[str], tensors: Sequence[Tensor]) -> Any:
    """A copy with tensors."""
    twin = _bare(bare)
    for name, tensor in zip(names, tensors, strict=True):
        path, _, key = name.rpartition(".")
        twin.get_submodule(path)._buffers[key] = tensor
    return twin
