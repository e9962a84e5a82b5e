r"""How e-prop sees one neuron over a sentence: membrane and threshold, eligibility traces, learning signal.

A recurrent layer of ALIF neurons reads the features of a sentence and classifies its frames; without data it reads
spikes of two alternating patterns and tells them apart. It is trained for a moment, so that readout and learning signal
mean something. Shown is the neuron that has the most to learn, and three of its synapses with strong traces.

References:
    Bellec et al., Nat. Commun. 11:3625 (2020). W. van der Veen, arXiv 2201.07602 (2022).
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from snn_neuromod.figures import style
from snn_neuromod.figures.registry import Options
from snn_neuromod.layers import ALIF, LeakyReadout, Recurrent
from snn_neuromod.learning.eprop import traces

NEURONS = 60
REPEATS = 5
"""Steps per frame of speech, 1 ms each."""
FRAME_MS = 10.0
SENTENCE = 300
"""Frames of speech shown."""
UPDATES = 40
GAIN = 0.08
"""Scale of the features, of which each is held for several steps."""


class Task(NamedTuple):
    """A batch of sequences to classify step by step; the first is shown.

    Attributes:
        inputs: (T, batch, channels).
        targets: Class of each step, (T, batch).
        step_ms: Time between steps of the data, ms.
        segments: Start and end of each class in the first sequence, ms, and its name.
        unit: What the inputs are.
    """

    inputs: Tensor
    targets: Tensor
    step_ms: float
    segments: Sequence[tuple[float, float, str]]
    unit: str


class Traces(NamedTuple):
    """What the figure shows; time is the first axis.

    Attributes:
        time: ms, (T,).
        inputs: (T, channels).
        unit: What the inputs are.
        segments: Start, end and name of each class, ms.
        v: Membrane, (T,).
        threshold: (T,).
        spikes: (T,).
        synapses: Names of the synapses shown.
        eps_v: Their eligibility vectors, membrane, (T, synapse).
        eps_a: Adaptation, (T, synapse).
        e: Eligibility traces, (T, synapse).
        filtered: The same, filtered as the readout filters spikes.
        learning_signal: (T,).
    """

    time: NDArray[np.float64]
    inputs: NDArray[np.float64]
    unit: str
    segments: Sequence[tuple[float, float, str]]
    v: NDArray[np.float64]
    threshold: NDArray[np.float64]
    spikes: NDArray[np.float64]
    synapses: list[str]
    eps_v: NDArray[np.float64]
    eps_a: NDArray[np.float64]
    e: NDArray[np.float64]
    filtered: NDArray[np.float64]
    learning_signal: NDArray[np.float64]


def compute(data: str | os.PathLike[str] | None = None, *, seed: int = 0) -> Traces:
    """Train a small layer for a moment and record one neuron.

    Args:
        data: Folder of a speech corpus in TIMIT's conventions with Russian labels, or None for made-up spikes.
        seed: Seed of weights and spikes.

    Returns:
        What the figure shows.

    Raises:
        FileNotFoundError: If `data` holds no such corpus.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        task = made_up() if data is None else sentence(Path(data))
        classes = int(task.targets.max()) + 1
        layer = Recurrent(
            ALIF(NEURONS, tau_mem=20.0, tau_adapt=200.0, beta=0.2, v_th=0.6, refractory=2),
            task.inputs.shape[-1],
            learning_rule="eprop",
        )
        readout = LeakyReadout(NEURONS, classes, tau_out=20.0, normalise=True)
        with torch.no_grad():
            layer.w_rec.mul_(0.3)
        _train(layer, readout, task)
        return _record(layer, readout, task)


