"""Workloads: the same sequence, forward and backward, by the reference scan under autograd and by the layer."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from snn_neuromod import dynamics
from snn_neuromod.layers import ALIF, SRC, Izhikevich, Layer


class Workload(NamedTuple):
    """One comparison.

    Attributes:
        title: What runs.
        reference: Forward and backward through the reference scan; returns the gradient of the input.
        layer: The same through the layer.
        oracle: What the layer must agree with where the reference computes something else; None: the reference.
    """

    title: str
    reference: Callable[[], Tensor]
    layer: Callable[[], Tensor]
    oracle: Callable[[], Tensor] | None = None


def _compare(title: str, layer: Layer, current: Tensor, w_rec: Tensor | None = None) -> Workload:
    current = current.requires_grad_()
    grad = torch.randn_like(current)
    state = layer.initial_state(current[0].detach())
    spikes = None if w_rec is None else torch.zeros_like(current[0])
    weights = [] if w_rec is None else [w_rec.requires_grad_()]

    def finish(out: Tensor) -> Tensor:
        inputs = [current, *layer.parameters(), *weights]
        return torch.autograd.grad(out, inputs, grad)[0]

    def reference() -> Tensor:
        out, _ = dynamics.scan(
            layer.dynamics.step,
            layer.params(),
            state,
            current,
            w_rec=w_rec,
            spikes=spikes,
            **layer.step_options(),
        )
        return finish(out)

    def fast() -> Tensor:
        if w_rec is None or spikes is None:
            return finish(layer(current)[0])
        return finish(layer.forward_recurrent(current, state, w_rec, spikes, through_time=True)[0])

    return Workload(title, reference, fast)


def _src(num_steps: int, detach_recurrence: bool) -> Workload:
    layer = SRC(512, b=-5.0, learn=["b"], detach_recurrence=detach_recurrence)
    kind = "gradient of the source" if detach_recurrence else "all gradients"
    return _compare(f"SRC, {kind}, T200 B64 N512", layer, torch.randn(num_steps, 64, 512))


def _recurrent_alif(num_steps: int) -> Workload:
    current = 0.25 * torch.randn(num_steps, 32, 256) + 0.05
    w_rec = (torch.randn(256, 256) / 16).fill_diagonal_(0.0)
    return _compare(
        "recurrent ALIF, BPTT, T200 B32 N256", ALIF(256, learn=["beta"]), current, w_rec
    )


def _izhikevich(num_steps: int) -> Workload:
    current = 10 * torch.rand(num_steps, 32, 512)
    return _compare("Izhikevich, T1000 B32 N512", Izhikevich(512, dt=0.5), current)


class Comparison(NamedTuple):
    """How a workload is made.

    Attributes:
        make: Makes it for a number of steps.
        num_steps: Number of steps to time.
    """

    make: Callable[[int], Workload]
    num_steps: int


COMPARISONS: dict[str, list[Comparison]] = {
    "W1": [Comparison(partial(_src, detach_recurrence=detach), 200) for detach in (True, False)],
    "W3": [Comparison(_recurrent_alif, 200)],
    "W6": [Comparison(_izhikevich, 1000)],
}
"""Layers against the reference scan, by the name of the workload."""
