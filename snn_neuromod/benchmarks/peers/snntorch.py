"""snnTorch: one module call per step, in a loop."""

from __future__ import annotations

import snntorch
import torch
from snntorch import surrogate
from torch import nn
from torch.nn import functional

from snn_neuromod.benchmarks.outcome import Outcome, Run
from snn_neuromod.benchmarks.peers.torch_tools import backward, tensors
from snn_neuromod.benchmarks.problems import Problem

__all__ = ["w2", "w3"]


def w2(problem: Problem) -> Run:
    """`nn.Linear` and `Leaky` in a loop; its reset acts one step later, as here."""
    t, c = tensors(problem, ["weight"]), problem.constants
    neuron = snntorch.Leaky(
        c["alpha"], threshold=c["v_th"], spike_grad=surrogate.fast_sigmoid(slope=int(c["slope"]))
    ).to(problem.device)

    def run() -> Outcome:
        mem, spikes = neuron.reset_mem(), []
        for x in t["x"]:
            spike, mem = neuron(functional.linear(x, t["weight"]), mem)
            spikes.append(spike)
        return backward(torch.stack(spikes), t["cotangent"], [t["weight"]])

    return run


def w3(problem: Problem) -> Run:
    """`nn.Linear` and `RLeaky` in a loop."""
    t, c = tensors(problem, ["w_in"]), problem.constants
    neuron = snntorch.RLeaky(
        c["alpha"],
        linear_features=problem.size.neurons,
        threshold=1.6 * c["v_th"],
        spike_grad=surrogate.fast_sigmoid(slope=25),
    ).to(problem.device)
    neuron.recurrent.weight = nn.Parameter(t["w_rec"])

    def run() -> Outcome:
        (spike, mem), spikes = neuron.reset_mem(), []
        for x in t["x"]:
            spike, mem = neuron(functional.linear(x, t["w_in"]), spike, mem)
            spikes.append(spike)
        learned = [t["w_in"], neuron.recurrent.weight]
        return backward(torch.stack(spikes), t["cotangent"], learned)

    return run
