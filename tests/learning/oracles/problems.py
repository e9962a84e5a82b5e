"""Live recurrent layers, each as the package's layer and as the oracle's run with the same weights."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

import snn_neuromod as nm
from tests.learning.oracles import neurons
from tests.learning.oracles.neurons import Array, Trajectory, simulate
from tests.learning.oracles.rules import Gradient

INPUTS, NEURONS, BATCH, STEPS = 3, 5, 2, 20
AXONAL = np.array([1, 4, 2, 1, 4])
SYNAPTIC = 1 + np.random.default_rng(0).integers(5, size=(NEURONS, NEURONS))


@dataclass(frozen=True)
class Problem:
    """A neuron in both forms, what drives it, and the delays.

    The constants are exact in float32, in which layers are made before `.double()`.
    """

    label: str
    layer: Callable[[], Any]
    neuron: neurons.Neuron
    drive: float = 0.5
    spread: float = 0.5
    coupling: float = 0.5
    delay: Any = 1

    def __str__(self) -> str:
        return self.label

    def weights(self, inputs: int = INPUTS, seed: int = 0) -> tuple[Array, Array]:
        rng = np.random.default_rng(seed)
        w_in = rng.normal(self.drive * 2 / inputs, self.spread / inputs**0.5, (NEURONS, inputs))
        w_rec = rng.normal(0, self.coupling / NEURONS**0.5, (NEURONS, NEURONS))
        np.fill_diagonal(w_rec, 0)
        return w_in, w_rec

    def input(self) -> Array:
        return np.random.default_rng(1).random((STEPS, BATCH, INPUTS))

    def signal(self, neurons: int = NEURONS) -> Array:
        """Lambda: derivative of the loss by each spike."""
        return np.random.default_rng(2).normal(size=(STEPS, BATCH, neurons))

    def make(self, learning_rule: Any, **weights: Any) -> nm.Recurrent:
        """The package's layer."""
        w_in, w_rec = self.weights(**weights)
        delay = self.delay if isinstance(self.delay, int) else torch.as_tensor(self.delay)
        layer = nm.Recurrent(
            self.layer(), w_in.shape[1], learning_rule=learning_rule, delay=delay
        ).double()
        with torch.no_grad():
            layer.w_in.copy_(torch.as_tensor(w_in))
            layer.w_rec.copy_(torch.as_tensor(w_rec))
        return layer

    def run(self) -> Trajectory:
        """The oracle's run, live."""
        run = simulate(self.neuron, self.input(), *self.weights(), self.delay)
        assert_live(run)
        return run


def assert_live(run: Trajectory) -> None:
    """Most neurons fire, none at every step, and spikes arrive through the recurrent weights."""
    fired = (run.z > 0.5).reshape(-1, run.z.shape[-1])
    assert fired.any(0).sum() > 2, "silent neurons: the test would be vacuous"
    assert not fired.all(0).any(), "neurons that always fire"
    assert np.abs(run.linear.read).sum((0, 1, 3)).min() > 0, "a neuron without a pseudo-derivative"


def backward(layer: Any, x: Array, signal: Array) -> tuple[Array, Gradient]:
    """Spikes and gradient of the package, by `loss.backward()`."""
    layer.zero_grad()
    spikes, _ = layer(torch.as_tensor(x))
    (spikes * torch.as_tensor(signal)).sum().backward()
    return spikes.detach().numpy(), Gradient(_grad(layer.w_in), _grad(layer.w_rec))


def _grad(parameter: Tensor) -> Array:
    assert parameter.grad is not None
    found: Array = parameter.grad.numpy().copy()
    return found


def distance(found: Gradient, expected: Gradient) -> float:
    """Largest relative distance of the two weight matrices; there must be a gradient."""
    norms = [float(np.linalg.norm(e)) for e in expected]
    assert min(norms) > 0, "no gradient: nothing tested"
    pairs = zip(found, expected, norms, strict=True)
    return max(float(np.linalg.norm(f - e)) / norm for f, e, norm in pairs)


