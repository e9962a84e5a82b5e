"""e-prop here gives the losses that NEST's test asserts of NEST and of the TensorFlow code of Bellec et al. (2020).

The losses are facts of `test_eprop_bsshslm_2020_plasticity.py` in NEST 3.10. Learning goes on for five iterations, so
that each loss but the first depends on every weight's gradient before it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from tests.learning.nest_tasks import (
    RECALL,
    Network,
    Trial,
    evidence,
    evidence_network,
    regression,
)

REGRESSION_NEST = [
    101.964356999041,
    103.466731126205,
    103.340607074771,
    103.680244037686,
    104.412775748752,
]
REGRESSION_TENSORFLOW = [
    101.964363098144,
    103.466735839843,
    103.340606689453,
    103.680244445800,
    104.412780761718,
]
EVIDENCE_NEST = {
    1: [0.741152550006, 0.740388187700, 0.665785233177, 0.663644193322, 0.729428962844],
    2: [0.702163370672, 0.735555303152, 0.740354864111, 0.683882815282, 0.707841122268],
}
EVIDENCE_TENSORFLOW = [
    0.741152524948,
    0.740388214588,
    0.665785133838,
    0.663644134998,
    0.729429066181,
]


def legacy(seed: int = 1) -> Any:
    """The generator behind `np.random.seed`."""
    return np.random.RandomState(seed)


def rate_loss(spikes: Tensor) -> Tensor:
    """NEST's c_reg = 300 on the distance of each neuron's rate in each trial from 10 Hz."""
    return 0.5 * 300 * (spikes.mean(0) - 0.01).square().sum()


def regress(net: Network, trial: Trial) -> tuple[Tensor, Tensor, Tensor]:
    spikes, _ = net.layer(trial.x)
    y, _ = net.readout(spikes)
    loss = 0.5 * (y - trial.target).square().sum()
    return loss, loss + rate_loss(spikes), spikes


def classify(net: Network, trial: Trial) -> tuple[Tensor, Tensor, Tensor]:
    """Cross-entropy of the last 150 steps; what is learned from is its sum and the rates', over 150 and the batch."""
    spikes, _ = net.layer(trial.x)
    y, _ = net.readout(spikes)
    scores = y[-RECALL:].flatten(0, 1)
    target = trial.target.expand(RECALL, -1).flatten()
    total = functional.cross_entropy(scores, target, reduction="sum")
    learned = (total + rate_loss(spikes)) / (RECALL * len(trial.target))
    return total / len(target), learned, spikes


class GradientDescent:
    def step(self, gradient: Tensor) -> Tensor:
        return 1e-4 * gradient


class Adam:
    """TensorFlow's: its epsilon is added before the correction of the bias, other than in torch.optim.Adam."""

    def __init__(self) -> None:
        self.m: Any = 0.0
        self.v: Any = 0.0
        self.t = 0

    def step(self, gradient: Tensor) -> Tensor:
        self.t += 1
        self.m = 0.9 * self.m + 0.1 * gradient
        self.v = 0.999 * self.v + 0.001 * gradient**2
        rate = 5e-3 * (1 - 0.999**self.t) ** 0.5 / (1 - 0.9**self.t)
        found: Tensor = rate * self.m / (self.v.sqrt() + 1e-8)
        return found


def losses(
    net: Network, trials: list[Trial], task: Any, optimiser: type
) -> tuple[list[float], int]:
    """Loss of each iteration while the network learns, and the spikes of all."""
    optimisers = [optimiser() for _ in net.parameters()]
    found, count = [], 0
    for trial in trials:
        loss, learned, spikes = task(net, trial)
        gradients = torch.autograd.grad(learned, net.parameters())
        with torch.no_grad():
            for parameter, gain, gradient, by in zip(
                net.parameters(), net.gains(), gradients, optimisers, strict=True
            ):
                parameter -= gain * by.step(gain * gradient)
        found.append(loss.item())
        count += int(spikes.sum())
    return found, count


def test_regression() -> None:
    net, trial = regression(legacy())
    found, spikes = losses(net, [trial] * 5, regress, GradientDescent)
    np.testing.assert_allclose(found, REGRESSION_TENSORFLOW, rtol=1e-7)
    np.testing.assert_allclose(found, REGRESSION_NEST, rtol=1e-11)
    assert spikes > 10_000


@pytest.mark.parametrize("batch", [1, 2])
def test_evidence_accumulation(batch: int) -> None:
    rng = legacy()
    net = evidence_network(rng)
    trials = [evidence(rng, batch) for _ in range(5)]
    found, spikes = losses(net, trials, classify, Adam)
    np.testing.assert_allclose(found, EVIDENCE_NEST[batch], rtol=1e-11)
    if batch == 1:
        np.testing.assert_allclose(found, EVIDENCE_TENSORFLOW, rtol=1e-6)
    assert spikes > 10_000 * batch


@pytest.mark.parametrize("rule", ["bptt", "none"])
def test_other_rules_have_other_losses(rule: Any) -> None:
    """Negative control: backpropagation through time, and no learning, leave the published losses at once."""
    net, trial = regression(legacy())
    optimiser: Any = GradientDescent
    if rule == "none":
        optimiser = type("Nothing", (), {"step": lambda self, gradient: 0 * gradient})
    else:
        net.layer.learning_rule = rule
    found, _ = losses(net, [trial] * 5, regress, optimiser)
    np.testing.assert_allclose(found[0], REGRESSION_NEST[0], rtol=1e-11)
    assert (np.abs(np.array(found[1:]) / REGRESSION_NEST[1:] - 1) > 1e-4).all()
