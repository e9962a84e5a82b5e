"""Plots of test errors and their differences, with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from docs.studies.comparison.differences import ablation_pairs, counts, interval_of
from docs.studies.comparison.grid import NEURONS, RULES, Logged, Run
from docs.studies.comparison.intervals import Interval, error
from docs.studies.comparison.plots import TITLES, TITLES_OF_CORPORA, save

__all__ = ["write_interval_plots"]

_SMALL = ("russian_small", "synthetic")
# Okabe and Ito's palette.
_RULES = {
    "symmetric": ("e-prop, symmetric", "#0072B2", "o"),
    "adaptive": ("e-prop, adaptive", "#009E73", "s"),
    "random": ("e-prop, random", "#E69F00", "^"),
    "bptt": ("BPTT", "#000000", "D"),
}
_TIMES = {"refractory 20 ms": ("#0072B2", "o"), "refractory 2 ms": ("#D55E00", "s")}
_EFFECTS = {
    "reset alone": "reset alone",
    "-gamma alone": r"$-\gamma$ alone",
    "-gamma on top of the reset": r"$-\gamma$ on top of the reset",
    "both": "both",
}

Series = Mapping[str, tuple[str, str, Sequence[Interval | None]]]
"""Colour, marker and values, one for each row, by label."""


def write_interval_plots(logged: Logged, out: Path) -> None:
    """Draw errors of one layer by neuron and rule, and the ablation of STDP, each as PNG and SVG.

    Args:
        logged: The log.
        out: Folder.
    """
    _write(out / "errors", [TITLES[neuron] for neuron in (*NEURONS, "lstm")],
           {corpus: _errors(logged, corpus) for corpus in _SMALL},
           "Test frame error (%), 95 % interval")  # fmt: skip
    _write(out / "stdp", list(_EFFECTS.values()),
           {corpus: _effects(logged, corpus) for corpus in _SMALL},
           "Difference of the test frame error (points), 95 % interval", at_zero=True)  # fmt: skip


def _errors(logged: Logged, corpus: str) -> Series:
    found = {}
    for rule in RULES:
        label, colour, marker = _RULES[rule]
        runs = [
            counts(logged, Run("", "", neuron, 1, rule, 1, 0.0, 0), corpus)
            for neuron in (*NEURONS, "lstm")
        ]
        found[label] = (colour, marker, [error(each) if each else None for each in runs])
    return found


def _effects(logged: Logged, corpus: str) -> Series:
    found: dict[str, tuple[str, str, list[Interval | None]]] = {}
    for pair in ablation_pairs():
        label = pair.title.rpartition(", ")[2]
        found.setdefault(label, (*_TIMES[label], []))[2].append(interval_of(logged, pair, corpus))
    return found


def _write(
    path: Path, rows: list[str], panels: Mapping[str, Series], name: str, *, at_zero: bool = False
) -> None:
    from matplotlib.figure import Figure

    if not any(any(values) for series in panels.values() for _, _, values in series.values()):
        return
    figure = Figure(figsize=(8.4, 1.6 + 0.55 * len(rows)), layout="constrained")
    axes = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
    for ax, (corpus, series) in zip(axes, panels.items(), strict=True):
        _points(ax, series)
        if at_zero:
            ax.axvline(0, color="#888888", linewidth=1)
        ax.set_title(TITLES_OF_CORPORA[corpus])
        ax.set_yticks(range(len(rows)), rows)
        ax.spines[["top", "right"]].set_visible(False)
        ax.grid(axis="x", alpha=0.3)
    axes[0].set_ylim(len(rows) - 0.5, -0.5)
    figure.supxlabel(name, fontsize="medium")
    shown = axes[0].get_legend_handles_labels()
    figure.legend(*shown, loc="outside upper center", ncols=4, fontsize="small", frameon=False)
    save(figure, path)


def _points(ax: Any, series: Series) -> None:
    for k, (label, (colour, marker, values)) in enumerate(series.items()):
        known = [(place, value) for place, value in enumerate(values) if value is not None]
        if not known:
            continue
        offset = 0.16 * (k - (len(series) - 1) / 2)
        ax.errorbar(
            [value.value for _, value in known],
            [place + offset for place, _ in known],
            xerr=[[v.value - v.low for _, v in known], [v.high - v.value for _, v in known]],
            fmt=marker,
            color=colour,
            markersize=4.5,
            label=label,
        )
