"""Curves of the comparison: error and cross-entropy against the epoch, with bands over seeds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from docs.studies.comparison.grid import LAYERS, NEURONS, RULES, Logged, Run
from snn_neuromod._storage import write_atomically

__all__ = ["COLOURS", "TITLES", "TITLES_OF_CORPORA", "save", "write_plots"]

TITLES = {
    "alif": "ALIF",
    "stdp_alif_minus": r"STDP-ALIF, $-\gamma$",
    "stdp_alif_zero": "STDP-ALIF, 0",
    "stdp_alif_plus": r"STDP-ALIF, $+\gamma$",
    "izhikevich": "Izhikevich",
    "lstm": "LSTM",
}
# Okabe and Ito's palette, one colour for a neuron everywhere.
COLOURS = {
    "alif": "#0072B2",
    "stdp_alif_minus": "#D55E00",
    "stdp_alif_zero": "#E69F00",
    "stdp_alif_plus": "#CC79A7",
    "izhikevich": "#009E73",
    "lstm": "#000000",
}
_METRICS = {
    "val_error": "Validation frame error (%)",
    "val_loss": "Validation cross-entropy (nats)",
}
TITLES_OF_CORPORA = {
    "russian_small": "Russian, small",
    "synthetic": "Synthetic English",
    "russian": "Russian, complete",
}
_DASHES = ("-", "--", ":", "-.")

Line = tuple[str, str, str, Callable[[Run], bool]]
"""Label, colour, dashes, and which runs."""


def write_plots(logged: Logged, out: Path) -> None:
    """Draw what the log has runs for, each plot as PNG and SVG.

    Args:
        logged: The log.
        out: Folder.
    """
    for corpus, stage in (("russian_small", "wide"), ("synthetic", "wide"), ("russian", "full")):
        runs = {
            run: rows
            for run, rows in logged.items()
            if run.corpus == corpus and run.stage == stage and run.steps == 1
        }
        if not runs:
            continue
        title = TITLES_OF_CORPORA[corpus]
        if stage == "full":
            everyone = {"": [_line(run) for run in dict.fromkeys(r._replace(seed=0) for r in runs)]}
            save(_draw(runs, everyone, title), out / "full")
            continue
        save(
            _draw(runs, {"": _neuron_lines()}, f"{title}, 1 layer, symmetric e-prop unless said"),
            out / f"neurons_{corpus}",
        )
        shown = [neuron for neuron in NEURONS if any(run.neuron == neuron for run in runs)]
        if any(run.layers > 1 for run in runs):
            per_layers = {TITLES[neuron]: _layer_lines(neuron) for neuron in shown}
            save(_draw(runs, per_layers, f"{title}, symmetric e-prop"), out / f"layers_{corpus}")
        per_rule = {TITLES[neuron]: _rule_lines(neuron) for neuron in shown}
        save(_draw(runs, per_rule, f"{title}, 1 layer"), out / f"rules_{corpus}")


def _layer_lines(neuron: str) -> list[Line]:
    return [
        (f"{layers} layer" + "s" * (layers > 1), COLOURS[neuron], _DASHES[k],
         _same(neuron, layers, "symmetric"))
        for k, layers in enumerate(LAYERS)
    ]  # fmt: skip


def _rule_lines(neuron: str) -> list[Line]:
    return [
        ("BPTT" if rule == "bptt" else f"e-prop, {rule}", COLOURS[neuron], _DASHES[k],
         _same(neuron, 1, rule))
        for k, rule in enumerate(RULES)
    ]  # fmt: skip


def _neuron_lines() -> list[Line]:
    lines: list[Line] = [
        (TITLES[neuron], COLOURS[neuron], "-",
         _same(neuron, 1, "symmetric"))
        for neuron in NEURONS
    ]  # fmt: skip
    lines.append(
        ("ALIF, BPTT", COLOURS["alif"], "--",
         _same("alif", 1, "bptt"))
    )  # fmt: skip
    lines.append(("LSTM", COLOURS["lstm"], "--", lambda r: r.neuron == "lstm"))
    return lines


def _same(neuron: str, layers: int, rule: str) -> Callable[[Run], bool]:
    return lambda run: (run.neuron, run.layers, run.rule) == (neuron, layers, rule)


def _line(run: Run) -> Line:
    rule = "BPTT" if run.rule == "bptt" else f"{run.rule} e-prop"
    layers = f", {run.layers} layers" if run.layers > 1 else ""
    label = "LSTM" if run.neuron == "lstm" else f"{TITLES[run.neuron]}, {rule}{layers}"
    dashes = {"bptt": "--", "adaptive": ":"}.get(run.rule, "-")
    return label, COLOURS[run.neuron], dashes, lambda r: r._replace(seed=0) == run


def _draw(logged: Logged, panels: Mapping[str, Sequence[Line]], title: str) -> Any:
    """One column for each panel, one row for each metric; a single panel has its metrics side by side."""
    from matplotlib.figure import Figure

    wide = 2 if len(panels) == 1 else len(panels)
    high = 1 if len(panels) == 1 else len(_METRICS)
    figure = Figure(
        figsize=(4.2 * wide if high == 1 else 3.1 * wide, 4.2 if high == 1 else 7.2),
        layout="constrained",
    )
    axes = figure.subplots(high, wide, squeeze=False, sharey="row" if high > 1 else False)
    figure.suptitle(title)
    for column, (panel, lines) in enumerate(panels.items()):
        for row, (metric, name) in enumerate(_METRICS.items()):
            ax = axes[0, row] if high == 1 else axes[row, column]
            _curves(ax, logged, lines, metric)
            ax.set_title(panel if row == 0 or high == 1 else "")
            ax.set_xlabel("Epoch")
            if high == 1 or column == 0:
                ax.set_ylabel(name)
            if row == 0 and high > 1:
                ax.legend(fontsize="x-small", frameon=False)
    if high == 1:
        shown = axes[0, 0].get_legend_handles_labels()
        figure.legend(*shown, loc="outside lower center", ncols=3, fontsize="small", frameon=False)
    return figure


def _curves(ax: Any, logged: Logged, lines: Sequence[Line], metric: str) -> None:
    scale = 100 if metric.endswith("error") else 1
    for label, colour, dashes, keep in lines:
        curves = [
            [scale * row[metric] for row in rows] for run, rows in logged.items() if keep(run)
        ]
        if not curves:
            continue
        by_epoch = list(zip(*curves, strict=False))
        epochs = range(1, len(by_epoch) + 1)
        mean = [sum(values) / len(values) for values in by_epoch]
        ax.plot(epochs, mean, color=colour, linestyle=dashes, label=label)
        low, top = [min(values) for values in by_epoch], [max(values) for values in by_epoch]
        ax.fill_between(epochs, low, top, color=colour, alpha=0.2, linewidth=0)
    ax.spines[["top", "right"]].set_visible(False)


def save(figure: Any, path: Path) -> None:
    """Write a figure as PNG and as SVG."""
    for kind in ("png", "svg"):
        draw = partial(figure.savefig, format=kind, dpi=150 if kind == "png" else "figure")
        write_atomically(path.with_suffix(f".{kind}"), draw)
