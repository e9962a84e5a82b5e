"""Figures of the experiment on modulation, drawn from its log alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from docs.studies.log import Rows
from docs.studies.modulation.grid import CODINGS, FIXED, SIZES, Logged, modulation_of
from snn_neuromod.figures import style

__all__ = ["fixed_modulation", "learned_modulation", "learned_networks", "write_figures"]

_METRICS = {
    "val_accuracy": "accuracy, 5,000 images\nheld out (%)",
    "val_loss": "cross-entropy of\nthe same (nats)",
}
_DASHES = ("-", "--", ":", "-.")
_LAYERS = (style.BLACK, style.ORANGE)
_BIN = 0.1


def write_figures(logged: Logged, folder: Path) -> list[Path]:
    """Draw what the log has runs for, each figure as PNG and SVG.

    Args:
        logged: The log.
        folder: Where to.

    Returns:
        The files.
    """
    fixed = {run: rows for run, rows in logged.items() if run.modulation in FIXED}
    learned = {run: rows for run, rows in logged.items() if run.modulation == "learned"}
    paths = []
    if fixed:
        paths += style.save(fixed_modulation(fixed), folder, "fixed_modulation")
    if learned:
        paths += style.save(learned_modulation(learned), folder, "learned_modulation")
        paths += style.save(learned_networks(learned), folder, "learned_networks")
    return paths


def fixed_modulation(logged: Logged) -> Any:
    """Accuracy and loss for each fixed modulation and z_hyp, in both codings.

    Args:
        logged: Runs with fixed modulation.

    Returns:
        A matplotlib figure: means over the seeds against the epoch, and the test accuracy of every network.
    """
    figure, axes = _metric_panels(logged, rows=3, heights=[1.0, 1.0, 1.0])
    gates = sorted({run.z_hyp for run in logged})
    dashes = {z_hyp: _DASHES[k % len(_DASHES)] for k, z_hyp in enumerate(gates)}
    shown = [m for m in FIXED if any(run.modulation == m for run in logged)]
    for setting in dict.fromkeys(run._replace(seed=0) for run in logged):
        runs = [rows for run, rows in logged.items() if run._replace(seed=0) == setting]
        column, colour = CODINGS.index(setting.coding), style.colour_of(float(setting.modulation))
        for row, metric in enumerate(_METRICS):
            curves = [_series(rows, metric) for rows in runs]
            mean = _mean(curves)
            _band(axes[row, column], curves, colour)
            axes[row, column].plot(
                range(1, len(mean) + 1), mean, lw=1.4, ls=dashes[setting.z_hyp], color=colour
            )
        place = gates.index(setting.z_hyp) + 0.2 * (shown.index(setting.modulation) - 1)
        accuracies = [100 * rows[-1]["test_accuracy"] for rows in runs]
        axes[2, column].plot([place] * len(runs), accuracies, "o", ms=4, color=colour, alpha=0.7)
    for ax in axes[1]:
        ax.set_yscale("log")
        ax.yaxis.set_major_formatter("{x:g}")
        ax.yaxis.set_minor_formatter(lambda x, _: f"{x:g}" if f"{x:.0e}"[0] in "235" else "")
        ax.tick_params(labelsize=8, which="both")
    for ax in axes[2]:
        ax.set_xticks(range(len(gates)), [f"{z:g}" for z in gates])
        ax.set_xlabel(r"gate $z_\mathrm{hyp}$ of the slow variable at rest", fontsize=8)
        ax.grid(axis="y", lw=0.4, color=style.PALE)
    style.label(axes[2, 0], "test accuracy,\neach network (%)")
    colours = {
        rf"$h_{{s0}}$ = {m}, {style.MODULATIONS[float(m)]}": {"color": style.colour_of(float(m))}
        for m in shown
    }
    gate_lines = {
        rf"$z_\mathrm{{hyp}}$ = {z:g}": {"color": style.GREY, "ls": dashes[z]} for z in gates
    }
    _legend(figure, axes[0, 0], {**colours, **gate_lines}, columns=2)
    return figure


def learned_modulation(logged: Logged) -> Any:
    """Accuracy, loss and the distribution of the modulation against the epoch, in both codings.

    Args:
        logged: Runs with learned modulation.

    Returns:
        A matplotlib figure.
    """
    figure, axes = _metric_panels(logged, rows=4, heights=[1.0, 1.0, 1.5, 1.2])
    low, high = _extent(logged)
    edges = [low + _BIN * k for k in range(round((high - low) / _BIN) + 1)]
    images = []
    for column, coding in enumerate(CODINGS):
        runs = [rows for run, rows in logged.items() if run.coding == coding]
        if not runs:
            continue
        for row, metric in enumerate(_METRICS):
            curves = [_series(rows, metric) for rows in runs]
            _curves(axes[row, column], curves)
        pooled = [
            [h_s0 for rows in epoch for layer in modulation_of(rows) for h_s0 in layer]
            for epoch in zip(*runs, strict=False)
        ]
        images.append(_density(axes[2, column], pooled, edges))
        _before_and_after(axes[3, column], pooled, edges)
    highest = max(image.get_array().max() for image in images)
    for image in images:
        image.set_clim(0, highest)
    bar = figure.colorbar(images[0], ax=list(axes[2]), pad=0.02)
    bar.set_label("share of neurons (%)", fontsize=8)
    bar.ax.tick_params(labelsize=8)
    style.label(axes[2, 0], r"modulation $h_{s0}$")
    style.label(axes[3, 0], "neurons of\nall networks")
    for ax in axes[2]:
        ax.set_xlabel("epoch", fontsize=8)
    for ax in axes[3]:
        ax.set_xlabel(r"modulation $h_{s0}$", fontsize=8)
    return figure


def learned_networks(logged: Logged) -> Any:
    """Modulation of every neuron against the epoch, one panel for each network.

    Args:
        logged: Runs with learned modulation.

    Returns:
        A matplotlib figure.
    """
    seeds = sorted({run.seed for run in logged})
    codings = [coding for coding in CODINGS if any(run.coding == coding for run in logged)]
    figure, axes = style.grid(len(codings), len(seeds), size=(1.9, 2.3), sharex=True, sharey=True)
    low, high = _extent(logged)
    for run, rows in logged.items():
        ax = axes[codings.index(run.coding), seeds.index(run.seed)]
        for layer, colour in enumerate(_LAYERS):
            for values in zip(*(modulation_of(row)[layer] for row in rows), strict=True):
                ax.plot(range(len(rows)), values, color=colour, lw=0.6, alpha=0.8)
        _mark_types(ax, named=run.seed == seeds[-1])
        ax.set_title(f"{run.coding} code, seed {run.seed}", fontsize=8)
    for ax in axes[:, 0]:
        ax.set_ylim(low, high)
        style.label(ax, r"modulation $h_{s0}$")
    for ax in axes[-1]:
        ax.set_xlabel("epoch", fontsize=8)
    lines = {
        f"layer {k}, {size} neurons": {"color": colour}
        for k, (size, colour) in enumerate(zip(SIZES, _LAYERS, strict=True), 1)
    }
    _legend(figure, axes[0, 0], lines, columns=2)
    return figure


def _metric_panels(logged: Logged, *, rows: int, heights: list[float]) -> tuple[Any, Any]:
    """A column for each coding, with accuracy and loss in the first two rows."""
    figure, axes = style.grid(rows, 2, size=(3.5, 2.2), sharey="row", height_ratios=heights)
    epochs = max(run.epochs for run in logged)
    for column, coding in enumerate(CODINGS):
        axes[0, column].set_title(f"{coding} code", fontsize=9)
        for row in range(len(_METRICS)):
            axes[row, column].set_xlim(0, epochs + 0.3)
            axes[row, column].set_xlabel("epoch", fontsize=8)
    for row, name in enumerate(_METRICS.values()):
        style.label(axes[row, 0], name)
    return figure, axes


def _series(rows: Rows, metric: str) -> list[float]:
    scale = 100 if metric.endswith("accuracy") else 1
    return [scale * row[metric] for row in rows[1:]]


def _mean(curves: Sequence[Sequence[float]]) -> list[float]:
    return [sum(values) / len(values) for values in zip(*curves, strict=True)]


def _band(ax: Any, curves: Sequence[Sequence[float]], colour: str) -> None:
    """Range of the seeds."""
    low, high = zip(
        *((min(seeds), max(seeds)) for seeds in zip(*curves, strict=False)), strict=True
    )
    ax.fill_between(range(1, len(low) + 1), low, high, color=colour, alpha=0.2, linewidth=0)


def _curves(ax: Any, curves: Sequence[Sequence[float]]) -> None:
    """Each network, and their mean."""
    for k, curve in enumerate(curves):
        ax.plot(
            range(1, len(curve) + 1),
            curve,
            color=style.GREY,
            lw=0.7,
            label=None if k else "one network",
        )
    mean = _mean(curves)
    _band(ax, curves, style.GREY)
    ax.plot(
        range(1, len(mean) + 1), mean, color=style.BLACK, lw=1.6, label=f"mean of {len(curves)}"
    )
    ax.legend(fontsize=7, frameon=False)


def _density(ax: Any, pooled: Sequence[Sequence[float]], edges: Sequence[float]) -> Any:
    """Share of neurons by modulation and epoch; epoch 0 is before training."""
    shares = [
        [100 * count / len(values) for count in _histogram(values, edges)] for values in pooled
    ]
    image = ax.imshow(
        list(zip(*shares, strict=True)), origin="lower", aspect="auto", cmap="Greys",
        extent=(-0.5, len(pooled) - 0.5, edges[0], edges[-1]),
    )  # fmt: skip
    _mark_types(ax, named=True)
    return image


def _before_and_after(ax: Any, pooled: Sequence[Sequence[float]], edges: Sequence[float]) -> None:
    for values, name, options in (
        (pooled[0], "before training", {"color": style.PALE, "fill": True}),
        (pooled[-1], "after training", {"color": style.BLACK, "lw": 1.4}),
    ):
        ax.stairs(_histogram(values, edges), edges, label=name, **options)
    for h_s0 in style.MODULATIONS:
        ax.axvline(h_s0, color=style.colour_of(h_s0), lw=1.0, ls="--")
    ax.legend(fontsize=7, loc="upper right", framealpha=1, edgecolor="none")


def _mark_types(ax: Any, *, named: bool) -> None:
    """Lines at the modulations of the three types."""
    for h_s0, kind in style.MODULATIONS.items():
        ax.axhline(h_s0, color=style.colour_of(h_s0), lw=1.0, ls="--")
        if named:
            ax.text(
                1.01, h_s0, kind, color=style.colour_of(h_s0), fontsize=7, va="center",
                transform=ax.get_yaxis_transform(),
            )  # fmt: skip


def _histogram(values: Sequence[float], edges: Sequence[float]) -> list[int]:
    counts = [0] * (len(edges) - 1)
    for value in values:
        counts[min(max(math.floor((value - edges[0]) / _BIN), 0), len(counts) - 1)] += 1
    return counts


def _extent(logged: Logged) -> tuple[float, float]:
    """Range of all modulations, in whole bins."""
    values = [
        h_s0
        for rows in logged.values()
        for row in rows
        for layer in modulation_of(row)
        for h_s0 in layer
    ]
    return _BIN * math.floor(min(values) / _BIN), _BIN * math.ceil(max(values) / _BIN)


def _legend(figure: Any, ax: Any, lines: dict[str, dict[str, Any]], *, columns: int) -> None:
    """A legend below the panels, for lines that are not drawn."""
    handles = [ax.plot([], [], label=name, **options)[0] for name, options in lines.items()]
    figure.legend(
        handles=handles, loc="outside lower center", ncols=columns, fontsize=8, frameon=False
    )
