"""Firing rate over current, swept up and down."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike

from snn_neuromod import _palette as palette
from snn_neuromod.analysis.simulation import (
    Array,
    Progress,
    broadcast,
    check_steps,
    grid,
    interrupted,
    prepared,
    run,
)
from snn_neuromod.analysis.source import Source, Value
from snn_neuromod.errors import ConfigError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CURRENT = "current I (neuron's unit)"
RATE = "firing rate (spikes per step)"


class FICurve(NamedTuple):
    """Firing rates of an adiabatic sweep.

    Attributes:
        currents: Currents in the neuron's unit, increasing, (I,).
        up: Rate at each current, swept from the lowest to the highest, spikes per step, (..., I); the axes in front are
            those of array parameters.
        down: The same, swept from the highest to the lowest.
    """

    currents: Array
    up: Array
    down: Array


def fi_curve(
    source: Source,
    currents: ArrayLike,
    *,
    num_steps: int = 1000,
    discard: int = 500,
    synapse: float | None = None,
    progress: bool = False,
    **parameters: Value,
) -> FICurve:
    """FI curve by adiabatic sweeps: each current starts from the state that the one before it left.

    The sweep up starts at rest, the sweep down in the state that the highest current, held from rest for
    `discard + num_steps` steps, has led to. The rate is one over the mean interval between spikes in `num_steps` steps;
    with fewer than two, or where firing begins or ends there, it is their number over `num_steps`, and a neuron slower
    than that may show as silent. Both sweeps and all values of array parameters run as one batch.

    Args:
        source: The neuron, see `neuron`.
        currents: Currents, increasing, (I,), in the neuron's unit.
        num_steps: Steps over which spikes are counted at each current, >= 1.
        discard: Steps before them at each current, >= 0.
        synapse: Decay of an exponential synapse in front of the neuron, in [0, 1); None for none beyond its own.
        progress: Show how far it is, on standard error.
        **parameters: Parameters to replace: numbers, or arrays that broadcast against one another, for one curve each.

    Returns:
        The curves; NaN where the state left the finite numbers. Ctrl-C ends the sweep with a warning, and with NaN at
        the currents that were not reached.

    Raises:
        ValueError: If the currents do not increase, a number of steps is not positive, or a parameter is unknown.

    Examples:
        >>> from snn_neuromod.dynamics import msrc
        >>> curve = fi_curve(msrc, [2.0, 2.5, 3.6], h_s0=0.5, num_steps=500)
        >>> [bool(rate > 0) for rate in curve.up], [bool(rate > 0) for rate in curve.down]
        ([False, False, True], [False, True, True])
    """
    check_steps("fi_curve", num_steps, discard)
    values = grid("fi_curve", "currents", currents, increasing=True)
    found = prepared(source, parameters, synapse)
    shape = (2, *broadcast(found))  # up and down
    rates = np.full((len(values), *shape), np.nan)
    steps, done = discard + num_steps, 0

    def at(up: float, down: float) -> torch.Tensor:
        pair = torch.tensor([up, down], dtype=torch.float64)
        return pair.reshape(2, *[1] * (len(shape) - 1)).expand(shape).contiguous()

    label = f"FI curve, {len(values)} currents"
    with torch.inference_mode(), Progress((len(values) + 1) * steps, label, progress) as tick:
        top = at(values[-1], values[-1])
        rest = found.initial_state(top)
        start = run(found, rest, top, steps, tick=tick).state
        state = type(rest)(
            *(
                torch.stack([r[0], s[1]])
                for r, s in zip(_full(rest, shape), _full(start, shape), strict=True)
            )
        )
        try:
            for up, down in zip(values, values[::-1], strict=True):
                counted = run(found, state, at(up, down), num_steps, discard=discard, tick=tick)
                rates[done], state = counted.rate.numpy(), counted.state
                done += 1
        except KeyboardInterrupt:
            interrupted("fi_curve", done, len(values))
    up, down = np.moveaxis(rates, (0, 1), (-1, 0))
    return FICurve(values, up, down[..., ::-1])


def _full(state: Any, shape: tuple[int, ...]) -> list[torch.Tensor]:
    return [field.broadcast_to(shape) for field in state]


def plot_fi_curve(
    curve: FICurve, ax: Axes | None = None, *, colour: str | None = None, label: str = ""
) -> Axes:
    """Draw one curve: up solid, down dashed.

    Args:
        curve: Result of `fi_curve` with scalar parameters.
        ax: A matplotlib Axes; None: that of a new figure.
        colour: Colour of both lines.
        label: Name in the legend.

    Returns:
        The Axes.

    Raises:
        ValueError: If the result holds several curves.
    """
    ax = palette.axes(ax)
    if curve.up.ndim != 1:
        raise ConfigError(
            f"plot_fi_curve: curve must be a single one, got shape {curve.up.shape}; draw "
            "FICurve(curve.currents, curve.up[k], curve.down[k])"
        )
    (line,) = ax.plot(curve.currents, curve.up, color=colour, label=f"{label} up".strip())
    ax.plot(curve.currents, curve.down, "--", color=line.get_color(), label=f"{label} down".strip())
    ax.set_xlabel(CURRENT)
    ax.set_ylabel(RATE)
    return ax
