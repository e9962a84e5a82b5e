"""Which swaps are trained, how one is, and the table of what came out."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from docs.studies import log
from docs.studies.swap.networks import LOSSES, NEURONS, TUTORIALS, Examples, through

__all__ = ["METRICS", "Run", "open_log", "runs", "table", "train"]

METRICS = (
    "accuracy",
    "by_membrane",
    "rate_before",
    "rate_after",
    "gradient",
    "last_loss",
    "seconds",
)
"""Training accuracy by spikes and by the membrane, hidden rate in spikes per step, norm of the first gradient."""


class Run(NamedTuple):
    """A swapped network that is trained.

    Attributes:
        tutorial: Name of snnTorch's tutorial, in `TUTORIALS`.
        neuron: Name of the neuron of all layers.
        loss: Name of the loss.
        rate: Learning rate of Adam.
        seed: Seed of weights and order.
    """

    tutorial: str
    neuron: str
    loss: str
    rate: float
    seed: int


def open_log(path: Path) -> log.Log[Run]:
    """The log in a file, which is made when the first run is added."""
    return log.Log(path, Run, METRICS)


def runs(seeds: Iterable[int], tutorials: Iterable[str], neurons: Iterable[str]) -> list[Run]:
    """Every swap with the tutorial's loss and, where the membrane or each step is read, by counts too."""
    found = []
    for seed, name, neuron in itertools.product(seeds, tutorials, neurons):
        tutorial = TUTORIALS[name]
        rate = tutorial.rate.get(neuron, tutorial.rate[""])
        rates = (rate, 2 * rate) if name == "5" else (rate,)
        losses = [tutorial.loss, *(["ce_count_loss"] if name in ("5", "6") else [])]
        found += [Run(name, neuron, loss, r, seed) for loss in losses for r in rates]
    return found


@cache
def _examples(tutorial: str, root: Path | None) -> Examples:
    return TUTORIALS[tutorial].examples(root)


def train(run: Run, *, root: Path | None = None, examples: Examples | None = None) -> log.Rows:
    """Train one network and look at it.

    Args:
        run: The run.
        root: Folder of N-MNIST, for tutorial 7.
        examples: In the place of the tutorial's data.

    Returns:
        One row of the log.
    """
    torch.manual_seed(run.seed)
    tutorial, start = TUTORIALS[run.tutorial], time.process_time()
    found = examples or _examples(run.tutorial, root)
    net, loss_of = tutorial.make(run.neuron), LOSSES[run.loss](run.neuron)
    optimizer = torch.optim.Adam(net.parameters(), lr=run.rate)
    row: dict[str, float] = {}
    for _ in range(tutorial.epochs):
        for chosen in torch.randperm(len(found.targets)).split(tutorial.batch):
            x, labels = found.batch(chosen)
            (spikes, mem), rates = through(net, x)
            loss = loss_of(spikes, mem, labels)
            optimizer.zero_grad()
            loss.backward()
            first = next(net.parameters()).grad
            if not row and first is not None:
                row |= {"rate_before": rates[0], "gradient": float(first.norm())}
            optimizer.step()
    row |= _looked_at(net, found) | {"last_loss": float(loss.detach())}
    return [row | {"seconds": time.process_time() - start}]


@torch.no_grad()
def _looked_at(net: torch.nn.Sequential, examples: Examples) -> dict[str, float]:
    right, after = torch.zeros(2), list[float]()
    for chosen in torch.arange(len(examples.targets)).split(200):
        x, labels = examples.batch(chosen)
        read, rates = through(net, x)
        after.append(rates[0])
        right += torch.tensor([float((_decided(r) == labels).sum()) for r in read])
    accuracy, by_membrane = (right / len(examples.targets)).tolist()
    rate = statistics.fmean(after)
    return {"accuracy": accuracy, "by_membrane": by_membrane, "rate_after": rate}


def _decided(outputs: Tensor) -> Tensor:
    """The class with the largest sum over steps and, of a population code, neurons."""
    sums = outputs.sum(0)
    by_class: Tensor = sums.unflatten(1, (10, -1)).sum(-1)
    return by_class.argmax(1)


def table(logged: log.Logged[Run]) -> str:
    """A row for each tutorial, neuron, loss and learning rate: the range over seeds."""
    head = (
        "tutorial", "neuron", "loss", "Adam's rate", "seeds", "training accuracy by spikes (by the membrane)",
        "hidden rate before and after", "norm of the first gradient",
    )  # fmt: skip
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    rank = {name: k for k, name in enumerate([*TUTORIALS, *NEURONS])}
    key = lambda run: (rank[run.tutorial], run.loss, run.rate, rank[run.neuron])  # noqa: E731
    for _, group in itertools.groupby(sorted(logged, key=key), key=key):
        same = list(group)
        rows = [logged[run][-1] for run in same]
        spread = {name: [row[name] for row in rows] for name in METRICS}
        accuracy = f"{_percent(spread['accuracy'])} ({_percent(spread['by_membrane'])})"
        rates = f"{_percent(spread['rate_before'])}, {_percent(spread['rate_after'])}"
        gradient = " to ".join(
            f"{v:.3g}" for v in dict.fromkeys((min(spread["gradient"]), max(spread["gradient"])))
        )
        seeds = ", ".join(str(run.seed) for run in same)
        cells = [*same[0][:3], f"{same[0].rate:g}", seeds, accuracy, rates, gradient]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _percent(values: list[float]) -> str:
    low, high = (f"{100 * value:.0f}" for value in (min(values), max(values)))
    return f"{low} %" if low == high else f"{low} to {high} %"
