"""The step of a neuron as a map of vectors, with its Jacobian; used by portraits, fixed points and bifurcations.

The Jacobian is taken by central differences of the step itself, fourth order, in float64: what a step gives to autograd
is meant for learning and may be detached or a surrogate. Its relative error is about 1e-10.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from snn_neuromod.analysis.source import Neuron
from snn_neuromod.errors import ConfigError

Array = NDArray[np.float64]
CURRENT = "current"
"""Name of the input where a parameter may be named."""
_WIDTH = 2e-4
_POINTS, _WEIGHTS = np.array([-2, -1, 1, 2]), np.array([1, -8, 8, -1]) / 12


class StepMap(NamedTuple):
    """One step as a map x -> f(x, p) of the free state variables; p is the current or a parameter.

    Attributes:
        names: Free state variables; one that the step hands on unchanged, as an ALIF neuron without refractory period
            does its counter, is none.
        f: Map of (K, n) and (K,) to (K, n).
        rest: Where the neuron starts, (n,).
        smooth: False for the variables that only jump, as spikes and counters do, and for those without memory.
    """

    names: tuple[str, ...]
    f: Callable[[Array, Array], Array]
    rest: Array
    smooth: NDArray[np.bool_]


def step_map(
    found: Neuron,
    *,
    current: float,
    parameter: str = CURRENT,
    values: tuple[float, ...] = (),
    frozen: Mapping[str, float] | None = None,
    caller: str,
) -> StepMap:
    """The map of one neuron.

    Args:
        found: The neuron.
        current: Constant input.
        parameter: What p is: "current" or a parameter of the neuron.
        values: Some values of p; variables that only jump at all of them are told from the others.
        frozen: State variables that stay as they are, with their values; they are not part of x.
        caller: Who asks, for errors.

    Returns:
        The map.

    Raises:
        ValueError: If the neuron is several, the current is not finite or a name is unknown.
    """
    params = single(found.params, caller)
    if not np.isfinite(current):
        raise ConfigError(f"{caller}: current must be a finite number, got {current}")
    if parameter != CURRENT and parameter not in params._fields:
        known = ", ".join([CURRENT, *params._fields])
        raise ConfigError(f"{caller}: parameter must be one of {known}, got {parameter!r}")
    one = torch.full((1, 1), float(current), dtype=torch.float64)
    state = found.initial_state(one)
    fields = state._fields
    frozen = dict(frozen or {})
    unknown = [name for name in frozen if name not in fields]
    if unknown:
        raise ConfigError(
            f"{caller}: frozen must name state variables among {', '.join(fields)}, got {unknown[0]}"
        )
    default = current if parameter == CURRENT else float(getattr(params, parameter))
    probes = np.array(values or (default,))

    def build(held: Mapping[str, float]) -> StepMap:
        names = tuple(name for name in fields if name not in held)

        def f(x: Array, p: Array) -> Array:
            columns = {name: torch.from_numpy(x[None, :, k].copy()) for k, name in enumerate(names)}
            rest = {
                name: torch.full((1, len(x)), v, dtype=torch.float64) for name, v in held.items()
            }
            at = torch.from_numpy(np.broadcast_to(p, (1, len(x))).astype(np.float64))
            driven: Tensor = at if parameter == CURRENT else torch.full_like(at, float(current))
            used = params if parameter == CURRENT else params._replace(**{parameter: at})
            with torch.no_grad():
                _, new = found.step(used, type(state)(**columns, **rest), driven)
            return np.stack([getattr(new, name).expand(1, len(x))[0].numpy() for name in names], 1)

        start = np.array([float(getattr(state, name)) for name in names])
        return StepMap(names, f, start, np.ones(len(names), dtype=bool))

    mapping = build(frozen)
    smooth, inert = _tried(mapping, probes)
    if inert.any():
        unused = [name for name, idle in zip(mapping.names, inert, strict=True) if idle]
        mapping = build({**frozen, **{name: float(getattr(state, name)) for name in unused}})
        smooth = smooth[~inert]
    return mapping._replace(smooth=smooth)


def single(params: Any, caller: str) -> Any:
    """Parameters as numbers; those of several neurons are refused."""
    values = {name: np.asarray(x, dtype=np.float64) for name, x in params._asdict().items()}
    for name, value in values.items():
        if value.size != 1:
            raise ConfigError(
                f"{caller}: {name} must be one number, got {value.size}; of a layer of different neurons take one, "
                "nm.analysis.neuron(layer, index=k)"
            )
    return type(params)(**{name: value.item() for name, value in values.items()})


def jacobian(mapping: StepMap, x: Array, p: Array) -> Array:
    """Derivatives by the state, (K, n, n), at x (K, n) and p (K,)."""
    return slopes(mapping, x, p)[..., :-1]


def slopes(mapping: StepMap, x: Array, p: Array) -> Array:
    """Derivatives by the state and by the parameter, (K, n, n + 1), at x (K, n) and p (K,)."""
    at = np.column_stack([x, p])
    rows, columns = at.shape
    width = _WIDTH * np.maximum(1.0, np.abs(at))
    shifted = np.tile(at, (columns, 4, 1, 1))
    for k in range(columns):
        shifted[k, :, :, k] += _POINTS[:, None] * width[:, k]
    flat = shifted.reshape(-1, columns)
    images = mapping.f(flat[:, :-1], flat[:, -1]).reshape(columns, 4, rows, columns - 1)
    found: Array = np.einsum("s,kszi->zik", _WEIGHTS, images) / width[:, None]
    found[:, ~mapping.smooth, :-1] = 0.0
    return found


def newton(mapping: StepMap, x: Array, p: Array, free: NDArray[np.intp]) -> Array:
    """One Newton step on f = x in the variables `free`, the others held; x is (K, n)."""
    residual = mapping.f(x, p) - x
    matrix = jacobian(mapping, x, p)[:, free[:, None], free] - np.eye(len(free))
    right = -residual[:, free, None]
    try:
        change = np.linalg.solve(matrix, right)
    except np.linalg.LinAlgError:
        change = np.linalg.pinv(matrix) @ right
    moved: Array = x.copy()
    moved[:, free] += change[..., 0]
    return moved


def _tried(mapping: StepMap, values: Array) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Variables whose next value moves a little when the state does, and those that the step hands on unchanged."""
    width, rest = 1e-6, mapping.rest
    shifts = (
        np.concatenate([np.zeros((1, len(rest))), np.eye(len(rest)), -np.eye(len(rest))]) * width
    )
    x = np.repeat(rest + shifts, len(values), 0)
    images = mapping.f(x, np.tile(values, len(shifts)))
    apart = images.reshape(len(shifts), len(values), len(rest))
    moved = np.abs(apart[1:] - apart[0])
    smooth = ((moved > 0) & (moved < 1e4 * width)).any((0, 1))
    return smooth, (images == x).all(0)
