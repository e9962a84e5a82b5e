"""Where firing begins on the way up, where it ends on the way down, and the range between."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from snn_neuromod import _palette as palette
from snn_neuromod.analysis.firing_rate import FICurve, fi_curve
from snn_neuromod.analysis.simulation import Array
from snn_neuromod.analysis.source import Source, Value

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class Hysteresis(NamedTuple):
    """Onsets of firing; the axes are those of array parameters, () without.

    Attributes:
        onset_up: Lowest current at which the sweep up fires, in the neuron's unit; NaN where it never does. Equal to
            the lowest current of the sweep, it is an upper bound.
        onset_down: Lowest current at which the sweep down still fires without a pause since `onset_up`.
        range: onset_up - onset_down; 0 without hysteresis. Its grain is the spacing of the currents.
        rate: Rate at onset_up, spikes per step: the jump of the FI curve.
        curve: The FI curves they were read from.
    """

    onset_up: Array
    onset_down: Array
    range: Array
    rate: Array
    curve: FICurve


def hysteresis(
    source: Source,
    currents: ArrayLike,
    *,
    num_steps: int = 1000,
    discard: int = 500,
    synapse: float | None = None,
    progress: bool = False,
    **parameters: Value,
) -> Hysteresis:
    """Onsets of firing on adiabatic sweeps up and down.

    Args:
        source: The neuron, see `neuron`.
        currents: Currents, increasing, (I,), in the neuron's unit; their spacing is the grain of the onsets.
        num_steps: Steps over which spikes are counted at each current, >= 1.
        discard: Steps before them at each current, >= 0.
        synapse: Decay of an exponential synapse in front of the neuron, in [0, 1); None for none beyond its own.
        progress: Show how far it is, on standard error.
        **parameters: Parameters to replace: numbers, or arrays that broadcast against one another.

    Returns:
        The onsets and their difference.

    Raises:
        ValueError: As `fi_curve`.

    Examples:
        >>> import numpy as np
        >>> from snn_neuromod.dynamics import msrc
        >>> found = hysteresis(msrc, np.arange(2.0, 4.0, 0.2), h_s0=0.5, num_steps=200)
        >>> [round(float(onset), 1) for onset in (found.onset_up, found.onset_down, found.range)]
        [3.4, 2.4, 1.0]
    """
    curve = fi_curve(
        source,
        currents,
        num_steps=num_steps,
        discard=discard,
        synapse=synapse,
        progress=progress,
        **parameters,
    )
    return of_curve(curve)


def of_curve(curve: FICurve) -> Hysteresis:
    """The onsets of FI curves that are there already."""
    shape, n = curve.up.shape[:-1], len(curve.currents)
    up, down = curve.up.reshape(-1, n) > 0, curve.down.reshape(-1, n) > 0
    rows = np.arange(len(up))
    first = up.argmax(1)
    silent_below = np.where(~down & (np.arange(n) <= first[:, None]), np.arange(n), -1).max(1)
    last = np.minimum(silent_below + 1, first)
    fires = up.any(1)

    def onset(index: Any) -> Array:
        return np.where(fires, curve.currents[index], np.nan).reshape(shape)

    onset_up, onset_down = onset(first), onset(last)
    rate = np.where(fires, curve.up.reshape(-1, n)[rows, first], np.nan).reshape(shape)
    return Hysteresis(onset_up, onset_down, onset_up - onset_down, rate, curve)


def plot_hysteresis(
    found: Hysteresis,
    values: ArrayLike,
    ax: Axes | None = None,
    *,
    colours: tuple[str, str] = ("#0072B2", "#D55E00"),
) -> Axes:
    """Draw both onsets over a parameter and shade the range between them.

    Args:
        found: Result of `hysteresis` with one array parameter.
        values: Values of that parameter, for the horizontal axis.
        ax: A matplotlib Axes; None: that of a new figure.
        colours: Colours of the onsets up and down.

    Returns:
        The Axes.
    """
    ax = palette.axes(ax)
    at = np.asarray(values)
    ax.fill_between(at, found.onset_down, found.onset_up, color="0.85", label="hysteresis")
    ax.plot(at, found.onset_up, color=colours[0], label="onset up")
    ax.plot(at, found.onset_down, "--", color=colours[1], label="onset down")
    ax.set_ylabel("current I (neuron's unit)")
    return ax
