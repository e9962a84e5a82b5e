"""Pictures of framewise classification: which classes are confused, and a network's response to a sentence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lightning_modules.panels import caption, column, raster
from lightning_modules.tally import error_rate

__all__ = ["draw_confusion", "draw_sentence"]


def draw_confusion(confusion: Tensor, classes: Sequence[str], what: str = "") -> Any:
    """Draw how the frames of each class were classified.

    Args:
        confusion: Frames by true class (row) and found class (column), (class, class).
        classes: Names of the classes.
        what: Name of the data, for the title.

    Returns:
        A matplotlib figure; rows add up to 1, those of classes without frames are grey.
    """
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    number = len(classes)
    frames = confusion.sum(dim=1)
    share = (confusion / frames[:, None]).numpy()  # NaN without frames
    size = max(4.5, 0.14 * number)
    figure = Figure(figsize=(size + 2.2, size + 0.6), layout="constrained")
    axis, bars = figure.subplots(1, 2, width_ratios=[size, 1.2], sharey=True)
    colours = colormaps["viridis"].with_extremes(bad="#DDDDDD")
    image = axis.imshow(share, vmin=0, vmax=1, cmap=colours, aspect="auto", interpolation="none")
    ticks, font = range(number), 9 if number <= 20 else 6
    axis.set_xticks(ticks, classes, rotation=90, fontsize=font)
    axis.set_yticks(ticks, classes, fontsize=font)
    axis.set_xlabel("found class")
    axis.set_ylabel("true class")
    error = error_rate(confusion).item()
    axis.set_title(f"{what}: {error:.1%} of {int(frames.sum())} frames wrong", loc="left")
    bars.barh(ticks, (frames / frames.sum()).numpy(), color="#0072B2")
    bars.set_xlabel("share of\nthe frames")
    bars.tick_params(labelleft=False)
    bars.spines[["top", "right"]].set_visible(False)
    figure.colorbar(image, ax=bars, label="share of the true class's frames", fraction=0.5)
    return figure


@torch.no_grad()
def draw_sentence(
    network: Any,
    features: Tensor,
    labels: Tensor,
    classes: Sequence[str],
    *,
    num_classes: int = 12,
    max_frames: int = 400,
) -> Any:
    """Draw the features of one sequence, the spikes of each layer, and the probabilities of its commonest classes.

    Args:
        network: A framewise network.
        features: (T, 1, feature).
        labels: Classes of the frames, (T,).
        classes: Names of the classes.
        num_classes: Number of classes drawn, those of most frames.
        max_frames: Number of frames drawn, from the first on.

    Returns:
        A matplotlib figure.
    """
    features, labels = features[:max_frames], labels[:max_frames]
    outputs, spikes = network(features)
    chance = outputs[:, 0].softmax(dim=-1).cpu()
    labels, frames = labels.cpu(), len(features)
    figure, axes = column(2.0 * (2 + len(spikes)) + 1, [1.0, *([1.2] * len(spikes)), 1.6])
    axes[0].imshow(
        features[:, 0].T.cpu().numpy(), aspect="auto", origin="lower", cmap="RdBu_r", vmin=-3, vmax=3,
        extent=(0, frames, 0, features.shape[-1]), interpolation="none",
    )  # fmt: skip
    caption(axes[0], "Features, in standard deviations", "feature")
    for axis, name, layer in zip(axes[1:], network.layer_names, spikes, strict=False):
        title = f"Spikes of layer {name.replace('_', ', ')}"
        raster(axis, layer[:, 0] > 0.5, title, step=frames / len(layer))
    inside = labels[labels >= 0]
    common = torch.bincount(inside, minlength=len(classes)).argsort(descending=True, stable=True)
    shown = [k for k in common.tolist() if bool((inside == k).any())][:num_classes]
    last = axes[-1]
    last.imshow(
        chance[:, shown].T.numpy(), aspect="auto", cmap="Greys", vmin=0, vmax=1,
        extent=(0, frames, len(shown) - 0.5, -0.5), interpolation="none",
    )  # fmt: skip
    for row, k in enumerate(shown):
        for start, end in _runs((labels == k).numpy()):
            last.plot([start, end], [row + 0.42] * 2, color="#D55E00", lw=2, solid_capstyle="butt")
    last.set_yticks(range(len(shown)), [classes[k] for k in shown], fontsize=8)
    caption(last, "Probabilities (grey) and the true class (line below)", "class")
    last.set_xlabel("frame")
    return figure


def _runs(inside: Any) -> list[tuple[int, int]]:
    """First and last + 1 of each run of true values."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], inside.astype(int), [0]])))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]
