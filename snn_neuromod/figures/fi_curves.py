r"""FI curves of the mSRC up and down, at the modulations of the three types of excitability.

Figure 5 of the thesis summary (Bernard 2023). Rates are those of intervals; the plateaus that are left are the map's
own: it locks to periods of a whole number of steps.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from snn_neuromod import analysis
from snn_neuromod.analysis.onsets import Hysteresis
from snn_neuromod.dynamics import msrc
from snn_neuromod.figures import style
from snn_neuromod.figures.registry import Options

SPACING = 0.04
STEPS, DISCARD = 700, 300


def compute() -> Hysteresis:
    """Sweeps up and down at all modulations of `style.MODULATIONS`, in their order."""
    return analysis.hysteresis(
        msrc,
        np.arange(0.0, 6.5, SPACING),
        h_s0=list(style.MODULATIONS),
        num_steps=STEPS,
        discard=DISCARD,
    )


def draw(found: Hysteresis) -> Any:
    """Draw one panel for each modulation.

    Args:
        found: Result of `compute`.

    Returns:
        A matplotlib figure.
    """
    figure, axes = style.grid(1, len(style.MODULATIONS), size=(2.7, 2.7), sharex=True, sharey=True)
    words = ("jumps on", "begins slowly", "jumps on, outlasts its onset")
    for k, (ax, (h_s0, kind)) in enumerate(zip(axes[0], style.MODULATIONS.items(), strict=True)):
        curve = analysis.FICurve(found.curve.currents, found.curve.up[k], found.curve.down[k])
        up, down = float(found.onset_up[k]), float(found.onset_down[k])
        if up > down:
            ax.axvspan(down, up, color="0.9", label=f"hysteresis, {up - down:.2f} wide")
        analysis.plot_fi_curve(curve, ax, colour=style.TYPES[kind])
        ax.lines[1].set(color=style.BLACK, linewidth=1.0)
        ax.annotate(
            f"onset {up:.2f}\nat {float(found.rate[k]):.3f}",
            (up, float(found.rate[k])),
            (up + 0.3, max(float(found.rate[k]) - 0.04, 0.004)),
            fontsize=7,
            arrowprops={"arrowstyle": "-", "color": style.GREY, "linewidth": 0.7},
        )
        ax.set_title(f"{kind} ($h_{{s0}}$ = {h_s0}):\n{words[k]}", fontsize=9)
        ax.set_xlabel("current $I$ (dimensionless)", fontsize=8)
        ax.set_ylabel("")
        ax.legend(fontsize=7, frameon=False, loc="upper left")
    style.label(axes[0, 0], "firing rate (spikes per step)")
    return figure


def fi_curves(options: Options) -> Any:
    """FI curves up and down at the three modulations."""
    return draw(compute())
