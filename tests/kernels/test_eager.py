"""Gradients of the eager backend, printed from the step: random steps against autograd, and a dropped derivative."""

from __future__ import annotations

import gc
import math
import weakref
from collections import namedtuple
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from torch import Tensor

from snn_neuromod.kernels import backends, neurons, operator
from snn_neuromod.kernels.backends.eager import passes, sequence
from snn_neuromod.kernels.call import Call, Paths
from snn_neuromod.kernels.fusion.graph import Node
from snn_neuromod.kernels.fusion.pytorch.program import Program
from snn_neuromod.kernels.fusion.trace import NotElementwise, Step
from tests.kernels.fused import (
    Neuron,
    Problem,
    Quadratic,
    Solution,
    assert_close,
    by_autograd,
    ours,
    random_neurons,
)

F32, F64 = torch.float32, torch.float64


def described(neuron: Neuron) -> neurons.Neuron:
    dynamics = SimpleNamespace(
        Params=type(neuron.params), State=neuron.state_type, step=neuron.step
    )
    return neurons.Neuron(dynamics, neuron.options)


def call_of(neuron: Neuron, problem: Problem, known: neurons.Neuron) -> Call:
    needed = [True] * len(problem.params)
    return Call(known, problem.current, problem.params, problem.state, needed=needed)


def by_eager(neuron: Neuron, problem: Problem, known: neurons.Neuron | None = None) -> Solution:
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


def test_a_dropped_derivative_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: without the derivative of the membrane by its past the gradients are others."""
    problem, whole = QUADRATIC.problem(18, (2, 9), F64), Step.gradients
    right = by_autograd(QUADRATIC, problem)
    assert_close(by_eager(QUADRATIC, problem), right, 1e-10)

    def without_one(step: Step, needed: Any) -> list[Node]:
        current, _, *others = whole(step, needed)
        return [current, step.graph.const(0.0), *others]

    monkeypatch.setattr(Step, "gradients", without_one)
    with pytest.raises(AssertionError):
        assert_close(by_eager(QUADRATIC, problem), right, 1e-10)


def test_a_step_is_printed_alike_every_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or what is added first, and so rounded, might depend on the process."""
    texts: list[str] = []

    class Recorded(Program):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            texts.append(self.text)

    monkeypatch.setattr(passes, "Program", Recorded)
    names = ("stdp_alif-refractory 3 attached", "izhikevich-dt 0.5 attached")
    for neuron in (x for x in ours() if str(x) in names):
        problem = neuron.problem(2, (2, 3), F32)
        printed = set()
        for _ in range(4):
            by_eager(neuron, problem)
            printed.add("".join(texts))
            texts.clear()
        assert len(printed) == 1
        assert "def run0" in printed.pop()


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


def test_a_reverse_pass_that_is_not_linear() -> None:
    def step(params: Any, state: Any, current: Tensor) -> tuple[Tensor, Any]:
        v = params.alpha * state.v + current
        return _Clamped.apply(v - params.v_th), _State(v)

    neuron = Neuron("clamped", step, Quadratic.Params(), lambda c: _State(torch.zeros_like(c)))
    problem, known = neuron.problem(5, (2, 3), F64), described(neuron)
    assert sequence.unable(call_of(neuron, problem, known)) is None
    assert_close(by_eager(neuron, problem, known), by_autograd(neuron, problem), 1e-10)
    problem.grads[0].mul_(0.1)  # other seeds would be other gradients by another factor
    assert_close(by_eager(neuron, problem, known), by_autograd(neuron, problem), 1e-10)


