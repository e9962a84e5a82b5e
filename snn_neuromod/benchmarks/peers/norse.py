"""Norse: modules over whole sequences, a loop over its functional steps inside."""

from __future__ import annotations

from typing import Any

import norse.torch as norse
import torch
from norse.torch.functional import izhikevich
from torch import nn
from torch.nn import functional

from snn_neuromod.benchmarks.outcome import Outcome, Run
from snn_neuromod.benchmarks.peers.torch_tools import backward, tensors
from snn_neuromod.benchmarks.problems import INPUTS, Problem

__all__ = ["w2", "w3", "w6"]


def _number(value: float) -> Any:
    return torch.as_tensor(value)


def w2(problem: Problem) -> Run:
    """A product for all steps and `LIF`, which has a synaptic current."""
    t, c = tensors(problem), problem.constants
    leak = 1 - c["alpha"]
    p = norse.LIFParameters(
        tau_syn_inv=_number(1000.0), tau_mem_inv=_number(1000 * leak), v_th=_number(c["v_th"])
    )
    weight = (t["weight"] / leak).requires_grad_()  # the current is weighted by the leak
    layer = norse.LIF(p=p).to(problem.device)

    def run() -> Outcome:
        out, _ = layer(functional.linear(t["x"], weight))
        return backward(out, t["cotangent"], [weight])

    return run


def w3(problem: Problem) -> Run:
    """`LSNNRecurrent`: synaptic current, reset to zero, threshold that decays towards its rest."""
    t = tensors(problem)
    p = norse.LSNNParameters(
        tau_syn_inv=_number(200.0),
        tau_mem_inv=_number(50.0),
        tau_adapt_inv=_number(5.0),
        v_th=_number(0.15),
        beta=_number(0.03),
    )
    layer = norse.LSNNRecurrent(INPUTS, problem.size.neurons, p=p).to(problem.device)
    layer.input_weights, layer.recurrent_weights = (
        nn.Parameter(t[name]) for name in ("w_in", "w_rec")
    )

    def run() -> Outcome:
        out, _ = layer(t["x"])
        return backward(out, t["cotangent"], [layer.input_weights, layer.recurrent_weights])

    return run


def w6(problem: Problem) -> Run:
    """`Izhikevich`: reset within the step, pseudo-derivative of SuperSpike."""
    t, c = tensors(problem, ["current"]), problem.constants
    p = izhikevich.IzhikevichParameters(c["a"], c["b"], c["c"], c["d"], tau_inv=1000 * c["dt"])
    rest = torch.full_like(t["current"][0], c["c"])
    start = izhikevich.IzhikevichState(rest, c["b"] * rest)
    layer = norse.Izhikevich(izhikevich.IzhikevichSpikingBehavior(p, start))

    def run() -> Outcome:
        out, _ = layer(t["current"], start)
        return backward(out, t["cotangent"], [t["current"]])

    return run
