"""Voltage trace: every state variable of a neuron over time, under a current that may change."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from snn_neuromod import _palette as palette
from snn_neuromod.analysis.simulation import prepared
from snn_neuromod.analysis.source import Source, Value
from snn_neuromod.errors import ConfigError

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class VoltageTrace(NamedTuple):
    """A neuron over time; arrays are (T,), or (T, N) where several neurons were simulated.

    Attributes:
        time: Steps, 0 to T - 1, (T,).
        current: Input of each step.
        membrane: The membrane after each step, in the neuron's units.
        states: Every state variable by name, after each step.
        output: What the neuron emits at each step.
        spikes: True at the steps of a spike.
        name: Name of the membrane among the state variables.
    """

    time: NDArray[np.int64]
    current: NDArray[np.float64]
    membrane: NDArray[np.float64]
    states: dict[str, NDArray[np.float64]]
    output: NDArray[np.float64]
    spikes: NDArray[np.bool_]
    name: str


def voltage_trace(
    source: Source,
    current: ArrayLike,
    *,
    num_steps: int | None = None,
    start: Mapping[str, ArrayLike] | None = None,
    schedule: Mapping[str, ArrayLike] | None = None,
    **parameters: Value,
) -> VoltageTrace:
    """Simulate one neuron or a few.

    Args:
        source: The neuron, see `neuron`: a dynamics module, a layer, a neuron of your own.
        current: Input: a number (with `num_steps`), one for each step (T,), or for each step and neuron (T, N). A row
            (1, N) with `num_steps` is held.
        num_steps: Number of steps T, >= 1; None: as many as `current` has.
        start: State variables that start elsewhere than at rest, numbers or (N,).
        schedule: Parameters that change over time, each (T,) or (T, N): a modulation at run time, say.
        **parameters: Parameters of the neuron, numbers or (N,).

    Returns:
        The trace.

    Raises:
        ValueError: If lengths do not fit or a name is unknown.

    Examples:
        >>> from snn_neuromod.dynamics import msrc
        >>> trace = voltage_trace(msrc, 3.6, num_steps=60, h_s0=0.5)
        >>> trace.time[trace.spikes]
        array([24, 37, 50])
    """
    found = prepared(source, parameters)
    given = np.asarray(current, dtype=np.float64)
    series = {name: np.asarray(x, dtype=np.float64) for name, x in (schedule or {}).items()}
    steps = _length(given, num_steps, series)
    unknown = [name for name in series if name not in found.params._fields]
    if unknown:
        raise ConfigError(
            f"voltage_trace: schedule must name parameters among {', '.join(found.params._fields)}, got {unknown[0]}"
        )
    starts = {name: np.asarray(x, dtype=np.float64) for name, x in (start or {}).items()}
    several = [
        *(x.shape[-1:] for x in (given, *series.values()) if x.ndim == 2),
        *(np.shape(x) for x in (*found.params, *starts.values())),
    ]
    shape = np.broadcast_shapes(*several)
    if len(shape) > 1:
        raise ConfigError(f"voltage_trace: parameters must be numbers or (N,), got shape {shape}")
    inputs = torch.from_numpy(_over_time(given, steps, shape))
    changing = {name: torch.from_numpy(_over_time(x, steps, shape)) for name, x in series.items()}
    state = found.initial_state(inputs[:1])
    _check_start(starts, state._fields)
    state = state._replace(
        **{
            name: torch.from_numpy(np.broadcast_to(x, inputs[:1].shape).copy())
            for name, x in starts.items()
        }
    )
    before = getattr(state, found.membrane)
    params, states, outputs = found.params, [], []
    with torch.no_grad():
        for t, i in enumerate(inputs.unbind(0)):
            if changing:
                params = params._replace(**{name: x[t : t + 1] for name, x in changing.items()})
            output, state = found.step(params, state, i[None])
            states.append(state)
            outputs.append(output)

    def array(tensors: list[Any]) -> NDArray[Any]:
        stacked: NDArray[Any] = torch.cat([x.expand(inputs[:1].shape) for x in tensors]).numpy()
        return stacked if shape else stacked[:, 0]

    variables = {name: array([getattr(s, name) for s in states]) for name in state._fields}
    membrane, emitted = variables[found.membrane], array(outputs)
    if found.threshold is None:
        spikes = emitted > 0
    else:
        above = np.concatenate([array([before]), membrane]) > found.threshold
        spikes = above[1:] & ~above[:-1]
    driven = inputs.numpy() if shape else inputs.numpy()[:, 0]
    time = np.arange(steps)
    return VoltageTrace(time, driven, membrane, variables, emitted, spikes, found.membrane)


def plot_voltage_trace(
    trace: VoltageTrace,
    ax: Axes | None = None,
    *,
    variables: tuple[str, ...] = (),
    colour: str = palette.BLUE,
) -> Axes:
    """Draw the membrane of a trace, and other state variables dashed.

    Args:
        trace: What `voltage_trace` found, of one neuron or of several.
        ax: A matplotlib Axes; None: that of a new figure.
        variables: Further state variables to draw, at most four.
        colour: Of the membrane of one neuron.

    Returns:
        The Axes.
    """
    ax = palette.axes(ax)
    shades = (palette.ORANGE, palette.GREEN, palette.PURPLE, palette.GREY)
    one = trace.membrane.ndim == 1
    ax.plot(
        trace.time, trace.membrane, linewidth=0.9, label=trace.name, color=colour if one else None
    )
    for name, shade in zip(variables, shades, strict=False):
        ax.plot(trace.time, trace.states[name], "--", linewidth=0.8, color=shade, label=name)
    ax.set_xlabel("time (steps)", fontsize=8)
    ax.set_ylabel(f"membrane {palette.symbol(trace.name)}", fontsize=8)
    return ax


def _length(current: NDArray[Any], num_steps: int | None, series: Mapping[str, Any]) -> int:
    if current.ndim > 2 or current.size == 0 or not np.isfinite(current).all():
        raise ConfigError(
            f"voltage_trace: current must be finite numbers of shape (), (T,) or (T, N), got shape {current.shape}"
        )
    own = [
        len(x) for x in (current, *series.values()) if x.ndim and not (len(x) == 1 and x.ndim == 2)
    ]
    lengths = {*own, *([] if num_steps is None else [num_steps])}
    if len(lengths) != 1 or min(lengths) < 1:
        raise ConfigError(
            "voltage_trace: current, schedule and num_steps must give one number of steps, >= 1, got "
            f"{sorted(lengths) or 'none; say num_steps'}"
        )
    return int(lengths.pop())


def _over_time(values: NDArray[np.float64], steps: int, shape: tuple[int, ...]) -> NDArray[Any]:
    """Values as (T, N)."""
    column = values[:, None] if values.ndim == 1 else values
    spread: NDArray[Any] = np.broadcast_to(column, (steps, *(shape or (1,)))).copy()
    return spread


def _check_start(starts: Mapping[str, Any], fields: tuple[str, ...]) -> None:
    unknown = [name for name in starts if name not in fields]
    if unknown:
        raise ConfigError(
            f"voltage_trace: start must name state variables among {', '.join(fields)}, got {unknown[0]}"
        )
