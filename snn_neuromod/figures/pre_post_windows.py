r"""What one pair of spikes does to a synapse: the sum of its eligibility trace over the time between the two.

A neuron is made to fire once by a strong input; a synapse of weight zero brings one presynaptic spike some steps before
or after. Shown is $\sum_t e[t]$ of that synapse over $t_\text{post} - t_\text{pre}$: the weight change that a constant
learning signal of -1 would make. Positive times are pre before post. Neurons of the SRC family give graded outputs,
which a presynaptic spike moves also without a postsynaptic one; what it does alone is dashed.

References:
    M. Traub, M. Butz, H. Baayen, S. Otte, arXiv 2006.09988 (2020), where the windows of LIF, STDP-LIF and Izhikevich
    neurons are shown. Bellec et al., Nat. Commun. 11:3625 (2020).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from snn_neuromod.figures import style
from snn_neuromod.figures.registry import Options
from snn_neuromod.layers import ALIF, BSRC, MSRC, SRC, STDPALIF, Izhikevich, Recurrent
from snn_neuromod.learning.eprop import traces

LONGEST = 40
"""Steps before and after."""
POST, STEPS = 100, 220


class Window(NamedTuple):
    """What one curve shows.

    Attributes:
        delay: Steps from the presynaptic to the postsynaptic spike, (pair,).
        change: Sum of the eligibility trace, (pair,).
        alone: The same without the postsynaptic spike, (pair,).
    """

    delay: NDArray[np.int64]
    change: NDArray[np.float64]
    alone: NDArray[np.float64]


class Panel(NamedTuple):
    """Neurons shown together.

    Attributes:
        title: Name of the neuron.
        unit: Unit of the sum.
        drive: Input of one step that makes it fire.
        curves: A layer of one neuron for each label.
    """

    title: str
    unit: str
    drive: float
    curves: dict[str, Any]


def neurons() -> list[Panel]:
    """All neurons with their default constants; as in the papers no gradient passes the reset."""
    paths = {"default": True, "all paths": False}
    return [
        Panel("ALIF", "spikes/a.u.", 1.2, {"refractory 5": ALIF(1, refractory=5, detach_reset=True)}),
        Panel("STDP-ALIF", "spikes/a.u.", 1.2, {
            f"refractory {steps}": STDPALIF(1, refractory=steps, detach_reset=True) for steps in (2, 5, 20)}),
        Panel("Izhikevich", "spikes/a.u.", 120.0, {"dt = 1 ms": Izhikevich(1, detach_reset=True)}),
        Panel("SRC", "1", 6.0, {k: SRC(1, detach_recurrence=cut) for k, cut in paths.items()}),
        Panel("mSRC", "1", 6.0, {k: MSRC(1, detach_recurrence=cut) for k, cut in paths.items()}),
        Panel("BSRC, b = -0.5", "1", 6.0, {
            k: BSRC(1, b=-0.5, detach_recurrence=cut) for k, cut in paths.items()}),
    ]  # fmt: skip


def window(neuron: Any, drive: float) -> Window:
    """The window of a neuron by explicit eligibility traces.

    Args:
        neuron: A layer of one neuron.
        drive: Input of one step that makes it fire.

    Returns:
        The window.
    """
    delay = np.arange(-LONGEST, LONGEST + 1)
    return Window(delay, _sums(neuron, drive, delay), _sums(neuron, 0.0, delay))


def _sums(neuron: Any, drive: float, delay: NDArray[np.int64]) -> NDArray[np.float64]:
    """Sum of the trace of a silent synapse for each pair, (pair,)."""
    x = torch.zeros(STEPS, len(delay), 2, dtype=torch.float64)
    x[POST, :, 0] = 1.0
    x[POST - delay, np.arange(len(delay)), 1] = 1.0
    layer = Recurrent(neuron, 2).double()
    with torch.no_grad():
        layer.w_in.copy_(torch.tensor([[drive, 0.0]]))
    total = sum(step.e[:, 0, 1].detach() for step in traces.steps(layer, x))
    found: NDArray[np.float64] = torch.as_tensor(total).numpy()
    return found


def pre_post_windows(options: Options) -> Any:
    """Of all neurons STDP-ALIF alone has both signs; nothing here is random."""
    figure, axes = style.grid(2, 3)
    colours = (style.BLUE, style.VERMILION, style.GREEN)
    for ax, panel in zip(axes.flat, neurons(), strict=True):
        for colour, (label, neuron) in zip(colours, panel.curves.items(), strict=False):
            found = window(neuron, panel.drive)
            ax.plot(
                found.delay, found.change, color=colour, linewidth=0.9, marker=".", markersize=2,
                label=label,
            )  # fmt: skip
            if found.alone.max() > 0.1 * found.change.max():
                ax.plot(found.delay, found.alone, color=colour, linewidth=0.6, linestyle="--")
        ax.axhline(0, color=style.PALE, linewidth=0.6, zorder=0)
        ax.axvline(0, color=style.PALE, linewidth=0.6, zorder=0)
        ax.set_title(panel.title, fontsize=8)
        ax.legend(fontsize=6, frameon=False)
        ax.margins(y=0.12)
        style.label(ax, rf"$\sum_t e$ ({panel.unit})")
    for ax in axes[-1]:
        ax.set_xlabel("post - pre (steps)", fontsize=8)
    figure.suptitle("STDP-ALIF alone weakens a synapse whose spike comes too late", fontsize=10)
    return figure
