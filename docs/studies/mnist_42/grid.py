"""Which runs the comparison of 42 neurons on MNIST consists of, how one is made, and the table of what came out."""

from __future__ import annotations

import shlex
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from docs.studies import log
from docs.studies.runner import fit

__all__ = ["METRICS", "NETWORKS", "Logged", "Run", "open_log", "runs", "table", "train"]

_NEURON = "--model.init_args.network.init_args.neuron.init_args"
NETWORKS: dict[tuple[str, str], str] = {
    ("mnist/alif", ""): "32 + 10 ALIF, rate code",
    ("mnist/msrc_readout", ""): "42 mSRC, linear readout, rate code",
    ("mnist/msrc_shifted", ""): "32 + 10 mSRC, rate code",
    ("mnist/msrc_latency_shifted", ""): "32 + 10 mSRC, latency code",
    ("mnist/msrc_shifted", "--trainer.max_epochs 30"): "32 + 10 mSRC, rate code, 30 epochs",
    ("mnist/ann", ""): "32 rectified linear + 10 linear units, the image itself",
    ("mnist/ann", "--data.shift 0"): "the same, without shifts",
    ("mnist/snntorch_leaky", ""): "32 + 10 of snnTorch's `Leaky`, rate code",
    ("mnist/alif", f"{_NEURON}.psi.width 1.0"): "32 + 10 ALIF, Bellec's width of the pseudo-derivative",
    ("mnist/alif", "--data.shift 0"): "32 + 10 ALIF, without shifts",
    ("mnist/msrc_readout", "--data.shift 0"): "42 mSRC, linear readout, without shifts",
}  # fmt: skip
"""What is compared, the most important first: a configuration with further arguments, and what the network is."""
METRICS = (
    "train_loss", "train_accuracy", "test_loss", "test_accuracy", "spikes_1", "spikes_2", "seconds",
)  # fmt: skip
"""What is logged after each epoch; only the last row of a run has test, spikes per neuron and image, and seconds."""


class Run(NamedTuple):
    """One training run.

    Attributes:
        configuration: Name of a shipped configuration.
        options: Further arguments of `snn-neuromod fit`, as in a shell.
        seed: Seed of weights, order, shifts and noise.
    """

    configuration: str
    options: str
    seed: int


Logged = log.Logged[Run]


def open_log(path: Path) -> log.Log[Run]:
    """The log in a file, which is made when the first run is added."""
    return log.Log(path, Run, METRICS)


def runs(seeds: Iterable[int]) -> list[Run]:
    """Every network, for one seed after the other."""
    return [Run(*network, seed) for seed in seeds for network in NETWORKS]


def train(run: Run, *, root: str, overrides: Sequence[str] = ()) -> log.Rows:
    """Train and test one run through the command line of this package.

    Args:
        run: The run.
        root: Folder of MNIST.
        overrides: Further arguments.

    Returns:
        Rows of the log, one for each epoch.

    Raises:
        RunFailedError: If the command fails.
    """
    own = ["fit", "-c", run.configuration, "--data.root", root, "--seed_everything", str(run.seed)]
    found = fit([*own, *shlex.split(run.options), *overrides])
    rows = [_named(values) for values in found.epochs]
    rows[-1] |= {**_named(found.test), "seconds": found.seconds}
    return rows


def _named(values: dict[str, float]) -> dict[str, float]:
    names = {name: name.replace("/", "_") for name in values if not name.startswith("train/spikes")}
    found = {short: values[name] for name, short in names.items()}
    found |= {f"spikes_{k}": values[f"test/spikes/{k}"] for k in (1, 2) if f"test/spikes/{k}" in values}  # fmt: skip
    return {name: value for name, value in found.items() if name in METRICS}


def table(logged: Logged) -> str:
    """A row for each network in the log: mean, and range where there are several seeds."""
    lines = [
        "| configuration | network | seeds | test accuracy, mean (range) | training accuracy "
        "| spikes per neuron and image, by layer | minutes |",
        "|---" * 7 + "|",
    ]
    for (configuration, options), network in NETWORKS.items():
        found = {run.seed: rows[-1] for run, rows in logged.items() if run[:2] == (configuration, options)}  # fmt: skip
        if not found:
            continue
        last = list(found.values())
        spikes = " / ".join(
            f"{statistics.fmean(row[f'spikes_{k}'] for row in last):.1f}"
            for k in (1, 2)
            if f"spikes_{k}" in last[0]
        )
        command = f"{configuration} {options}".strip()
        cells = [
            f"`{command}`", network, ", ".join(map(str, sorted(found))),
            _spread([100 * row["test_accuracy"] for row in last]),
            f"{statistics.fmean(100 * row['train_accuracy'] for row in last):.2f} %", spikes or "none",
            f"{statistics.fmean(row['seconds'] for row in last) / 60:.1f}",
        ]  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _spread(values: Sequence[float]) -> str:
    mean = f"{statistics.fmean(values):.2f} %"
    return mean if len(values) < 2 else f"{mean} ({min(values):.2f} to {max(values):.2f})"