ALPHA, RHO = math.exp(-1 / 8), math.exp(-1 / 32)
MEMBRANE = {"tau_mem": 8.0, "tau_adapt": 32.0}
SRC = {
    "alpha": 0.5, "rho": 3.0, "r": 2.0, "r_s": -7.0, "z": 0.125, "z_hyp": 0.875, "z_dep": 0.125, "b": -6.0,
}  # fmt: skip
MSRC = {**SRC, "r": 4.0, "b": 0.0}
IZHIKEVICH = {"a": 1 / 64, "b": 0.25, "c": -65.0, "d": 2.0, "dt": 0.5}


def _alif(label: str, delay: Any = 1, *, beta: float = 0.1875, **options: Any) -> Problem:
    named = {"detached" if k == "detach_reset" else k: v for k, v in options.items()}
    return Problem(
        f"alif {label}",
        lambda: nm.ALIF(NEURONS, **MEMBRANE, beta=beta, **options),
        neurons.LIF(ALPHA, RHO, beta, **named),
        delay=delay,
    )


def _stdp(label: str, refractory: int, detached: bool, delay: Any = 1) -> Problem:
    return Problem(
        f"stdp_alif {label}",
        lambda: nm.STDPALIF(
            NEURONS, **MEMBRANE, beta=0.1875, refractory=refractory, detach_reset=detached
        ),
        neurons.STDP(ALPHA, RHO, 0.1875, refractory=refractory, detached=detached),
        delay=delay,
    )


def _izhikevich(label: str, detached: bool, delay: Any = 1) -> Problem:
    return Problem(
        f"izhikevich {label}",
        lambda: nm.Izhikevich(NEURONS, **IZHIKEVICH, detach_reset=detached),
        neurons.Izhikevich(**IZHIKEVICH, detached=detached),
        drive=20.0,
        spread=3.0,
        coupling=3.0,
        delay=delay,
    )


def _src(name: str, label: str, options: dict[str, float], detached: bool, **more: Any) -> Problem:
    own = {"h_s0" if k == "modulation" else k: v for k, v in options.items()}
    return Problem(
        f"{name} {label}",
        lambda: getattr(nm, name.upper())(
            NEURONS, **options, start=-0.5, detach_recurrence=detached, **more
        ),
        neurons.SRC(**own, detached=detached, **more),
        drive=2.0,
        coupling=4.0,
    )


ALIF = [
    _alif("without adaptation", beta=0.0),
    _alif("with adaptation"),
    _alif("reset detached", detach_reset=True),
    _alif("refractory", refractory=2),
    _alif("reset to zero", reset="zero"),
    _alif("no reset", reset="none"),
    _alif("delay 3", 3, detach_reset=True),
    _alif("axonal delays", AXONAL, refractory=1),
    _alif("synaptic delays", SYNAPTIC),
]
STDP = [_stdp("attached", 3, False), _stdp("detached", 1, True), _stdp("delays", 2, True, SYNAPTIC)]
IZHIKEVICH_PROBLEMS = [
    _izhikevich("attached", False),
    _izhikevich("detached", True),
    _izhikevich("delays", True, AXONAL),
]
SRC_PROBLEMS = [
    _src("src", "detached", SRC, True),
    _src("src", "attached", SRC, False, straight_through=False),
    _src("msrc", "detached", {**MSRC, "modulation": 0.875}, True),
    _src("msrc", "attached", {**MSRC, "modulation": 0.875}, False),
    _src("bsrc", "attached", {**MSRC, "modulation": 0.75, "r_u": -8.5, "z_u": 0.9375, "h_u0": 0.5}, False),
]  # fmt: skip
PROBLEMS = [*ALIF, *STDP, *IZHIKEVICH_PROBLEMS, *SRC_PROBLEMS]
