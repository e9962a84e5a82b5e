"""Which runs the comparison of neurons and learning rules on phones consists of, how one is made, and the log."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from docs.studies import log
from docs.studies.comparison.rates import START, next_rates, step_up
from docs.studies.runner import fit

__all__ = [
    "CORPORA",
    "FEEDBACKS",
    "METRICS",
    "NEURONS",
    "RULES",
    "STAGES",
    "Logged",
    "Run",
    "arguments",
    "full_runs",
    "open_log",
    "outcome",
    "search_runs",
    "settings",
    "train",
    "tried_rates",
    "tune_runs",
    "wide_runs",
]

STAGES = ("search", "wide", "tune", "full")
NEURONS = ("alif", "stdp_alif_minus", "stdp_alif_zero", "stdp_alif_plus", "izhikevich")
FEEDBACKS = ("symmetric", "random", "adaptive")
RULES = (*FEEDBACKS, "bptt")
ABLATION = ("alif", "alif_minus", "stdp_alif_zero", "stdp_alif_minus")
"""Either reset with either pseudo-derivative while refractory: that of ALIF or STDP-ALIF, 0 or -gamma."""
FINE = 5
"""Steps for each frame with which the refractory time is 2 ms; with one it is 20 ms."""
CORPORA = {"russian_small": 51, "synthetic": 61, "russian": 51}
"""Number of classes of each corpus."""

LAYERS = {1: (96,), 2: (48, 48), 3: (32, 32, 32)}
LARGE_NEURONS = 384
SEARCH_SEED = 100
CLIP = 0.1
"""Largest norm of the gradient under BPTT, chosen once on validation utterances; that of Izhikevich neurons overflows
before it can be clipped, and they go without."""

METRICS = (
    "train_loss", "train_error", "val_loss", "val_error", "test_loss", "test_error", "rate", "seconds",
)  # fmt: skip
"""What is logged of an epoch; test, firing rate in Hz and seconds of the whole run only in its last row."""
SERIES = ("wrong", "frames")
"""Numbers of wrong frames and of frames of each test utterance, in the last row too."""

_RECORD = (
    "--trainer.callbacks", "[{class_path: docs.studies.comparison.utterances.UtteranceErrors}]",
)  # fmt: skip


class Run(NamedTuple):
    """One training run.

    Attributes:
        stage: One of `STAGES`.
        corpus: One of `CORPORA`.
        neuron: One of `NEURONS` or `ABLATION`, or "lstm".
        layers: Number of layers.
        rule: One of `FEEDBACKS` for e-prop, or "bptt".
        steps: Steps for each frame, 1 or `FINE`.
        lr: Learning rate.
        seed: Seed of weights, order and cuts.
    """

    stage: str
    corpus: str
    neuron: str
    layers: int
    rule: str
    steps: int
    lr: float
    seed: int

    @property
    def sizes(self) -> tuple[int, ...]:
        """Neurons of each layer; their sum does not depend on the number of layers."""
        if self.stage in ("tune", "full"):
            return (LARGE_NEURONS // self.layers,) * self.layers
        return LAYERS[self.layers]

    @property
    def tuned(self) -> tuple[str, str, int]:
        """What has a learning rate of its own: neuron, rule and steps."""
        return self.neuron, self.rule, self.steps

    @property
    def setting(self) -> Run:
        """The run without its learning rate and seed."""
        return self._replace(lr=0.0, seed=0)


Logged = log.Logged[Run]


def open_log(path: Path) -> log.Log[Run]:
    """The log in a file, which is made when the first run is added."""
    return log.Log(path, Run, METRICS, SERIES)


def settings() -> list[Run]:
    """Settings of the wide grid on the small Russian corpus: neurons, layers and rules, and the ablation of STDP."""
    found = [
        _setting(neuron, layers, rule, 1)
        for layers in LAYERS
        for neuron in NEURONS
        for rule in RULES
    ]
    ablation = [_setting(neuron, 1, "symmetric", steps) for steps in (1, FINE) for neuron in ABLATION]  # fmt: skip
    return list(dict.fromkeys([*found, _setting("lstm", 1, "bptt", 1), *ablation]))


def _setting(neuron: str, layers: int, rule: str, steps: int) -> Run:
    return Run("wide", "russian_small", neuron, layers, rule, steps, 0.0, 0)


def search_runs(chosen: Iterable[Run], logged: Logged) -> list[Run]:
    """What the search of learning rates lacks: one layer, one seed, on the small Russian corpus.

    Args:
        chosen: Settings whose rates are wanted; those of several layers have that of one.
        logged: The log, whose errors say where the search goes on.

    Returns:
        The next runs; none once every best rate lies between two that are worse.
    """
    searched = dict.fromkeys(run._replace(stage="search", layers=1) for run in chosen)
    return [run for setting in searched for run in _next(setting, logged, START)]


def tune_runs(best: Iterable[Run], logged: Logged) -> list[Run]:
    """The same for the best settings, larger and on the complete Russian corpus.

    Args:
        best: Runs of the wide grid, from whose learning rate the search starts.
        logged: The log.

    Returns:
        The next runs.
    """
    return [
        found
        for run in best
        for found in _next(
            run.setting._replace(stage="tune", corpus="russian"),
            logged,
            [step_up(run.lr, steps) for steps in (-1, 0, 1)],
        )
    ]


def _next(setting: Run, logged: Logged, start: Sequence[float]) -> list[Run]:
    tried = tried_rates(logged).get(setting, {})
    return [setting._replace(lr=lr, seed=SEARCH_SEED) for lr in next_rates(tried, start)]


def tried_rates(logged: Logged) -> dict[Run, dict[float, float]]:
    """Validation error after the last epoch by setting of a search and learning rate.

    Args:
        logged: The log.
    """
    found: dict[Run, dict[float, float]] = {}
    for run, rows in logged.items():
        if run.stage in ("search", "tune"):
            found.setdefault(run.setting, {})[run.lr] = rows[-1].get("val_error", math.nan)
    return found


def wide_runs(
    chosen: Iterable[Run], rates: Mapping[tuple[str, str, int], float], seeds: Iterable[int]
) -> list[Run]:
    """The wide grid on the two small corpora, one seed after the other.

    Args:
        chosen: Settings.
        rates: Learning rate by neuron, rule and steps.
        seeds: Seeds.

    Returns:
        The runs.

    Raises:
        ValueError: If a rate is missing.
    """
    chosen = list(chosen)
    if unknown := {run.tuned for run in chosen} - set(rates):
        raise ValueError(
            "wide_runs: the log must hold the stage search of all settings, got none or a part of it for "
            f"{min(unknown)}; run it first"
        )
    return [
        run._replace(corpus=corpus, lr=rates[run.tuned], seed=seed)
        for seed in seeds
        for corpus in ("russian_small", "synthetic")
        for run in chosen
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
    if run.steps == FINE:
        args += ["-c", "phones/comparison/fine"]
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
    if run.rule == "bptt" and run.neuron != "izhikevich":
        args += ["--trainer.gradient_clip_val", f"{CLIP:g}"]
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
    found = fit([*arguments(run, roots=roots), *_RECORD, *overrides])
    rows = [_named(epoch) for epoch in found.epochs]
    rows[-1] |= _named(found.test)
    for name, value in found.test.items():
        kind, _, place = name.removeprefix("test/").rpartition("/")
        if kind in SERIES:
            rows[-1][f"{kind}/{place}"] = value
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
