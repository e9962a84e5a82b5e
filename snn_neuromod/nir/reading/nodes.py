"""From a node of NIR to a module."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import nir
import numpy as np
import torch
from torch import nn

from snn_neuromod.errors import ConfigError, DataError
from snn_neuromod.layers import Custom, Layer
from snn_neuromod.nir import modules, neurons
from snn_neuromod.nir.reading.conventions import Conventions
from snn_neuromod.nir.subgraphs import Array

Module = TypeVar("Module", bound=nn.Module)


def module(name: str, node: Any, chosen: Conventions) -> nn.Module:
    """The module of a node.

    Args:
        name: Its name.
        node: The node.
        chosen: How to run it.

    Raises:
        DataError: If the node is of an unknown kind, or damaged.
        ConfigError: If its time step is missing or too long.
    """
    maker = KNOWN.get(type(node))
    if maker is None:
        known = ", ".join(kind.__name__ for kind in KNOWN)
        raise DataError(
            f"from_nir: node {name!r} must be one of {known}, got {type(node).__name__}; replace it, or read the graph "
            "with nirtorch.nir_to_torch and snn_neuromod.nir.nirtorch_map(), adding a module of your own"
        )
    return maker(name, node, chosen)


def learned(made: Iterable[nn.Module]) -> frozenset[str]:
    """Names of the parameters that the neurons of modules learn."""
    layers = [m for module in made for m in module.modules() if isinstance(m, Layer)]
    return frozenset(name for layer in layers for name in layer.learned)


def filled(module: Module, values: Mapping[str, Any], dtype: torch.dtype) -> Module:
    """The module with these values in full precision, whatever type it was made in."""
    module = module.to(dtype)
    with torch.no_grad():
        for name, value in values.items():
            getattr(module, name).copy_(torch.as_tensor(np.asarray(value)))
    return module


def linear(name: str, node: Any, chosen: Conventions) -> nn.Linear:
    """The nn.Linear of a Linear or Affine node."""
    if np.ndim(node.weight) != 2:
        raise DataError(
            f"from_nir: node {name!r} must have a weight of two axes, got {np.shape(node.weight)}"
        )
    outputs, inputs = node.weight.shape
    bias = isinstance(node, nir.Affine)
    made = nn.Linear(inputs, outputs, bias=bias)
    values = {"weight": node.weight, **({"bias": node.bias} if bias else {})}
    return filled(made, values, chosen.dtype)


def scaled(node: Any, gain: Array) -> Any:
    """Weights with the gains of the neurons that they lead to."""
    weight = gain[:, None] * np.asarray(node.weight, dtype=np.float64)
    if isinstance(node, nir.Linear):
        return nir.Linear(weight)
    return nir.Affine(weight, gain * np.asarray(node.bias, dtype=np.float64))


def _conv(name: str, node: Any, chosen: Conventions) -> modules.OverTime:
    kind: Any = nn.Conv1d if isinstance(node, nir.Conv1d) else nn.Conv2d
    out, per_group, *kernel = (int(n) for n in node.weight.shape)
    made = kind(
        per_group * int(node.groups),
        out,
        tuple(kernel),
        stride=_sizes(node.stride),
        padding=_sizes(node.padding),
        dilation=_sizes(node.dilation),
        groups=int(node.groups),
    )
    bias = np.zeros(out) if node.bias is None else node.bias
    return modules.OverTime(filled(made, {"weight": node.weight, "bias": bias}, chosen.dtype))


def _pool(name: str, node: Any, chosen: Conventions) -> modules.OverTime:
    sizes = [_pair(getattr(node, key)) for key in ("kernel_size", "stride", "padding")]
    kind: Any = nn.AvgPool2d if isinstance(node, nir.AvgPool2d) else modules.SumPool2d
    return modules.OverTime(kind(*sizes))


def _flatten(name: str, node: Any, chosen: Conventions) -> modules.OverTime:
    """NIR counts the axes of the features, PyTorch from the batch on."""
    start, end = (int(n) + (int(n) >= 0) for n in (node.start_dim, node.end_dim))
    return modules.OverTime(nn.Flatten(start, end))


def _delay(name: str, node: Any, chosen: Conventions) -> modules.Delay:
    exact = 1e3 * np.asarray(node.delay, dtype=np.float64) / chosen.step(name)
    steps = np.rint(exact)
    if not (steps >= 0).all() or not np.allclose(exact, steps, rtol=1e-3, atol=1e-3):
        raise ConfigError(
            f"from_nir: dt must divide the delays of node {name!r}, got {exact.flat[0]:g} steps of {chosen.dt:g} ms"
        )
    return modules.Delay(torch.as_tensor(steps).long())


def _sizes(value: Any) -> Any:
    """A number, a tuple or a string, without numpy's types."""
    if isinstance(value, str | bytes):
        return value.decode() if isinstance(value, bytes) else value
    return tuple(int(n) for n in np.atleast_1d(value))


