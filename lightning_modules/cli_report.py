"""What a run tells and leaves: accuracy and spikes, the files in its folder, tables of predictions."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from lightning_modules.classification import Prediction
from lightning_modules.framewise.label_files import write_label_files
from lightning_modules.framewise.task import FramePrediction
from lightning_modules.regression import Signals
from lightning_modules.tally import share_right
from snn_neuromod._storage import write_text_atomically

__all__ = ["file_list", "summary", "write"]

_FILES = {
    "checkpoint": "checkpoints/*.ckpt",
    "metrics": "metrics.csv",
    "TensorBoard": "events.out.*",
    "config": "config.yaml",
    "pictures": "pictures/*.png",
}

_LINES = {
    "accuracy": "{what} accuracy {value:.2%}{on}",
    "nmse": "{what} error {value:.4f} of the signals' variance{on}",
    "spikes/": "  spikes per neuron and sample, layer {layer}: {value:.2f}",
    "rate/": "  firing rate, layer {layer}: {value:.1f} Hz",
    "error": "  frame error {value:.2%}",
    "error_speech": "  frame error without pauses {value:.2%}",
    "error_folded": "  frame error after folding TIMIT's labels {value:.2%}",
}


def summary(
    what: str, metrics: Mapping[str, float], *, on: str = "", findings: Iterable[str] = ()
) -> str:
    """Accuracy and firing statistics in words.

    Args:
        what: Name of the data.
        metrics: As `SpikeClassification` or `FramewiseClassification` logs them.
        on: How many samples they come from, as `findings.coverage` says it.
        findings: What makes them doubtful.

    Example:
        >>> print(summary("held-out", {"test/accuracy": 0.9, "test/loss": 0.3, "test/spikes/1": 1.25}))
        held-out accuracy 90.00%
          spikes per neuron and sample, layer 1: 1.25
    """
    lines = []
    for name, value in sorted(metrics.items(), key=lambda item: "accuracy" not in item[0]):
        metric, slash, layer = name.partition("/")[2].partition("/")
        if line := _LINES.get(metric + slash):
            lines.append(line.format(what=what, value=value, on=on, layer=layer))
    lines += [f"  but {text}" for text in findings]
    return "\n".join(lines)


def file_list(folder: Path) -> str:
    """What a run left in its folder, one kind a line."""
    lines = [f"everything is in {folder}"]
    for kind, pattern in _FILES.items():
        names = [path.relative_to(folder).as_posix() for path in sorted(folder.glob(pattern))]
        if names:
            lines.append(f"  {kind:<12}{', '.join(names)}")
    return "\n".join(lines)


def write(batches: Sequence[Any], output: Path | None, folder: Path, data: Any) -> str:
    """Write predictions, those of frames as label files, all others as a CSV table.

    Args:
        batches: At least one batch.
        output: Where to; None: into `folder`.
        folder: The folder of the run.
        data: The data module, which knows the names of classes and samples.

    Returns:
        A sentence about it.
    """
    if isinstance(batches[0], FramePrediction):
        output = output or folder / "predictions"
        return write_label_files(batches, output, names=data.classes, framing=data.features)
    output = output or folder
    table = output / "predictions.csv" if output.is_dir() else output
    if isinstance(batches[0], Signals):
        return _write_signals(batches, table)
    return _write_predictions(batches, table, getattr(data, "predict_names", ()))


def _write_signals(batches: Sequence[Signals], output: Path) -> str:
    """Sample, step, each output and each target."""
    number, columns = 0, range(batches[0].outputs.shape[2])
    table: list[list[Any]] = [
        ["sample", "step", *(f"{kind}_{k}" for kind in ("output", "target") for k in columns)]
    ]
    for batch in batches:
        for rows in torch.cat(list(batch), dim=2).unbind(1):
            table += [[number, step, *_short(row)] for step, row in enumerate(rows.tolist())]
            number += 1
    _write(table, output)
    return f"signals of {number} samples: {output}"


def _write_predictions(batches: Sequence[Prediction], output: Path, names: Sequence[str]) -> str:
    """Index, label, class and the score of each class; names, where there are any, in the place of index and label."""
    number, right = 0, 0.0
    scores = [f"score_{k}" for k in range(batches[0].scores.shape[1])]
    table: list[list[Any]] = [[*(["file"] if names else ["index", "label"]), "class", *scores]]
    for batch in batches:
        columns = (batch.labels, batch.classes, batch.scores)
        for label, found, values in zip(*(c.tolist() for c in columns), strict=True):
            which = [names[number]] if names else [number, label]
            table.append([*which, found, *_short(values)])
            number += 1
        right += float(share_right(batch.scores, batch.labels).sum())
    _write(table, output)
    if names:
        return f"predictions of {number} files: {output}"
    return f"predictions of {number} samples, {right / number:.2%} right: {output}"


def _short(values: Iterable[float]) -> list[str]:
    return [f"{value:.6g}" for value in values]


def _write(table: Iterable[Iterable[Any]], output: Path) -> None:
    lines = io.StringIO(newline="")
    csv.writer(lines).writerows(table)
    write_text_atomically(output, lines.getvalue())
