"""The twenty behaviours of Izhikevich's neuron, each with the input that shows it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from snn_neuromod.figures import style
from snn_neuromod.figures.registry import Options
from snn_neuromod.layers import Izhikevich
from snn_neuromod.layers.izhikevich_presets import PRESETS

PEAK = 30.0


def compute(name: str) -> tuple[Any, Any, Any]:
    """One behaviour.

    Args:
        name: Its name.

    Returns:
        Time (ms), membrane (mV) with its spikes cut at the peak, and input, each (T,).
    """
    preset = PRESETS[name]
    layer, current = Izhikevich.preset(name, 1), preset.current()
    state, trace = None, []
    for step in current:
        _, state = layer.step(step.reshape(1, 1), state)
        trace.append(min(float(state.v), PEAK))
    return np.arange(len(current)) * preset.values["dt"], np.array(trace), current.numpy()


def izhikevich_presets(options: Options) -> Any:
    """All behaviours in the order of their source."""
    figure, axes = style.grid(5, 4, size=(2.4, 1.5))
    with torch.no_grad():
        for ax, name in zip(axes.flat, PRESETS, strict=True):
            time, membrane, current = compute(name)
            _draw(ax, time, membrane, current)
            ax.set_title(name.replace("_", " "), fontsize=7)
            ax.set_xlabel(f"time (ms), {PRESETS[name].values['dt']:g} a step", fontsize=6)
    return figure


def _draw(ax: Any, time: Any, membrane: Any, current: Any) -> None:
    ax.plot(time, membrane, color=style.BLUE, linewidth=0.7)
    low, high = float(current.min()), float(current.max())
    span = (high - low) or 1.0
    ax.plot(time, -115 + 15 * (current - low) / span, color=style.GREY, linewidth=0.8)
    ax.set_ylim(-120, 40)
    ax.set_ylabel("membrane (mV)", fontsize=6)
    ax.tick_params(labelsize=6)
