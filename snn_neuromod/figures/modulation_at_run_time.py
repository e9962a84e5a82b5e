"""One mSRC under a constant current while its modulation changes: silence, firing, and a memory of what was before."""

from __future__ import annotations

from typing import Any

import numpy as np

from snn_neuromod.analysis import VoltageTrace, plot_voltage_trace, voltage_trace
from snn_neuromod.dynamics import msrc
from snn_neuromod.figures import style
from snn_neuromod.figures.registry import Options

CURRENT = 2.5
SEQUENCE = (1.5, 0.5, 0.9, 0.5, 1.5)
"""Modulations, one after the other."""
EACH = 150
"""Steps for which each is held."""


def compute() -> VoltageTrace:
    """The run."""
    h_s0 = np.repeat(SEQUENCE, EACH)
    return voltage_trace(msrc, CURRENT, schedule={"h_s0": h_s0})


def draw(trace: VoltageTrace) -> Any:
    """Draw what `compute` found.

    Returns:
        A matplotlib figure.
    """
    figure, (membrane, modulation) = style.panels(2, heights=[1.6, 0.8])
    plot_voltage_trace(trace, membrane, colour=style.BLACK)
    membrane.set_xlabel("")
    modulation.step(trace.time, np.repeat(SEQUENCE, EACH), color=style.BLACK, where="post")
    for k, h_s0 in enumerate(SEQUENCE):
        begin, end = k * EACH, (k + 1) * EACH
        for ax in (membrane, modulation):
            ax.axvspan(begin, end, color=style.colour_of(h_s0), alpha=0.15, linewidth=0)
        fires = trace.spikes[begin + EACH // 2 : end].any()
        name = f"{style.MODULATIONS[h_s0]}\n{'fires' if fires else 'silent'}"
        membrane.text(
            (begin + end) / 2, 1.03, name, transform=membrane.get_xaxis_transform(),
            ha="center", fontsize=8,
        )  # fmt: skip
    style.label(modulation, "modulation $h_{s0}$")
    modulation.set_ylim(0, 1.7)
    modulation.set_xlim(0, len(trace.time))
    modulation.set_xlabel("time (steps)", fontsize=8)
    figure.suptitle(
        f"Same current (I = {CURRENT:g}), other modulation: type 2* goes on with whatever was before",
        fontsize=10,
    )
    return figure


def modulation_at_run_time(options: Options) -> Any:
    """A modulation that changes while the neuron runs, at I = 2.5."""
    return draw(compute())
