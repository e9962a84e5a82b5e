"""Live recurrent layers with a readout, and the oracle of e-prop: plain autograd with the recurrent spikes detached."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

import snn_neuromod as nm
from snn_neuromod.dynamics import scan
from snn_neuromod.learning.eprop import OnlineEprop, rule

INPUTS, NEURONS, OUTPUTS, BATCH, STEPS = 3, 5, 3, 2, 20


@dataclass(frozen=True)
class Problem:
    """A neuron with options, the scale of its input, and options of layer and readout."""

    neuron: Any
    label: str
    options: Mapping[str, Any] = field(default_factory=dict)
    drive: float = 0.6
    spread: float = 0.5
    readout: Mapping[str, Any] = field(default_factory=dict)
    layer: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.neuron.__name__}-{self.label}"

    def make(self, learning_rule: Any = "eprop") -> tuple[nm.Recurrent, nm.LeakyReadout]:
        torch.manual_seed(0)
        neuron = self.neuron(NEURONS, **self.options)
        layer = nm.Recurrent(neuron, INPUTS, learning_rule=learning_rule, **self.layer).double()
        options = {"tau_out": 5.0, "dt": self.options.get("dt", 1.0), **self.readout}
        readout = nm.LeakyReadout(NEURONS, OUTPUTS, **options).double()
        with torch.no_grad():
            layer.w_in.mul_(self.spread).add_(2 * self.drive / INPUTS)
            layer.w_rec.mul_(self.spread)
        return layer, readout


def sequence(batch: int = BATCH, num_steps: int = STEPS) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.rand(num_steps, batch, INPUTS, generator=generator, dtype=torch.float64)


def loss_from(start: int) -> rule.Loss:
    """Loss of a piece of the sequence that begins at `start`: of the outputs, and a little of the spikes."""

    def loss(y: Tensor, spikes: Tensor) -> Tensor:
        t = torch.arange(start, start + len(y))[:, None, None]
        target = torch.sin(0.3 * t + torch.arange(OUTPUTS))
        by_neuron = torch.linspace(0.1, 1, spikes.shape[-1], dtype=spikes.dtype)
        return (y - target).square().sum() + (torch.cos(t) * by_neuron * spikes).sum()

    return loss


def oracle(
    layer: Any, readout: nm.LeakyReadout, x: Tensor, *, hops: int | None = 0
) -> tuple[Tensor, dict[str, Tensor]]:
    """Spikes and gradient by the reference scan under autograd."""
    w_in, w_rec = layer.weights()
    current, neuron = x @ w_in.T, layer.neuron
    spikes, _ = scan(
        neuron.dynamics.step, neuron.params(x.dtype), neuron.initial_state(current[0]), current,
        w_rec=w_rec, delay=layer.delay, hops=hops, **neuron.step_options(),
    )  # fmt: skip
    parameters = rule.learned(layer, readout)
    loss = loss_from(0)(readout(spikes)[0], spikes)
    grads = torch.autograd.grad(loss, list(parameters.values()))
    return spikes.detach(), dict(zip(parameters, grads, strict=True))


def online(layer: Any, readout: nm.LeakyReadout, x: Tensor, length: int) -> dict[str, Tensor]:
    """Gradient summed up over segments."""
    parameters, run = rule.learned(layer, readout), OnlineEprop(layer, readout)
    for p in parameters.values():
        p.grad = None
    for start in range(0, len(x), length):
        y, spikes = run.segment(x[start : start + length])
        loss_from(start)(y, spikes).backward()
    return {n: torch.zeros_like(p) if p.grad is None else p.grad for n, p in parameters.items()}


def assert_live(spikes: Tensor) -> None:
    fired = (spikes > 0.5).flatten(0, -2)
    assert fired.any(0).sum() > 1, "silent neurons: the test would be vacuous"
    assert not fired.all(0).any(), "neurons that always fire"


def distance(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> dict[str, float]:
    """Relative distance by parameter."""
    assert list(found) == list(expected)
    for name, grad in expected.items():
        assert grad.norm() > 0, f"no gradient of {name}: nothing tested"
    return {n: ((found[n] - g).norm() / g.norm()).item() for n, g in expected.items()}