def made_up() -> Task:
    """Spikes of 40 inputs, of which the first or the second half fires, in turns of 100 ms."""
    turn, turns, batch, channels = 100, 6, 8, 40
    targets = torch.randint(2, (turns, batch)).index_put(
        (torch.arange(turns), torch.zeros(turns, dtype=torch.long)), torch.arange(turns) % 2
    )
    targets = targets.repeat_interleave(turn, 0)
    active = (torch.arange(channels) >= channels // 2) == targets[..., None].bool()
    inputs = (torch.rand(active.shape) < torch.where(active, 0.06, 0.01)).float()
    segments = [(t * turn, (t + 1) * turn, "AB"[t % 2]) for t in range(turns)]
    return Task(inputs, targets, 1.0, segments, "input neuron")


def sentence(root: Path) -> Task:
    """Features of the first three seconds of sentences, and their phones."""
    from snn_neuromod.data.phones import PhoneFrames, TimitFolder

    corpus = TimitFolder(root, labels="russian")
    frames = PhoneFrames(corpus, "train", cache=False)
    chosen = (frames.lengths - SENTENCE).abs().argsort(stable=True)[:8]
    length = min(SENTENCE, int(frames.lengths[chosen].min()))
    batch = frames.batch(chosen, torch.zeros_like(chosen), torch.full_like(chosen, length))
    labels = batch.labels[:, 0].tolist()
    changes = [0, *(t for t in range(1, length) if labels[t] != labels[t - 1]), length]
    segments = [
        (a * FRAME_MS, b * FRAME_MS, frames.classes[labels[a]])
        for a, b in itertools.pairwise(changes)
    ]
    inputs = GAIN * batch.features.repeat_interleave(REPEATS, 0)
    targets = batch.labels.repeat_interleave(REPEATS, 0)
    return Task(inputs, targets, FRAME_MS / REPEATS, segments, "MFCC channel")


def _loss(targets: Tensor, y: Tensor) -> Tensor:
    return functional.cross_entropy(y.flatten(0, 1), targets.flatten(), reduction="sum")


def _train(layer: Recurrent, readout: LeakyReadout, task: Task) -> None:
    optimiser = torch.optim.Adam([*layer.parameters(), *readout.parameters()], lr=0.01)
    for _ in range(UPDATES):
        optimiser.zero_grad()
        y, _ = readout(layer(task.inputs)[0])
        loss = _loss(task.targets, y) / task.targets.numel()
        loss.backward()
        optimiser.step()


def _record(layer: Recurrent, readout: LeakyReadout, task: Task) -> Traces:
    x, targets = task.inputs[:, :1], task.targets[:, :1]

    def loss(y: Tensor, spikes: Tensor) -> Tensor:
        return _loss(targets, y)

    gradient = traces.gradients(layer, readout, x, loss)
    both = torch.cat([gradient["layer.w_in"], gradient["layer.w_rec"]], 1)
    rate = layer(x)[0].mean((0, 1))
    lively = both.norm(dim=1) * (rate - rate.median()).abs().lt(
        0.02
    )  # neither silent nor at its limit
    neuron = int(lively.argmax())
    inputs = task.inputs.shape[-1]
    strongest = both[neuron].abs().argsort(descending=True).tolist()
    chosen = [
        *[i for i in strongest if i < inputs][:2],
        *[i for i in strongest if i >= inputs][:1],
    ]
    record = traces.record(layer, readout, x, loss, neurons=[neuron])
    params = layer.neuron.params()

    def of(trace: Tensor) -> NDArray[np.float64]:
        return trace[:, 0, 0, chosen].double().numpy()

    state = record.state
    return Traces(
        time=np.arange(len(x), dtype=np.float64) * task.step_ms,
        inputs=x[:, 0].double().numpy(),
        unit=task.unit,
        segments=task.segments,
        v=state.v[:, 0, 0].double().numpy(),
        threshold=(params.v_th + params.beta * state.a[:, 0, 0]).double().numpy(),
        spikes=record.spikes[:, 0, 0].double().numpy(),
        synapses=[f"input {i + 1}" if i < inputs else f"neuron {i - inputs + 1}" for i in chosen],
        eps_v=of(record.eps["v"]),
        eps_a=of(record.eps["a"]),
        e=of(record.e),
        filtered=of(record.filtered[0]),
        learning_signal=record.learning_signal[0][:, 0, 0].double().numpy(),
    )


def eprop_traces(options: Options) -> Any:
    """The whole figure."""
    return draw(compute(options.data, seed=options.seed))


def draw(found: Traces) -> Any:
    """Draw what `compute` found.

    Returns:
        A matplotlib figure.
    """
    figure, axes = style.panels(7, heights=[1.1, 1.3, 0.8, 0.8, 0.8, 0.8, 0.8])
    colours = (style.BLUE, style.ORANGE, style.GREEN)
    top, membrane, *rest, signal = axes
    step = found.time[1] - found.time[0]
    extent = (found.time[0], found.time[-1] + step, 0.5, found.inputs.shape[1] + 0.5)
    largest = np.abs(found.inputs).max()
    low = 0.0 if found.inputs.min() >= 0 else -largest
    image = {"aspect": "auto", "origin": "lower", "interpolation": "nearest"}
    shades = "Greys" if low == 0 else "PuOr"
    top.imshow(found.inputs.T, extent=extent, cmap=shades, vmin=low, vmax=largest, **image)
    style.label(top, found.unit)
    for k, (start, end, name) in enumerate(found.segments):
        above = ((start + end) / 2, 1.02 + 0.1 * (k % 2))
        top.annotate(name, above, xycoords=("data", "axes fraction"), ha="center", fontsize=6)
        for ax in axes:
            ax.axvline(start, color=style.GREY, linewidth=0.3, alpha=0.5)
    membrane.plot(found.time, found.v, color=style.BLUE, linewidth=0.8, label="membrane v")
    membrane.plot(
        found.time, found.threshold, color=style.VERMILION, linewidth=0.8, label="threshold A"
    )
    fired = found.time[found.spikes > 0]
    height = max(found.threshold.max(), found.v.max()) * 1.1
    membrane.plot(
        fired, np.full_like(fired, height), "|", color="black", markersize=5, label="spike"
    )
    style.label(membrane, "membrane\n(a.u.)")
    shown = (found.eps_v, found.eps_a, found.e, found.filtered)
    names = (
        "$\\epsilon^v$\n(a.u.)",
        "$\\epsilon^a$\n(spikes/a.u.)",
        "trace $e$\n(spikes/a.u.)",
        "filtered $\\bar e$\n(spikes/a.u.)",
    )
    for ax, values, name in zip(rest, shown, names, strict=True):
        for synapse, colour, line in zip(found.synapses, colours, values.T, strict=True):
            ax.plot(found.time, line, color=colour, linewidth=0.8, label=f"from {synapse}")
        style.label(ax, name)
    signal.axhline(0, color=style.GREY, linewidth=0.5)
    signal.plot(found.time, found.learning_signal, color=style.PURPLE, linewidth=0.8)
    style.label(signal, "learning signal\n(nats/spike)")
    signal.set_xlabel("time (ms)", fontsize=8)
    signal.set_xlim(extent[0], extent[1])
    for ax in (membrane, rest[0]):
        ax.legend(fontsize=6, ncols=3, loc="upper right", frameon=False, bbox_to_anchor=(1, 1.22))
    return figure
