"""Steps read into a graph: the graph gives what step and autograd give, and what does not fit is refused by name."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from torch import Tensor

import snn_neuromod as nm
from snn_neuromod.kernels.fusion.graph import Graph, inputs, live
from snn_neuromod.kernels.fusion.trace import NotElementwise, Step, trace
from snn_neuromod.kernels.neurons import Neuron as Known
from tests.kernels.fused import (
    ONE,
    TWO,
    Neuron,
    Quadratic,
    assert_close,
    by_autograd,
    by_graph,
    ours,
    random_neurons,
)

F64 = torch.float64


WEIGHTS = torch.ones(3)


class OneState(NamedTuple):
    v: Tensor


class OneParam(NamedTuple):
    k: float = 0.5


def traced(neuron: Neuron, dtype: torch.dtype = F64) -> Step:
    return trace(neuron.step, type(neuron.params), neuron.state_type, neuron.options, dtype=dtype)


@pytest.mark.parametrize("neuron", ours(), ids=str)
def test_graph_gives_what_step_and_autograd_give(neuron: Neuron) -> None:
    problem = neuron.problem(12, (2, 3), F64)
    right = by_autograd(neuron, problem)
    assert_close(by_graph(traced(neuron), problem), right, 1e-10)
    assert right.grad_current.any()


@settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(random_neurons())
def test_random_steps(neuron: Neuron) -> None:
    """The first of those in test_eager.py, which runs the graph of many."""
    problem = neuron.problem(5, (2, 3), F64)
    assert_close(by_graph(traced(neuron), problem), by_autograd(neuron, problem), 1e-10)


@pytest.mark.parametrize("name", [*ONE, *TWO])
def test_every_operation_of_the_table(name: str) -> None:
    def step(params: OneParam, state: OneState, current: Tensor) -> tuple[Tensor, OneState]:
        v = params.k * state.v + current
        v = ONE[name](v) if name in ONE else TWO[name](v, current - 0.2)
        return v, OneState(v)

    neuron = Neuron(name, step, OneParam(), lambda c: OneState(torch.zeros_like(c)))
    problem = neuron.problem(4, (2, 3), F64)
    assert_close(by_graph(traced(neuron), problem), by_autograd(neuron, problem), 1e-10)


def test_trace_works_where_autograd_is_off() -> None:
    with torch.inference_mode():
        step = Known(Quadratic).traced(torch.float32)
    assert inputs([step.grad_current]) == {"p0", "p1", "s0", "x", "gz", "a0"}
    seen = []

    def inside(x: Tensor) -> Tensor:
        seen.append(Known(Quadratic).traced(torch.float32))
        return x.sum()

    torch.func.grad(inside)(torch.ones(2))
    assert repr(seen[0].grad_current) == repr(step.grad_current)


def test_a_seeded_run_draws_what_it_draws_without_a_neuron_of_ours() -> None:
    """Also where a neuron is read for the first time."""
    before = torch.get_rng_state()
    trace(lambda p, s, x: (x * p.k, OneState(s.v + x)), OneParam, OneState)
    assert torch.equal(torch.get_rng_state(), before)


def test_steps_are_joined_in_one_graph() -> None:
    step = trace(Quadratic.step, Quadratic.Params, Quadratic.State, dtype=F64)
    graph = Graph(F64)
    params = [graph.input("p0"), graph.input("p1")]
    z1, *s1 = step.forward(graph, params, [0.0], graph.input("x1"))
    z2, *_ = step.forward(graph, params, s1, graph.input("x2"))
    assert z1 in live([z2])
    assert inputs([z2]) == {"p0", "p1", "x1", "x2"}
    found = step.reverse(graph, params, s1, graph.input("x2"), graph.input("gz"), [0.0])
    assert inputs([found.current]) <= {"p0", "p1", "x1", "x2", "gz"}
    shared = set(live([z2])) & set(live([found.current]))
    assert any(node.op == "mul" for node in shared), "the reverse pass finds everything again"


def refused(body: Any) -> str:
    def step(params: OneParam, state: OneState, current: Tensor) -> tuple[Tensor, OneState]:
        v = body(params.k, state.v, current)
        return v, OneState(v)

    with pytest.raises(NotElementwise) as caught:
        trace(step, OneParam, OneState)
    return str(caught.value)


@pytest.mark.parametrize(
    ("word", "body"),
    [
        ("sum", lambda k, v, x: v + x.sum()),
        ("mean", lambda k, v, x: v + x.mean(-1, keepdim=True)),
        ("softmax", lambda k, v, x: x.softmax(-1) + v),
        ("rand_like", lambda k, v, x: v + torch.rand_like(x)),
        ("rand", lambda k, v, x: torch.bernoulli(x.sigmoid())),
        ("flip", lambda k, v, x: x.flip(-1) + v),
        ("cumsum", lambda k, v, x: x.cumsum(-1) + v),
        ("branches", lambda k, v, x: x + v if (x > 0).any() else x),
        ("branches", lambda k, v, x: x * 2 if k[0, 0] > 0 else x),
        ("branches", lambda k, v, x: x * v.max().item()),
        ("no argument", lambda k, v, x: x + WEIGHTS),
        ("shape", lambda k, v, x: x + torch.ones(3)),
        ("float64", lambda k, v, x: (x.double() * 3).float()),
        ("int64", lambda k, v, x: (x.long() + 1).to(x.dtype)),
        ("leaf", lambda k, v, x: v.add_(x)),
        ("another name", lambda k, v, x: changed_in_place(v + x)),
        ("shape", lambda k, v, x: (x[..., None] + v[..., None])[..., 0]),
    ],
)
def test_what_does_not_fit_is_refused_by_name(word: str, body: Any) -> None:
    assert word in refused(body)


def changed_in_place(v: Tensor) -> Tensor:
    other = v.detach()
    other.mul_(2)
    return v * other


def test_casts_between_reals_are_no_identity() -> None:
    def step(params: OneParam, state: OneState, current: Tensor) -> tuple[Tensor, OneState]:
        v = state.v + current.float().to(current.dtype) * params.k
        return v, OneState(v)

    trace(step, OneParam, OneState, dtype=torch.float32)
    with pytest.raises(NotElementwise, match="float32"):
        trace(step, OneParam, OneState, dtype=F64)


def test_constants_of_one_element_are_read() -> None:
    half = torch.tensor(0.5, dtype=F64)

    def step(params: OneParam, state: OneState, current: Tensor) -> tuple[Tensor, OneState]:
        v = half * state.v + torch.tensor([2.0], dtype=F64) * current * params.k
        return v, OneState(v)

    found = trace(step, OneParam, OneState, dtype=F64)
    assert repr(found.spikes) == "add(mul(s0, 0.5), mul(p0, mul(x, 2.0)))"


def test_value_numbers_tell_numbers_and_truth_apart() -> None:
    graph = Graph()
    x = graph.input("x")
    one, true = graph.const(1.0), graph.const(True)
    assert one is not true
    assert graph.make("add", x, 2.0) is graph.make("add", graph.const(2), x)
    assert graph.make("where", graph.make("gt", x, 0.0), 1.0, 0.0).op == "real"
    negative = graph.make("div", 1.0, graph.const(-0.0)).number
    assert negative == -torch.inf


def test_constants_fold_in_the_precision_of_the_step() -> None:
    for dtype in (torch.float32, F64):
        graph = Graph(dtype)
        folded = graph.make("mul", graph.make("add", 0.1, 0.2), 3.0).number
        assert folded == float((torch.tensor(0.1, dtype=dtype) + 0.2) * 3.0)


def test_not_of_a_comparison_is_not_its_opposite() -> None:
    """NaN is neither greater nor not greater."""

    def step(params: OneParam, state: OneState, current: Tensor) -> tuple[Tensor, OneState]:
        v = torch.where(~(current > params.k), 2.0, current)
        return v, OneState(v)

    neuron = Neuron("nan", step, OneParam(), lambda c: OneState(torch.zeros_like(c)))
    problem = neuron.problem(3, (2, 3), F64)
    problem.current[1, 0, 1] = torch.nan
    found = by_graph(traced(neuron), problem).spikes
    assert torch.equal(found, by_autograd(neuron, problem).spikes)
    assert found[1, 0, 1] == 2.0


def test_options_are_fixed_in_the_result() -> None:
    alif = nm.dynamics.alif
    steps = [
        trace(alif.step, alif.Params, alif.State, {"reset": reset})
        for reset in ("subtract", "zero")
    ]
    assert repr(steps[0].after[0]) != repr(steps[1].after[0])
