"""What the analysis sees of a neuron: its step, parameters, rest, and what to call membrane and spike."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from snn_neuromod.dynamics.traits import Dynamics, traits
from snn_neuromod.errors import ConfigError, KindError

_GRADIENT_ONLY = ("detach_recurrence", "detach_reset", "clip_jacobian")


class Neuron(NamedTuple):
    """One neuron, or a grid of them, as the analysis sees it.

    Attributes:
        step: `step(params, state, current) -> (spikes, state)`.
        params: Parameters, numbers or tensors that broadcast against the current; a NamedTuple.
        initial_state: Rest, of the shape and dtype of the current that it is given.
        membrane: Field of the state that is drawn as the membrane.
        slow: Field of the state on the other axis of a phase portrait; None where there is one variable only.
        threshold: A spike is an upward crossing of the membrane through it; None: an output above 0 is a spike.
    """

    step: Callable[[Any, Any, Tensor], tuple[Tensor, Any]]
    params: Any
    initial_state: Callable[[Tensor], Any]
    membrane: str
    slow: str | None
    threshold: float | None


Source: TypeAlias = Neuron | nn.Module | Dynamics[Any, Any]
"""What can be analysed: a module of `snn_neuromod.dynamics` or equations of one's own, a layer, or a `Neuron`."""

Value: TypeAlias = ArrayLike | Tensor
"""A parameter: a number, or an array that broadcasts against the current."""


def neuron(
    source: Source,
    *,
    index: int | None = None,
    params: Any = None,
    options: Mapping[str, Any] | None = None,
    **parameters: Value,
) -> Neuron:
    """The neuron to analyse.

    A neuron of the SRC family given by its module is driven directly (alpha = 0, rho = inf: the current is x itself)
    and starts at h = h_s = -1. A spike of that family is an upward crossing of h through 0.5. A layer comes with its
    own parameters, synapse and start; where its neurons differ, a parameter is one number a neuron, which gives a curve
    or a kind for each. What looks at one neuron alone asks for `neuron(layer, index=k)`. Membrane and slow variable
    of a neuron of your own are the first two fields of its state and an output above 0 is a spike, unless it says
    otherwise (`snn_neuromod.dynamics.traits`) or `neuron(mine)._replace(membrane="h", slow=None, threshold=0.5)` does.

    Args:
        source: A module of `snn_neuromod.dynamics`, a sequence layer, alone, in a `Recurrent` or in a form of snnTorch
            or Norse around it, an object with `Params`, `initial_state` and `step` (see `snn_neuromod.Custom`), or a
            `Neuron`.
        index: Which neuron of a layer; None: all, where they differ.
        params: Parameters in the place of the source's; taken as they are.
        options: Keyword arguments of the source's `step`, such as `refractory` of an ALIF neuron.
        **parameters: Single parameters to replace: numbers, or arrays that broadcast against the current.

    Returns:
        The neuron, its numbers as float64.

    Raises:
        TypeError: If `source` is no neuron, or a parameter is not made of numbers.
        IndexError: If a layer has no neuron of that index.
        ValueError: If a name or option is unknown, a parameter has no value, or one is NaN.

    Examples:
        >>> from snn_neuromod.dynamics import msrc
        >>> neuron(msrc, h_s0=0.5).params.h_s0
        0.5
        >>> neuron(msrc).membrane, neuron(msrc).threshold
        ('h', 0.5)
    """
    parameters = {name: _number(name, value) for name, value in parameters.items()}
    source = _unwrapped(source)
    if isinstance(source, Neuron):
        found = _with_options(source, options)
    elif _is_layer(source):
        found = _of_layer(source, options, index)
    else:
        found = _of_dynamics(source, params, options, parameters)
    if params is not None:
        found = found._replace(params=params)
    return _replaced(found, parameters)


def _unwrapped(source: Any) -> Any:
    """The layer inside a `Recurrent` (neuron), or a form of snnTorch (layer) or Norse (p).

    Raises:
        TypeError: If it is a class.
    """
    if isinstance(source, type) and _is_layer(source):
        raise KindError(
            f"neuron: source must be an instance of {source.__name__}, got the class; write {source.__name__}(1)"
        )
    inner = (getattr(source, name, None) for name in ("layer", "p", "neuron"))
    return source if _is_layer(source) else next(filter(_is_layer, inner), source)


def _is_layer(source: Any) -> bool:
    return all(
        hasattr(source, name) for name in ("dynamics", "params", "step_options", "initial_state")
    )


