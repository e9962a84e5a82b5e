"""Differences of the test error between two settings, and the table of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from docs.studies.comparison.grid import (
    CORPORA,
    FEEDBACKS,
    FINE,
    LAYERS,
    NEURONS,
    Logged,
    Run,
)
from docs.studies.comparison.intervals import Counts, Interval, difference

__all__ = [
    "Pair",
    "ablation_pairs",
    "all_pairs",
    "counts",
    "counts_of",
    "differences_table",
    "interval_of",
]


class Pair(NamedTuple):
    """Two settings to compare.

    Attributes:
        title: What is compared.
        one: The first, without corpus.
        other: What is subtracted.
    """

    title: str
    one: Run
    other: Run


def all_pairs() -> Iterator[Pair]:
    """What the table of differences compares."""
    for neuron in NEURONS:
        for rule in FEEDBACKS:
            one = _run(neuron, rule=rule)
            yield Pair(f"{rule} e-prop - BPTT, {neuron}, 1 layer", one, one._replace(rule="bptt"))
    for neuron in NEURONS:
        pair = (_run(neuron, rule=rule) for rule in ("adaptive", "symmetric"))
        yield Pair(f"adaptive - symmetric e-prop, {neuron}, 1 layer", *pair)
    for neuron in NEURONS[1:]:
        title = f"{neuron} - alif, symmetric e-prop, 1 layer"
        yield Pair(title, _run(neuron), _run("alif"))
    yield from ablation_pairs()
    for rule, name in (("symmetric", "symmetric e-prop"), ("bptt", "BPTT")):
        for neuron in NEURONS:
            for layers in list(LAYERS)[1:]:
                title = f"{layers} layers - 1 layer, {neuron}, {name}"
                yield Pair(title, _run(neuron, layers, rule), _run(neuron, rule=rule))


def ablation_pairs() -> Iterator[Pair]:
    """Reset and pseudo-derivative of STDP-ALIF, each alone and over the other, with either refractory time."""
    for steps, time in ((1, "20 ms"), (FINE, "2 ms")):
        for title, one, other in (
            ("reset alone", "stdp_alif_zero", "alif"),
            ("-gamma alone", "alif_minus", "alif"),
            ("-gamma on top of the reset", "stdp_alif_minus", "stdp_alif_zero"),
            ("both", "stdp_alif_minus", "alif"),
        ):
            pair = (_run(one, steps=steps), _run(other, steps=steps))
            yield Pair(f"{title}: {one} - {other}, refractory {time}", *pair)


def _run(neuron: str, layers: int = 1, rule: str = "symmetric", steps: int = 1) -> Run:
    return Run("", "", neuron, layers, rule, steps, 0.0, 0)


def counts(logged: Logged, setting: Run, corpus: str) -> dict[int, Counts]:
    """What the runs of a setting did on the test utterances, by seed.

    Args:
        logged: The log.
        setting: Neuron, layers, rule and steps; nothing else of it is read.
        corpus: The corpus, which says the stage.
    """
    found = {}
    for run, rows in logged.items():
        at = (run.stage, run.corpus)
        if at == ("full" if corpus == "russian" else "wide", corpus) and _kind(run) == _kind(
            setting
        ):
            found[run.seed] = counts_of(rows[-1])
    return found


def counts_of(row: dict[str, float]) -> Counts:
    """Counts in the last row of a run."""
    number = sum(name.startswith("wrong/") for name in row)
    return Counts(
        [row[f"wrong/{k}"] for k in range(number)], [row[f"frames/{k}"] for k in range(number)]
    )


def _kind(run: Run) -> tuple[str, int, str, int]:
    return run.neuron, run.layers, run.rule, run.steps


def interval_of(logged: Logged, pair: Pair, corpus: str) -> Interval | None:
    """The difference of a pair on a corpus; None where runs are missing."""
    one, other = (counts(logged, setting, corpus) for setting in (pair.one, pair.other))
    return difference(one, other)


def differences_table(logged: Logged) -> str:
    """Differences of the test error in points, with intervals; empty without runs."""
    corpora = [c for c in CORPORA if any(run.corpus == c for run in logged)]
    lines = []
    for pair in all_pairs():
        found = [interval_of(logged, pair, corpus) for corpus in corpora]
        if any(found):
            lines.append(f"| {pair.title} | " + " | ".join(_cell(each) for each in found) + " |")
    if not lines:
        return ""
    head = " | ".join(corpus.replace("_", " ") for corpus in corpora)
    return "\n".join(
        ["### Differences of the test frame error, points: mean (95 % interval), number of seeds that both have", "",
         f"| difference | {head} |", "|---" * (1 + len(corpora)) + "|", *lines]
    )  # fmt: skip


def _cell(found: Interval | None) -> str:
    if found is None:
        return ""
    return f"{found.value:+.1f} ({found.low:+.1f} to {found.high:+.1f}), {found.seeds}"
