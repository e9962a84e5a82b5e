"""What the pictures of all tasks are made of: panels above one another, with spikes in them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from lightning_modules.precision import at_least_float32

__all__ = ["array", "caption", "column", "raster"]


def column(height: float, panels: Sequence[float]) -> tuple[Any, Any]:
    """A matplotlib figure of some height in inches and its panels, of these heights to one another, over one axis."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, height), layout="constrained")
    return figure, figure.subplots(
        len(panels), 1, sharex=True, height_ratios=list(panels), squeeze=False
    )[:, 0]


def caption(axis: Any, title: str, what: str, **options: Any) -> None:
    """Say above a panel what it shows, and beside it what its vertical axis is."""
    axis.set_title(title, loc="left", **options)
    axis.set_ylabel(what)


def raster(axis: Any, spikes: Tensor, title: str, what: str = "neuron", step: float = 1) -> None:
    """Draw spikes, bool (T, neuron), with steps of some length."""
    steps, units = spikes.nonzero().cpu().T.numpy()
    marker, size = ("|", 40) if spikes.shape[1] <= 100 else (".", 2)
    axis.scatter(steps * step, units, s=size, marker=marker, color="black", linewidths=1)
    axis.set_ylim(-1, spikes.shape[1])
    caption(axis, title, what)


def array(tensor: Tensor) -> Any:
    """Numbers of any precision and device as matplotlib takes them."""
    return np.asarray(at_least_float32(tensor.detach()).cpu())
