"""Derivatives of the eager backend, printed from the step: random steps against autograd, refusals, a dropped edge."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from torch import Tensor

from snn_neuromod.kernels import backends, neurons, operator
from snn_neuromod.kernels.backends.eager import sequence
from snn_neuromod.kernels.call import Call
from snn_neuromod.kernels.fusion import jacobian
from tests.kernels.fused import (
    Neuron,
    Problem,
    Quadratic,
    Solution,
    assert_close,
    by_autograd,
    random_neurons,
)

F32, F64 = torch.float32, torch.float64


def described(neuron: Neuron) -> neurons.Described:
    dynamics = SimpleNamespace(
        Params=type(neuron.params), State=neuron.state_type, step=neuron.step
    )
    return neurons.Described(dynamics, neuron.options)


def call_of(neuron: Neuron, problem: Problem, known: neurons.Described) -> Call:
    needed = [True] * len(problem.params)
    return Call(known.neuron, problem.current, problem.params, problem.state, needed=needed)


def by_eager(neuron: Neuron, problem: Problem, known: neurons.Described | None = None) -> Solution:
    known = known or described(neuron)
    current = problem.current.clone().requires_grad_()
    params = [p.clone().requires_grad_() for p in problem.params]
    state = [s.clone().requires_grad_() for s in problem.state]
    with backends.use("eager"):
        spikes, last = operator.run(known.key, current, params, state)
    grads = torch.autograd.grad([spikes, *last], [current, *params, *state], problem.grads)
    count = 1 + len(params)
    last = [s.detach() for s in last]
    return Solution(spikes.detach(), last, grads[0], [*grads[1:count]], [*grads[count:]])


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(random_neurons())
def test_random_steps(neuron: Neuron) -> None:
    problem, known = neuron.problem(18, (2, 9), F64), described(neuron)
    assert_close(by_eager(neuron, problem, known), by_autograd(neuron, problem), 1e-10)
    assert sequence.unable(call_of(neuron, problem, known)) is None


QUADRATIC = Neuron(
    "quadratic", Quadratic.step, Quadratic.Params(), Quadratic.initial_state, {}, 0.2, 0.5
)


def test_single_precision_is_as_accurate_as_the_step() -> None:
    ratios: dict[str, list[float]] = {}
    for seed in range(8):
        rough = QUADRATIC.problem(30, (2, 20), F32, seed)
        exact = Problem(rough.current.double(), *([t.double() for t in x] for x in rough[1:]))
        right, step = by_autograd(QUADRATIC, exact).flat(), by_autograd(QUADRATIC, rough).flat()
        for key, value in by_eager(QUADRATIC, rough).flat().items():
            floor = 3e-8 * right[key].norm() + 1e-12
            errors = [(x - right[key]).norm() + floor for x in (value, step[key])]
            ratios.setdefault(key, []).append(float(torch.log(errors[0] / errors[1])))
    for key, found in ratios.items():
        assert sum(found) / len(found) < math.log(3), key


def test_a_dropped_edge_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: without one derivative of the membrane the gradients are others."""
    problem, whole = QUADRATIC.problem(18, (2, 9), F64), jacobian.Flow.jacobian
    right = by_autograd(QUADRATIC, problem)
    assert_close(by_eager(QUADRATIC, problem), right, 1e-10)

    def without_one(flow: jacobian.Flow, invariant: Any) -> jacobian.Jacobian:
        found = whole(flow, invariant)
        return found._replace(lagged=dict([*found.lagged.items()][1:]))

    monkeypatch.setattr(jacobian.Flow, "jacobian", without_one)
    with pytest.raises(AssertionError):
        assert_close(by_eager(QUADRATIC, problem), right, 1e-10)


class _Clamped(torch.autograd.Function):
    @staticmethod
    def forward(v: Tensor) -> Tensor:
        return (v > 0).to(v.dtype)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        return grads[0].clamp(-1, 1)


class _State(NamedTuple):
    v: Tensor


def test_a_reverse_pass_that_is_not_linear_is_refused_by_name() -> None:
    def step(params: Any, state: Any, current: Tensor) -> tuple[Tensor, Any]:
        v = params.alpha * state.v + current
        return _Clamped.apply(v - params.v_th), _State(v)

    neuron = Neuron("clamped", step, Quadratic.Params(), lambda c: _State(torch.zeros_like(c)))
    problem, known = neuron.problem(5, (2, 3), F64), described(neuron)
    reason = sequence.unable(call_of(neuron, problem, known))
    assert reason is not None
    assert "not linear: m" in reason
    assert by_eager(neuron, problem, known).grad_current.any()  # by differentiation of the step
