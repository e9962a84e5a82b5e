"""Sinabs: batch first, a loop over its functional step inside."""

from __future__ import annotations

import math

import torch
from sinabs import activation, layers
from torch.nn import functional

from snn_neuromod.benchmarks.outcome import Outcome, Run
from snn_neuromod.benchmarks.peers.torch_tools import backward, tensors
from snn_neuromod.benchmarks.problems import Problem

__all__ = ["w2"]


def w2(problem: Problem) -> Run:
    """A product for all steps and `LIF` with single spikes; reset by subtraction within the step."""
    t, c = tensors(problem, ["weight"]), problem.constants
    layer = layers.LIF(
        tau_mem=-1 / math.log(c["alpha"]),
        spike_threshold=torch.tensor(c["v_th"]),
        spike_fn=activation.SingleSpike,
        norm_input=False,
    ).to(problem.device)
    layer.tau_mem.requires_grad_(False)
    x, cotangent = (t[name].transpose(0, 1).contiguous() for name in ("x", "cotangent"))

    def run() -> Outcome:
        layer.reset_states()
        out = layer(functional.linear(x, t["weight"]))
        return backward(out, cotangent, [t["weight"]])

    return run
