"""The C kernels against the eager backend: the same layers, forward and backward."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from snn_neuromod import kernels
from snn_neuromod.benchmarks.workloads import Comparison, Workload
from snn_neuromod.layers import ALIF, STDPALIF, Izhikevich, Layer, LeakyIntegrator


def _compare(
    title: str, layer: Layer, current: Tensor, through_time: bool | None = None
) -> Workload:
    """Both backends on one layer, without recurrent weights if `through_time` is None."""
    current = current.requires_grad_()
    grad = torch.randn_like(current)
    state = layer.initial_state(current[0].detach())
    num = current.shape[-1]
    w_rec = (torch.randn(num, num) / num**0.5).fill_diagonal_(0.0).requires_grad_()
    before = torch.zeros_like(current[0])

    def run(backend: Any) -> Tensor:
        with kernels.use(backend):
            if through_time is None:
                out, _ = layer(current)
                return torch.autograd.grad(out, current, grad)[0]
            out, _ = layer.forward_recurrent(
                current, state, w_rec, before, through_time=through_time
            )
            return torch.autograd.grad(out, [current, w_rec], grad)[0]

    return Workload(title, partial(run, "eager"), partial(run, "c"))


def _recurrent(
    make: Callable[[int], Layer], num_neurons: int, rule: str, num_steps: int
) -> Workload:
    layer = make(num_neurons)
    if isinstance(layer, Izhikevich):
        current = 10 + 10 * torch.randn(num_steps, 32, num_neurons)
    else:
        current = 0.25 * torch.randn(num_steps, 32, num_neurons) + 0.05
    title = f"recurrent {type(layer).__name__}, {rule}, T200 B32 N{num_neurons}, eager / C"
    return _compare(title, layer, current, rule == "BPTT")


def _izhikevich(num_steps: int) -> Workload:
    current = 10 * torch.rand(num_steps, 32, 512)
    return _compare("Izhikevich, T1000 B32 N512, eager / C", Izhikevich(512, dt=0.5), current)


def _readout(num_steps: int) -> Workload:
    current = torch.randn(num_steps, 32, 61)
    return _compare("leaky integrator, T200 B32 N61, eager / C", LeakyIntegrator(61), current)


COMPARISONS = [
    *(
        Comparison(partial(_recurrent, ALIF, n, rule), 200)
        for n in (256, 100)
        for rule in ("BPTT", "e-prop")
    ),
    Comparison(partial(_recurrent, STDPALIF, 100, "e-prop"), 200),
    Comparison(partial(_recurrent, Izhikevich, 100, "e-prop"), 200),
    Comparison(_izhikevich, 1000),
    Comparison(_readout, 200),
]
