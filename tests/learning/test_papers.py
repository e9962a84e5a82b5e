"""Every form of e-prop against traces that are written out in numpy from the papers, to 1e-11."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import snn_neuromod as nm
from snn_neuromod.learning.eprop import OnlineEprop, rule, traces
from tests.learning.oracles import papers
from tests.learning.oracles.neurons import Array, Trajectory, simulate
from tests.learning.oracles.problems import (
    BATCH,
    NEURONS,
    PROBLEMS,
    STEPS,
    Problem,
    assert_live,
)

OUTPUTS = 3
FEEDBACKS = ("symmetric", "random", "adaptive")
READOUTS: list[dict[str, Any]] = [
    {"tau_out": 5.0},
    {"tau_out": [2.0, 8.0, 2.0], "normalise": True},
    {"tau_out": [2.0, 8.0, 4.0], "bias_inside": False},
]


def target() -> Array:
    t = np.arange(STEPS)[:, None, None]
    return np.sin(0.3 * t + np.arange(OUTPUTS)) * np.ones((STEPS, BATCH, OUTPUTS))


def rates(neurons: int) -> Array:
    return np.random.default_rng(5).normal(size=(STEPS, BATCH, neurons)) * 0.2


def loss(y: Tensor, spikes: Tensor, start: int = 0) -> Tensor:
    window = slice(start, start + len(y))
    error = y - torch.as_tensor(target()[window])
    by_spike = torch.as_tensor(rates(spikes.shape[-1])[window])
    return 0.5 * error.square().sum() + (by_spike * spikes).sum()


def readouts(
    neurons: int, feedback: Any, options: Mapping[str, Any], dt: float = 1.0
) -> tuple[nm.LeakyReadout, papers.Readout]:
    """The package's readout and the oracle's, with the same numbers; time constants in `options` are in steps."""
    torch.manual_seed(3)
    in_ms = {**options, "tau_out": (dt * np.array(options["tau_out"])).tolist(), "dt": dt}
    readout = nm.LeakyReadout(neurons, OUTPUTS, feedback=feedback, **in_ms).double()
    with torch.no_grad():
        readout.bias.copy_(torch.tensor([0.1, -0.2, 0.3]))  # type: ignore[union-attr]
    w_out, bias = (w.detach().numpy().copy() for w in (readout.w_out, readout.bias))  # type: ignore[union-attr]
    b = w_out if readout.b_feedback is None else readout.b_feedback.detach().numpy().copy()
    kappa = np.broadcast_to(np.exp(-1 / np.array(options["tau_out"])), (OUTPUTS,))
    others = {name: value for name, value in options.items() if name != "tau_out"}
    return readout, papers.Readout(w_out, b, bias, kappa, **others)


def online(layer: Any, readout: Any, x: Tensor, length: int) -> dict[str, Tensor]:
    parameters, run = rule.learned(layer, readout), OnlineEprop(layer, readout)
    for p in parameters.values():
        p.grad = None
    for start in range(0, len(x), length):
        loss(*run.segment(x[start : start + length]), start).backward()
    return {name: p.grad for name, p in parameters.items() if p.grad is not None}


def forms(layer: Any, readout: Any, x: Tensor) -> dict[str, dict[str, Tensor]]:
    """The gradient by each form of the rule that the package has."""
    return {
        "backward": rule.gradients(layer, readout, x, loss),
        "traces": traces.gradients(layer, readout, x, loss),
        "online": online(layer, readout, x, 1),
        "online in segments": online(layer, readout, x, 7),
    }


def check(
    layers: list[Any], found: Mapping[str, Tensor], expected: papers.Found, form: str
) -> None:
    prefixes = (
        ["layer."] if len(layers) == 1 else [f"layer.layers.{r}." for r in range(len(layers))]
    )
    wanted: dict[str, Array] = {"readout.w_out": expected.w_out, "readout.bias": expected.bias}
    for prefix, gradient in zip(prefixes, expected.layers, strict=True):
        wanted |= {f"{prefix}w_in": gradient.w_in, f"{prefix}w_rec": gradient.w_rec}
    if "readout.b_feedback" in found:
        wanted["readout.b_feedback"] = expected.w_out
    assert sorted(wanted) == sorted(found)
    for name, value in wanted.items():
        norm = np.linalg.norm(value)
        assert norm > 0, f"no gradient of {name}: nothing tested"
        error = np.linalg.norm(found[name].numpy() - value) / norm
        assert error < 1e-11, f"{form}, {name}: {error:.1e}"


@pytest.mark.parametrize("problem", PROBLEMS, ids=str)
def test_every_neuron(problem: Problem) -> None:
    run, layer, x = problem.run(), problem.make("eprop"), torch.as_tensor(problem.input())
    dt = float(getattr(layer.neuron, "dt", 1.0))
    readout, same = readouts(NEURONS, "random", READOUTS[0], dt)
    expected = papers.eprop([run], same, target(), rates(NEURONS))
    for form, found in forms(layer, readout, x).items():
        check([layer], found, expected, form)


@pytest.mark.parametrize("feedback", FEEDBACKS)
@pytest.mark.parametrize("options", READOUTS, ids=["plain", "normalised", "bias outside"])
@pytest.mark.parametrize("problem", [PROBLEMS[3], PROBLEMS[-4]], ids=str)
def test_every_feedback_and_readout(problem: Problem, options: Any, feedback: str) -> None:
    run, layer, x = problem.run(), problem.make("eprop"), torch.as_tensor(problem.input())
    readout, same = readouts(NEURONS, feedback, options)
    y, _ = readout(layer(x)[0])
    assert np.abs(y.detach().numpy() - same(run.z)).max() < 1e-11
    expected = papers.eprop([run], same, target(), rates(NEURONS))
    for form, found in forms(layer, readout, x).items():
        check([layer], found, expected, form)


def stack(problem: Problem, depth: int) -> tuple[list[nm.Recurrent], list[Trajectory]]:
    """Layers on top of one another in both forms, all live."""
    layers, runs, x = [problem.make("eprop")], [problem.run()], problem.input()
    for seed in range(3, 3 + depth - 1):
        w_in, w_rec = problem.weights(NEURONS, seed)
        w_in, x = 2 * np.abs(w_in), runs[-1].z
        layer = problem.make("eprop", inputs=NEURONS, seed=seed)
        with torch.no_grad():
            layer.w_in.copy_(torch.as_tensor(w_in))
        layers.append(layer)
        runs.append(simulate(problem.neuron, x, w_in, w_rec, problem.delay))
        assert_live(runs[-1])
    return layers, runs


@pytest.mark.parametrize(("depth", "feedback"), [*itertools.product([2, 3], FEEDBACKS)])
def test_layers(depth: int, feedback: str) -> None:
    problem = PROBLEMS[1]
    layers, runs = stack(problem, depth)
    readout, same = readouts(depth * NEURONS, feedback, READOUTS[1])
    expected = papers.eprop(runs, same, target(), rates(depth * NEURONS))
    x = torch.as_tensor(problem.input())
    for form, found in forms(nm.RecurrentStack(layers), readout, x).items():
        check(layers, found, expected, form)


def test_a_wrong_rule_is_seen() -> None:
    """Negative control: BPTT, and another feedback than the oracle's, are not within the tolerance."""
    problem = PROBLEMS[1]
    run, x = problem.run(), torch.as_tensor(problem.input())
    readout, same = readouts(NEURONS, "random", READOUTS[0])
    expected = papers.eprop([run], same, target(), rates(NEURONS))
    layer = problem.make("bptt")
    spikes, _ = layer(x)
    asked = {f"layer.{n}": p for n, p in layer.named_parameters()}
    asked |= {"readout.w_out": readout.w_out, "readout.bias": readout.bias}  # type: ignore[dict-item]
    found = torch.autograd.grad(loss(readout(spikes)[0], spikes), list(asked.values()))
    with pytest.raises(AssertionError, match="w_in"):
        check([layer], dict(zip(asked, found, strict=True)), expected, "BPTT")
    with torch.no_grad():
        readout.b_feedback.neg_()  # type: ignore[union-attr]
    with pytest.raises(AssertionError, match="w_in"):
        check(
            [layer],
            rule.gradients(problem.make("eprop"), readout, x, loss),
            expected,
            "other feedback",
        )
