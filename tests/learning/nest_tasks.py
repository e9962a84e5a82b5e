"""The two tasks of NEST's test of e-prop, drawn again from their seed, in this package's conventions.

Source of all constants and of the order of draws: NEST 3.10, `test_eprop_bsshslm_2020_plasticity.py`, after G. Bellec
et al., Nat. Commun. 11:3625 (2020), and the TensorFlow code of its authors.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import snn_neuromod as nm

Array = NDArray[np.float64]


class Trial(NamedTuple):
    """Input spikes (T, batch, input) and target, (T, batch, 1) of a regression or the class (batch,)."""

    x: Tensor
    target: Tensor


@dataclass
class Network:
    """A recurrent layer and its readout, with the factor by which NEST weighs what comes in.

    Attributes:
        layer: The neurons, learning by e-prop.
        readout: Normalised, without bias, with random feedback.
        gain: NEST's weights times this are the layer's: 1 - alpha where "regular_spike_arrival" is off.
    """

    layer: nm.Recurrent
    readout: nm.LeakyReadout
    gain: float = 1.0

    def parameters(self) -> list[nn.Parameter]:
        return [self.layer.w_in, self.layer.w_rec, self.readout.w_out]

    def gains(self) -> list[float]:
        return [self.gain, self.gain, 1.0]


def drawn(rng: Any, scale: float, rows: int, columns: int) -> Array:
    """Weights of the standard normal distribution, rounded to float32 as NEST's test does."""
    found: Array = (rng.standard_normal((rows, columns)) * scale).astype(np.float32).astype(float)
    return found


def network(
    neuron: Any,
    w_in: Array,
    w_rec: Array,
    w_out: Array,
    b: Array,
    tau_out: float,
    gain: float = 1.0,
) -> Network:
    """A network with these weights, (neuron, ...), and feedback (output, neuron), in float64."""
    n, inputs = w_in.shape
    layer = nm.Recurrent(neuron, inputs, learning_rule="eprop").double()
    readout = nm.LeakyReadout(
        n, len(w_out), tau_out=tau_out, feedback="random", bias=False, normalise=True
    ).double()
    np.fill_diagonal(w_rec, 0.0)
    with torch.no_grad():
        for parameter, value in (
            (layer.w_in, gain * w_in),
            (layer.w_rec, gain * w_rec),
            (readout.w_out, w_out),
            (readout.b_feedback, b),
        ):
            parameter.copy_(torch.as_tensor(value))  # type: ignore[union-attr]
    return Network(layer, readout, gain)


def exact(value: float) -> Tensor:
    """A parameter that keeps its 16 digits."""
    return torch.tensor(value, dtype=torch.float64)


def regression(rng: Any) -> tuple[Network, Trial]:
    """A sum of four sines from 100 LIF neurons, the same trial again and again."""
    n, steps, tau, v_th = 100, 1000, 30.0, 0.03
    w_in = drawn(rng, 0.1, n, n).T
    w_rec = drawn(rng, 0.1, n, n).T.copy()
    w_out = drawn(rng, 0.1, n, 1).T
    b = drawn(rng, 0.1, n, 1).T
    x = rng.random_sample((steps, n)) < 0.05
    x[0] = False
    amplitudes, phases = rng.uniform(0.5, 2.0, 4), rng.uniform(0.0, 2 * np.pi, 4)
    target = np.zeros(steps)
    for amplitude, phase, period in zip(amplitudes, phases, (1000, 500, 333, 200), strict=True):
        turns = 2 * np.pi * (steps // period)
        target += amplitude * np.sin(np.linspace(phase, phase + turns, steps))
    target -= target[0]
    target /= np.abs(target).max()
    neuron = nm.ALIF(n, tau_mem=exact(tau), v_th=exact(v_th), beta=0.0, detach_reset=True)
    gain = 1 - math.exp(-1 / tau)
    trial = Trial(torch.as_tensor(x[:, None].astype(float)), torch.as_tensor(target[:, None, None]))
    return network(neuron, w_in, w_rec, w_out, b, tau, gain), trial


CUES, CUE, SPACING, NOISE, RECALL = 7, 100, 50, 1050, 150
SEQUENCE = CUES * (CUE + SPACING) + NOISE + RECALL


def evidence_network(rng: Any) -> Network:
    """50 LIF and 50 ALIF neurons; `t_ref` = 5 ms of NEST is `refractory` = 4: held for t_ref / dt - 1 steps."""
    n, inputs, outputs, tau, tau_adapt = 100, 40, 2, 20.0, 2000.0
    w_in = drawn(rng, 1 / np.sqrt(inputs), inputs, n).T
    w_rec = drawn(rng, 0.1, n, n).T.copy()
    limit = np.sqrt(3 * 2 / (n + outputs))
    w_out = rng.uniform(-limit, limit, (n, outputs)).astype(np.float32).astype(float).T
    b = drawn(rng, 1.0, n, outputs).T
    beta = 1.7 * (1 - math.exp(-1 / tau_adapt)) / (1 - math.exp(-1 / tau))
    neuron = nm.ALIF(
        n, tau_mem=exact(tau), tau_adapt=exact(tau_adapt), v_th=exact(0.6), refractory=4, detach_reset=True,
        beta=torch.tensor([0.0, beta], dtype=torch.float64).repeat_interleave(n // 2),
    )  # fmt: skip
    return network(neuron, w_in, w_rec, w_out, b, tau)


def evidence(rng: Any, batch: int, probability: float = 0.04) -> Trial:
    """Seven cues, left or right; after a delay the network says on which side there were more."""
    group = 10
    share = np.array([0.3, 0.7], dtype=np.float32)
    order = rng.choice([0, 1], batch)
    of_left = np.stack([share[order], share[1 - order]], 1)
    cues = np.stack([rng.choice([0, 1], CUES, p=p) for p in of_left])
    rate = np.zeros((batch, SEQUENCE, 4 * group))
    for sample, sides in zip(rate, cues, strict=True):
        for k, side in enumerate(sides):
            start = k * (CUE + SPACING) + SPACING
            sample[start : start + CUE, side * group : (side + 1) * group] = probability
    rate[:, -RECALL:, 2 * group : 3 * group] = probability
    rate[:, :, 3 * group :] = probability / 4
    x = rate > rng.random_sample(rate.size).reshape(rate.shape)
    x[:, 0] = False
    side = cues.sum(1) > CUES // 2
    return Trial(torch.as_tensor(x.astype(float)).transpose(0, 1), torch.as_tensor(side).long())
