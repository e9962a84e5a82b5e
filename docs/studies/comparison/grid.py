"""Which runs the comparison of neurons and learning rules on phones consists of, how one is made, and the log."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from docs.studies import log
from docs.studies.runner import fit

__all__ = [
    "CORPORA",
    "FEEDBACKS",
    "METRICS",
    "NEURONS",
    "STAGES",
    "Logged",
    "Run",
    "arguments",
    "full_runs",
    "open_log",
    "outcome",
    "search_runs",
    "train",
    "tune_runs",
    "wide_runs",
]

STAGES = ("search", "wide", "tune", "full")
NEURONS = ("alif", "stdp_alif_minus", "stdp_alif_zero", "stdp_alif_plus", "izhikevich")
FEEDBACKS = ("symmetric", "random", "adaptive")
CORPORA = {"russian_small": 51, "synthetic": 61, "russian": 51}
"""Number of classes of each corpus."""

LEARNING_RATES = (0.003, 0.01, 0.03, 0.1)
LAYERS = {1: (96,), 2: (48, 48), 3: (32, 32, 32)}
LARGE_NEURONS = 384
TUNE_FACTORS = (1.0, 0.3)
SEARCH_SEED = 100

METRICS = (
    "train_loss", "train_error", "val_loss", "val_error", "test_loss", "test_error", "rate", "seconds",
)  # fmt: skip
"""What is logged of an epoch; test, firing rate in Hz and seconds of the whole run only in its last row."""


class Run(NamedTuple):
    """One training run.

    Attributes:
        stage: One of `STAGES`.
        corpus: One of `CORPORA`.
        neuron: One of `NEURONS`, or "lstm".
        layers: Number of layers.
        rule: One of `FEEDBACKS` for e-prop, or "bptt".
        lr: Learning rate.
        seed: Seed of weights, order and cuts.
    """

    stage: str
    corpus: str
    neuron: str
    layers: int
    rule: str
    lr: float
    seed: int

    @property
    def sizes(self) -> tuple[int, ...]:
        """Neurons of each layer; their sum does not depend on the number of layers."""
        if self.stage in ("tune", "full"):
            return (LARGE_NEURONS // self.layers,) * self.layers
        return LAYERS[self.layers]


Logged = log.Logged[Run]


def open_log(path: Path) -> log.Log[Run]:
    """The log in a file, which is made when the first run is added."""
    return log.Log(path, Run, METRICS)


def search_runs() -> list[Run]:
    """The search of the learning rate: one layer, one seed, on the small Russian corpus."""
    kinds = [(neuron, rule) for neuron in NEURONS for rule in ("symmetric", "bptt")]
    return [
        Run("search", "russian_small", neuron, 1, rule, lr, SEARCH_SEED)
        for neuron, rule in [*kinds, ("lstm", "bptt")]
        for lr in LEARNING_RATES
    ]


def wide_runs(rates: Mapping[tuple[str, str], float], seeds: Iterable[int]) -> list[Run]:
    """The wide grid: neurons, layers, rules and seeds on the two small corpora, one seed after the other.

    Args:
        rates: Learning rate by neuron and rule, where the rule is "symmetric" (taken for all e-prop) or "bptt".
        seeds: Seeds.

    Returns:
        The runs.
    """
    found = []
    for seed in seeds:
        for corpus in ("russian_small", "synthetic"):
            for layers in LAYERS:
                for neuron in NEURONS:
                    for rule in (*FEEDBACKS, "bptt"):
                        rate = rates[neuron, "bptt" if rule == "bptt" else "symmetric"]
                        found.append(Run("wide", corpus, neuron, layers, rule, rate, seed))
            found.append(Run("wide", corpus, "lstm", 1, "bptt", rates["lstm", "bptt"], seed))
    return found


def tune_runs(best: Iterable[Run]) -> list[Run]:
    """The learning rates of the best settings, larger and on the complete Russian corpus, tried again with one seed.

    Args:
        best: Runs of the wide grid.

    Returns:
        The runs.
    """
    return [
        run._replace(stage="tune", corpus="russian", seed=SEARCH_SEED, lr=factor * run.lr)
        for run in best
        for factor in TUNE_FACTORS
    ]


def full_runs(tuned: Iterable[Run], seeds: Iterable[int]) -> list[Run]:
    """The best settings on the complete Russian corpus.

    Args:
        tuned: Runs of the stage "tune".
        seeds: Seeds.

    Returns:
        The runs.
    """
    tuned = list(tuned)
    return [run._replace(stage="full", seed=seed) for seed in seeds for run in tuned]


def arguments(run: Run, *, roots: Mapping[str, str] | None = None) -> list[str]:
    """The command line of a run.

    Args:
        run: The run.
        roots: Folders of corpora that are not made here, by the name of the corpus.

    Returns:
        Arguments of `snn-neuromod`, the subcommand first.
    """
    model, network = "--model.init_args", "--model.init_args.network.init_args"
    args = ["fit", "-c", f"phones/comparison/{run.neuron}"]
    if run.stage in ("tune", "full"):
        args += ["-c", "phones/comparison/large"]
    args += ["-c", f"phones/comparison/{run.corpus}"]
    if run.corpus in (roots or {}):
        args += ["--data.init_args.corpus.init_args.root", (roots or {})[run.corpus]]
    sizes = "[" + ", ".join(str(size) for size in (39, *run.sizes)) + "]"
    if run.neuron == "lstm":
        args += [f"{network}.parameters_of", sizes]
    else:
        args += [f"{network}.sizes", sizes]
        args += [f"{network}.learning_rule", "bptt" if run.rule == "bptt" else "eprop"]
        feedback = "symmetric" if run.rule == "bptt" else run.rule
        args += [f"{network}.readout.init_args.feedback", feedback]
    args += [f"{model}.optimizer.init_args.lr", f"{run.lr:g}"]
    return [*args, "--seed_everything", str(run.seed)]


def train(
    run: Run, *, roots: Mapping[str, str] | None = None, overrides: Sequence[str] = ()
) -> log.Rows:
    """Train and test one run through the command line of the package.

    Args:
        run: The run.
        roots: Folders of corpora, by name.
        overrides: Further arguments.

    Returns:
        Rows of the log, one for each epoch.

    Raises:
        RunFailedError: If the command fails.
    """
    found = fit([*arguments(run, roots=roots), *overrides])
    rows = [_named(epoch) for epoch in found.epochs]
    rows[-1] |= _named(found.test)
    rates = [value for name, value in found.test.items() if name.startswith("test/rate/")]
    if rates:
        rows[-1]["rate"] = sum(rates) / len(rates)
    rows[-1]["seconds"] = found.seconds
    return rows


def _named(values: Mapping[str, float]) -> dict[str, float]:
    names = {name: name.replace("/", "_") for name in values}
    return {names[name]: value for name, value in values.items() if names[name] in METRICS}


def outcome(rows: log.Rows) -> str:
    """What to report of a finished run."""
    error = rows[-1].get("test_error", math.nan)
    return f"error {error:.2%}  {rows[-1]['seconds']:.0f} s"