@pytest.mark.parametrize("values", [(), (0.0,), (0.7,)])
def test_a_choice_between_numbers(values: tuple[float, ...]) -> None:
    """Whose difference is one number, where a step has many."""

    def step(params: Any, state: Any, current: Tensor) -> tuple[Tensor, Any]:
        leak = torch.where(state[0] > 0.4, params.alpha, *(values or [params.v_th]))
        v = leak * state[0] + current
        return torch.tanh(v), _State(v)

    neuron = Neuron("choice", step, Quadratic.Params(), lambda c: _State(torch.zeros_like(c)))
    problem = neuron.problem(9, (2, 3), F64)
    problem = problem._replace(params=[torch.tensor(0.3, dtype=F64), torch.tensor(0.7, dtype=F64)])
    assert_close(by_eager(neuron, problem), by_autograd(neuron, problem), 1e-10)


@pytest.mark.parametrize(("first", "second"), [(1.0, 0.7), (0.0, 0.3), (0.0, -0.0)])
def test_a_number_is_not_taken_for_another(first: float, second: float) -> None:
    """A neuron keeps what it was found to be with one, which is 1 or 0, beside the outcome of conditions on another."""
    Params = namedtuple("Params", "alpha")

    def step(params: Any, state: Any, current: Tensor) -> tuple[Tensor, Any]:
        leak = torch.where(params.alpha > 0.5, params.alpha, 0.3)
        return torch.tanh(leak * state[0]), _State(current / params.alpha)

    known = neurons.Neuron(SimpleNamespace(Params=Params, State=_State, step=step))
    x, past = torch.ones(3, 1, 2), [torch.ones(1, 2)]
    for alpha in (first, second, first):
        found, right = [], []
        for backend, results in (("eager", found), ("reference", right)):
            with backends.use(backend):
                results.append(operator.run(known.key, x, [torch.tensor(alpha)], past)[0])
        torch.testing.assert_close(found, right)


@pytest.mark.parametrize("backend", ["auto", "eager"])
def test_inputs_of_a_step_that_is_not_printed_are_freed(backend: str) -> None:
    """Why it cannot be is an error that is kept; the frames through which it went are not."""

    def step(params: Any, state: Any, current: Tensor) -> tuple[Tensor, Any]:
        return torch.relu(current.cumsum(-1)), _State(state[0] + current)

    known = neurons.Neuron(SimpleNamespace(Params=_Nothing, State=_State, step=step))
    inputs = []
    for num_steps in range(2, 5):
        x = torch.ones(num_steps, 1, 2)
        operator.run(known.key, x, [], [torch.zeros(1, 2)], backend=backend)
        inputs.append(weakref.ref(x))
    del x
    gc.collect()
    assert [ref() for ref in inputs] == [None] * 3
    with pytest.raises(NotElementwise, match="cumsum"):
        known.traced(F32)


class _Nothing(NamedTuple):
    pass


@pytest.mark.parametrize("form", ["plain", "autocast", "compiled"])
@pytest.mark.parametrize("hops", [None, 1])
def test_gradients_are_those_of_the_random_numbers_that_were_drawn(
    form: str, hops: int | None
) -> None:
    """Inside an operator the step is run a second time for gradients."""

    def step(params: Any, state: Any, current: Tensor) -> tuple[Tensor, Any]:
        z = current * torch.randn_like(current)
        return z, _State(z)

    described_step = SimpleNamespace(Params=Quadratic.Params, State=_State, step=step)
    known = neurons.Neuron(described_step, {})
    x = torch.rand(9, 2, 3, requires_grad=True)
    params = [torch.as_tensor(p) for p in Quadratic.Params()]

    def run(current: Tensor) -> Tensor:
        past = torch.zeros_like(current[0])
        return operator.run(
            known.key, current, params, [past], w_rec=torch.zeros(3, 3), spikes=past,
            paths=Paths(hops),
        )[0]  # fmt: skip

    called = torch.compile(run, backend="aot_eager") if form == "compiled" else run
    with torch.autocast("cpu", torch.bfloat16, enabled=form == "autocast"):
        z = called(x)
    generators = torch.get_rng_state()
    z.sum().backward()
    assert torch.equal(torch.get_rng_state(), generators)  # as if there were no second run
    assert x.grad is not None
    torch.testing.assert_close(x.grad * x, z)