def _of_dynamics(
    source: Any, params: Any, options: Mapping[str, Any] | None, parameters: Mapping[str, Any]
) -> Neuron:
    missing = [part for part in ("Params", "initial_state", "step") if not hasattr(source, part)]
    if missing:
        raise KindError(
            "neuron: source must be a module of snn_neuromod.dynamics, a sequence layer such as nm.MSRC(1), a Neuron, "
            f"or an object with Params, initial_state and step, got {source!r} without {', '.join(missing)}"
        )
    if params is None:
        kind = source.Params
        _check_names(kind._fields, parameters)
        given = {**getattr(source, "DIRECT", {}), **parameters}
        known = {**getattr(kind, "_field_defaults", {}), **given}
        unset = [name for name in kind._fields if name not in known]
        if unset:
            raise ConfigError(
                f"neuron: parameters must give a value to {', '.join(unset)}, which have no default"
            )
        params = kind(**known)
    rest = source.initial_state
    read = set(inspect.signature(rest).parameters) & set(params._fields)
    known = {**getattr(source, "REST", {}), **{name: getattr(params, name) for name in read}}
    rest = partial(rest, **known) if known else rest
    bare = Neuron(source.step, params, rest, *_names(source, rest))
    return _with_options(bare, options)


def _of_layer(layer: Any, options: Mapping[str, Any] | None, index: int | None) -> Neuron:
    equations = layer.dynamics
    kept = {
        name: value for name, value in layer.step_options().items() if name not in _GRADIENT_ONLY
    }
    number = getattr(layer, "num_neurons", None) or 1
    if index is not None and not 0 <= index < number:
        raise IndexError(f"neuron: index must lie in 0 ... {number - 1}, got {index}")
    with torch.no_grad():
        params = layer.params(torch.float64)
        own = {name: _of(value, index) for name, value in params._asdict().items()}
        params = type(params)(**{name: _number(name, value) for name, value in own.items()})
        if not any(isinstance(value, Tensor) for value in params):
            index = index or 0  # all alike, wherever they start
        start = layer.initial_state(torch.zeros(1, number, dtype=torch.float64))
        first = {name: _of(getattr(start, name), index) for name in start._fields}

    def rest(current: Tensor) -> Any:
        return type(start)(*(torch.zeros_like(current) + first[name] for name in start._fields))

    bare = Neuron(equations.step, params, rest, *_names(equations, rest))
    return _with_options(bare, {**kept, **(options or {})})


def _of(value: Any, index: int | None) -> Any:
    """A number, or one for each neuron where these differ and none is asked for."""
    if not isinstance(value, Tensor):
        return float(value)
    flat = value.detach().flatten()
    if len(flat) == 1 or index is not None:
        return float(flat[index if index is not None and len(flat) > 1 else 0])
    return float(flat[0]) if (flat == flat[0]).all() else flat


def _names(source: Any, rest: Callable[[Tensor], Any]) -> tuple[str, str | None, float | None]:
    """Membrane, slow variable and threshold."""
    found = traits(source, rest(torch.zeros(1, 1, dtype=torch.float64))._fields)
    return found.membrane[-1], found.slow, found.spike_level


def _with_options(found: Neuron, options: Mapping[str, Any] | None) -> Neuron:
    if not options:
        return found
    known = inspect.signature(found.step).parameters
    if not any(p.kind is p.VAR_KEYWORD for p in known.values()):
        allowed = [name for name, p in known.items() if p.kind is p.KEYWORD_ONLY]
        unknown = sorted(set(options) - set(known))
        if unknown:
            raise ConfigError(
                f"neuron: options must be among {', '.join(allowed) or 'none'}, got {', '.join(unknown)}"
            )
    return found._replace(step=partial(found.step, **options))


def _check_names(fields: tuple[str, ...], parameters: Mapping[str, Any]) -> None:
    unknown = [name for name in parameters if name not in fields]
    if unknown:
        raise ConfigError(
            f"neuron: parameters must be among {', '.join(fields)}, got {', '.join(unknown)}"
        )


def _replaced(found: Neuron, parameters: Mapping[str, Any]) -> Neuron:
    if not parameters:
        return found
    _check_names(found.params._fields, parameters)
    rest = found.initial_state
    if isinstance(rest, partial):  # a rest that depends on a parameter follows it
        rest = partial(
            rest, **{name: parameters[name] for name in rest.keywords if name in parameters}
        )
    return found._replace(params=found.params._replace(**parameters), initial_state=rest)


def _number(name: str, value: Any) -> Any:
    """A float, or a float64 tensor."""
    try:
        array = (
            value.detach().cpu().numpy() if isinstance(value, Tensor) else np.asarray(value)
        ).astype(np.float64)
    except (TypeError, ValueError) as error:
        raise KindError(
            f"neuron: {name} must be a number or an array of numbers, got {value!r}"
        ) from error
    if np.isnan(array).any():
        raise ConfigError(f"neuron: {name} must not be NaN, got {value!r}")
    return array.item() if array.ndim == 0 else torch.from_numpy(array)
