"""Which runs the experiment on modulation consists of, how one is made, and what is logged of it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from docs.studies import log
from docs.studies.runner import fit

__all__ = [
    "CODINGS",
    "FIXED",
    "METRICS",
    "SIZES",
    "Z_HYP",
    "Logged",
    "Run",
    "arguments",
    "fixed_runs",
    "learned_runs",
    "modulation_of",
    "open_log",
    "outcome",
    "train",
]

CODINGS = ("rate", "latency")
FIXED = ("1.5", "0.9", "0.5")
"""Fixed modulations of the thesis: types 2, 1 and 2*."""
Z_HYP = (0.8, 0.9, 0.95)
"""Gates of the slow variable at rest; 0.8 to 0.99 keep every type of excitability."""
LEARNED_Z_HYP = 0.9
SIZES = (32, 10)
"""Neurons of each layer, 42 in all."""
HELD_OUT = 5 / 60
"""Part of the training images that is held out: 5,000."""

METRICS = (
    "train_loss", "train_accuracy", "val_loss", "val_accuracy", "test_loss", "test_accuracy", "spikes_1", "spikes_2",
    "seconds", *(f"h_s0_{k}_{i}" for k, size in enumerate(SIZES, 1) for i in range(size)),
)  # fmt: skip
"""What is logged after each epoch, and before the first as epoch 0.

Loss and accuracy on the 55,000 training images are means over the epoch; "val" are 5,000 training images held out.
Only the last row of a run has test, spikes per neuron and test image of each layer, and seconds.
`h_s0_<layer>_<neuron>` is the modulation, where it is learned."""


class Run(NamedTuple):
    """One training run.

    Attributes:
        coding: One of `CODINGS`.
        modulation: One of `FIXED` for all neurons, or "learned" from values drawn at random.
        z_hyp: Gate of the slow variable at rest.
        epochs: Number of epochs.
        seed: Seed of weights, modulation, held-out images, order and noise.
    """

    coding: str
    modulation: str
    z_hyp: float
    epochs: int
    seed: int


Logged = log.Logged[Run]


def open_log(path: Path) -> log.Log[Run]:
    """The log in a file, which is made when the first run is added."""
    return log.Log(path, Run, METRICS)


def fixed_runs(epochs: int, seeds: Iterable[int]) -> list[Run]:
    """Each fixed modulation at each z_hyp for each seed, in both codings."""
    return [
        Run(coding, modulation, z_hyp, epochs, seed)
        for seed in seeds
        for z_hyp in Z_HYP
        for modulation in FIXED
        for coding in CODINGS
    ]


def learned_runs(epochs: int, seeds: Iterable[int]) -> list[Run]:
    """One network with learned modulation for each seed and coding."""
    return [
        Run(coding, "learned", LEARNED_Z_HYP, epochs, seed) for seed in seeds for coding in CODINGS
    ]


def arguments(run: Run, root: str) -> list[str]:
    """The command line of a run.

    Args:
        run: The run.
        root: Folder of MNIST.

    Returns:
        Arguments of `snn-neuromod`, the subcommand first.
    """
    coding = "" if run.coding == "rate" else "_latency"
    kind = "drawn" if run.modulation == "learned" else run.modulation
    return [
        *("fit", "-c", f"mnist/msrc{coding}_{kind}", "--data.root", root),
        *("--data.val_fraction", str(HELD_OUT)),
        *("--model.init_args.network.init_args.neuron.init_args.z_hyp", f"{run.z_hyp:g}"),
        *("--trainer.max_epochs", str(run.epochs), "--seed_everything", str(run.seed)),
    ]


def train(run: Run, *, root: str, overrides: Sequence[str] = ()) -> log.Rows:
    """Train and test one run through the command line of this package.

    Args:
        run: The run.
        root: Folder of MNIST.
        overrides: Further arguments.

    Returns:
        Rows of the log: one before the first epoch and one for each epoch.

    Raises:
        RunFailedError: If the command fails.
    """
    found = fit([*arguments(run, root), *overrides])
    rows = [_named(values) for values in (found.before, *found.epochs)]
    spikes = {f"spikes_{k}": found.test[f"test/spikes/{k}"] for k in (1, 2)}
    rows[-1] |= {**_named(found.test), **spikes, "seconds": found.seconds}
    return rows


def _named(values: Mapping[str, float]) -> dict[str, float]:
    names = {name: name.replace("modulation", "h_s0").replace("/", "_") for name in values}
    return {names[name]: value for name, value in values.items() if names[name] in METRICS}


def outcome(rows: log.Rows) -> str:
    """What to report of a finished run."""
    accuracy = rows[-1].get("test_accuracy", math.nan)
    return f"test accuracy {accuracy:.2%}  {rows[-1]['seconds']:.0f} s"


def modulation_of(row: Mapping[str, float]) -> list[list[float]]:
    """The modulation of every neuron in a row of the log, by layer."""
    return [
        [row[f"h_s0_{k}_{i}"] for i in range(size) if f"h_s0_{k}_{i}" in row]
        for k, size in enumerate(SIZES, 1)
    ]