def _pair(value: Any) -> tuple[int, int]:
    sizes = _sizes(value)
    return (sizes[0], sizes[-1])


def _neuron(name: str, node: Any, chosen: Conventions) -> nn.Module:
    kind = getattr(neurons, type(node).__name__)
    values = {key: np.asarray(getattr(node, key), dtype=np.float64) for key in kind.Params._fields}
    timed = [key for key in values if key.startswith("tau")]
    for key in timed:
        values[key] = 1e3 * values[key]
        _check_time_constant(name, key, values[key], chosen)
    wrong = [key for key, value in values.items() if not np.isfinite(value).all()]
    if wrong:
        raise DataError(
            f"from_nir: node {name!r} must have finite parameters, got {wrong[0]}={values[wrong[0]]}"
        )
    if timed:
        options: dict[str, Any] = {"dt": chosen.step(name)}
    else:
        options = {"dt": 1.0 if chosen.unit_step else 1e-3 * chosen.step(name)}
    if "tau_syn" in values:
        options["synapse"] = chosen.synapse
    if "v_reset" in values:
        options |= {"reset": chosen.reset, "spike_fn": chosen.psi}
    return _population(kind, values, options, chosen)


def _population(
    kind: Any, values: Mapping[str, Any], options: Mapping[str, Any], chosen: Conventions
) -> nn.Module:
    """One layer: a number for all neurons where it is the same on several axes or one, else one per neuron."""
    values = dict(zip(values, np.broadcast_arrays(*values.values()), strict=True))
    shape = next(iter(values.values())).shape
    uniform = all((value == value.flat[0]).all() for value in values.values())
    anywhere = uniform and (len(shape) != 1 or shape == (1,))
    made = Custom(
        None if anywhere else int(np.prod(shape)),
        kind,
        params={
            key: torch.tensor(value.flat[0] if anywhere else value.ravel())
            for key, value in values.items()
        },
        options=options,
        learn=[key for key in values if key in chosen.learn],
    )
    full = {key: value.flat[0] if anywhere else value.ravel() for key, value in values.items()}
    made = filled(made, full, chosen.dtype)
    return made if anywhere or len(shape) == 1 else modules.Flat(made, len(shape))


def _check_time_constant(name: str, key: str, tau: Any, chosen: Conventions) -> None:
    if not (tau > 0).all():
        raise DataError(f"from_nir: node {name!r} must have {key} > 0, got {1e-3 * tau.min():g} s")
    dt = chosen.step(name)
    if not dt <= 2 * tau.min():
        raise ConfigError(
            "from_nir: dt must be at most twice the shortest time constant, else an Euler step overshoots without end, "
            f"got {dt:g} ms, and {key}={tau.min():g} ms in node {name!r}"
        )


Maker = Callable[[str, Any, Conventions], nn.Module]
KNOWN: dict[type, Maker] = {
    nir.Linear: linear,
    nir.Affine: linear,
    nir.Conv1d: _conv,
    nir.Conv2d: _conv,
    nir.SumPool2d: _pool,
    nir.AvgPool2d: _pool,
    nir.Flatten: _flatten,
    nir.Delay: _delay,
    nir.Scale: lambda name, node, chosen: modules.Scale(chosen.tensor(node.scale)),
    nir.Threshold: lambda name, node, chosen: modules.Threshold(
        chosen.tensor(node.threshold), chosen.psi
    ),
    **dict.fromkeys((nir.LI, nir.LIF, nir.CubaLI, nir.CubaLIF, nir.I, nir.IF), _neuron),
    nir.Input: lambda name, node, chosen: nn.Identity(),  # of a graph inside the graph
    nir.Output: lambda name, node, chosen: nn.Identity(),
}
