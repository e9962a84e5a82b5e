"""Tables and figures of the experiment on modulation, from its log."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path

from docs.studies.modulation.figures import write_figures
from docs.studies.modulation.grid import CODINGS, SIZES, Logged, Run, modulation_of
from snn_neuromod._storage import write_text_atomically

__all__ = ["write_report"]

_SADDLE_NODE = 0.888
"""Below this modulation the fixed points of an mSRC have a saddle-node, whatever z_hyp: type 2*."""
_TYPE_2 = 1.2
"""Halfway between the modulations of types 1 and 2."""


def write_report(logged: Logged, out: Path) -> None:
    """Write `tables.md` and the figures.

    Args:
        logged: The log.
        out: Folder.

    Raises:
        ValueError: If there is no run in the log, or runs of different numbers of epochs.
    """
    lengths = sorted({run.epochs for run in logged})
    if len(lengths) != 1:
        found = f"runs of {' and '.join(map(str, lengths))} epochs" if lengths else "none"
        raise ValueError(
            f"write_report: {out / 'epochs.csv'} must hold runs of one number of epochs, got {found}; "
            'start with "run", and give each number of epochs a folder of its own'
        )
    text = "\n\n".join(part for part in (_accuracies(logged), _modulations(logged)) if part)
    write_text_atomically(out / "tables.md", text + "\n")
    write_figures(logged, out)
    print(f"{len(logged)} runs: {out / 'tables.md'} and figures beside it", flush=True)


def _accuracies(logged: Logged) -> str:
    """A row for each coding, modulation and z_hyp: mean, and range where there are several seeds."""
    lines = [
        "| code | modulation | z_hyp | seeds | train accuracy | held-out accuracy | test accuracy | test loss "
        "| spikes per neuron and image, by layer | minutes |",
        "|---" * 10 + "|",
    ]
    settings = sorted(
        {run._replace(seed=0) for run in logged},
        key=lambda run: (CODINGS.index(run.coding), run.modulation == "learned", run),
    )
    for setting in settings:
        last = [rows[-1] for run, rows in logged.items() if run._replace(seed=0) == setting]
        percent = [
            _spread([100 * row[name] for row in last], "{:.2f}", " %")
            for name in ("train_accuracy", "val_accuracy", "test_accuracy")
        ]
        spikes = " / ".join(
            f"{statistics.fmean(row[f'spikes_{k}'] for row in last):.1f}" for k in (1, 2)
        )
        cells = [
            setting.coding, setting.modulation, f"{setting.z_hyp:g}", str(len(last)), *percent,
            _spread([row["test_loss"] for row in last], "{:.3f}", ""), spikes,
            f"{statistics.fmean(row['seconds'] for row in last) / 60:.1f}",
        ]  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _spread(values: Sequence[float], form: str, unit: str) -> str:
    mean = form.format(statistics.fmean(values))
    if len(values) < 2:
        return f"{mean}{unit}"
    return f"{mean}{unit} ({form.format(min(values))} to {form.format(max(values))})"


def _modulations(logged: Logged) -> str:
    """The learned modulation of all networks before and after training, by coding and layer."""
    lines = []
    for coding in CODINGS:
        runs = {
            run: rows
            for run, rows in logged.items()
            if run.modulation == "learned" and run.coding == coding
        }
        for layer in range(len(SIZES) if runs else 0):
            for when, index in (("before", 0), ("after", -1)):
                values = sorted(_layer(runs, layer, index))
                lines.append(
                    f"| {coding} | {layer + 1} | {len(values)} | {when} | {_quantiles(values)} |"
                )
    if not lines:
        return ""
    head = [
        "| code | layer | neurons | training | lowest | 1st quartile | median | 3rd quartile | highest "
        "| below 0.888 | 0.888 to 1.2 | above 1.2 |",
        "|---" * 12 + "|",
    ]
    return "\n".join([*head, *lines])


def _layer(runs: dict[Run, list[dict[str, float]]], layer: int, index: int) -> list[float]:
    return [h_s0 for rows in runs.values() for h_s0 in modulation_of(rows[index])[layer]]


def _quantiles(values: Sequence[float]) -> str:
    """Quartiles, and shares of neurons of type 2*, about type 1 and about type 2."""
    marks = [values[0], *statistics.quantiles(values, n=4), values[-1]]
    below, above = sum(v < _SADDLE_NODE for v in values), sum(v > _TYPE_2 for v in values)
    shares = [count / len(values) for count in (below, len(values) - below - above, above)]
    return " | ".join([*(f"{mark:.2f}" for mark in marks), *(f"{share:.0%}" for share in shares)])
