"""This package's layers."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from snn_neuromod import ALIF, Izhikevich, LeakyReadout, Psi, Recurrent, SpikeLinear, kernels
from snn_neuromod.benchmarks.outcome import Outcome, Run
from snn_neuromod.benchmarks.peers.reference import src, without_diagonal
from snn_neuromod.benchmarks.peers.torch_tools import backward, tensors
from snn_neuromod.benchmarks.problems import GIVEN, INPUTS, OUTPUTS, Problem
from snn_neuromod.learning.eprop import OnlineEprop

__all__ = ["in_bytes", "plain", "w1", "w2", "w3", "w4", "w5", "w6"]


def plain(problem: Problem, workload: str) -> Run:
    """A workload without the C kernels, in plain PyTorch."""
    run = globals()[workload](problem)

    def eager() -> Outcome:
        with kernels.use("eager"):
            outcome: Outcome = run()
        return outcome

    return eager


def in_bytes(problem: Problem, workload: str) -> Run:
    """A workload whose input spikes come as bytes."""
    run: Run = globals()[workload](problem, as_bytes=True)
    return run


def w1(problem: Problem) -> Run:
    """SRC layer."""
    t, layer = tensors(problem, ["current"]), src(problem)

    def run() -> Outcome:
        out, _ = layer(t["current"])
        return backward(out, t["cotangent"], [layer.b, t["current"]])

    return run


def w2(problem: Problem, *, as_bytes: bool = False) -> Run:
    """Linear layer and LIF neurons."""
    t, c = tensors(problem), problem.constants
    n = problem.size.neurons
    linear = SpikeLinear(n, n, bias=False, device="meta")
    linear.weight = torch.nn.Parameter(t["weight"])
    x = t["x"].byte() if as_bytes else t["x"]
    layer = ALIF(
        problem.size.neurons,
        tau_mem=-1 / math.log(c["alpha"]),
        beta=0.0,
        v_th=c["v_th"],
        detach_reset=True,
        psi=Psi("fast_sigmoid", gamma=1.0, width=1 / c["slope"], scale="none"),
    ).to(problem.device)

    def run() -> Outcome:
        out, _ = layer(linear(x))
        return backward(out, t["cotangent"], [linear.weight])

    return run


def _recurrent(problem: Problem, rule: Any) -> Recurrent:
    c = problem.constants
    neuron = ALIF(
        problem.size.neurons,
        tau_mem=-1 / math.log(c["alpha"]),
        tau_adapt=-1 / math.log(c["rho"]),
        beta=c["beta"],
        v_th=c["v_th"],
        psi=Psi(gamma=c["gamma"]),
        detach_reset=rule == "eprop",
    )
    layer = Recurrent(neuron, INPUTS, learning_rule=rule).to(problem.device)
    _load(problem, w_in=layer.w_in, w_rec=layer.w_rec)
    return layer


def _load(problem: Problem, **parameters: torch.nn.Parameter) -> None:
    for name, parameter in parameters.items():
        parameter.data = tensors(problem)[name]


def w3(problem: Problem, *, as_bytes: bool = False) -> Run:
    """Recurrent ALIF, backpropagation through time."""
    t, layer = tensors(problem), _recurrent(problem, "bptt")
    x = t["x"].byte() if as_bytes else t["x"]

    def run() -> Outcome:
        out, _ = layer(x)
        return backward(out, t["cotangent"], [layer.w_in, layer.w_rec])

    return run


def _readout(problem: Problem) -> LeakyReadout:
    tau = -1 / math.log(problem.constants["kappa"]) if problem.constants["kappa"] else 1e-3
    readout = LeakyReadout(problem.size.neurons, OUTPUTS, tau_out=tau, bias=False)
    readout.to(problem.device)
    _load(problem, w_out=readout.w_out)
    return readout


def w4(problem: Problem, *, as_bytes: bool = False) -> Run:
    """Recurrent ALIF with a leaky readout, e-prop in its factorised form."""
    t, layer, readout = tensors(problem), _recurrent(problem, "eprop"), _readout(problem)
    learned = [layer.w_in, layer.w_rec, readout.w_out]
    x = t["x"].byte() if as_bytes else t["x"]

    def run() -> Outcome:
        spikes, _ = layer(x)
        y, _ = readout(spikes)
        return backward(y, t["cotangent"], learned, spikes.detach())

    return run


def w5(problem: Problem) -> Run:
    """Online e-prop in segments, the input made as it goes: memory that does not grow with T."""
    layer, readout = _recurrent(problem, "eprop"), _readout(problem)
    learned = [layer.w_in, layer.w_rec, readout.w_out]
    steps, batch, *_ = problem.size
    length = min(int(problem.constants["segment"]), steps)
    generator = torch.Generator(problem.device).manual_seed(0)
    given = tensors(problem) if steps <= GIVEN else None

    def segment(start: int) -> tuple[Tensor, Tensor]:
        if given is not None:
            return given["x"][start : start + length], given["cotangent"][start : start + length]
        options: Any = {"device": problem.device, "generator": generator}
        x = (torch.rand(length, batch, INPUTS, **options) < 0.1).float()
        return x, torch.randn(length, batch, OUTPUTS, **options)

    def run() -> Outcome:
        online = OnlineEprop(layer, readout)
        for weight in learned:
            weight.grad = None
        for start in range(0, steps, length):
            x, cotangent = segment(start)
            y, spikes = online.segment(x)
            (y * cotangent).sum().backward()
        gradients = [weight.grad for weight in learned]
        return without_diagonal(Outcome(gradients, spikes.detach()))

    return run


def w6(problem: Problem) -> Run:
    """Izhikevich layer."""
    t, c = tensors(problem, ["current"]), problem.constants
    layer = Izhikevich(
        problem.size.neurons, a=c["a"], b=c["b"], c=c["c"], d=c["d"], dt=c["dt"], v_init=c["c"]
    ).to(problem.device)

    def run() -> Outcome:
        out, _ = layer(t["current"])
        return backward(out, t["cotangent"], [t["current"]])

    return run
