"""Printed C against the step and autograd: gradients of everything, all sizes, both types."""

from __future__ import annotations

import math
from collections import namedtuple
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from torch import Tensor

from snn_neuromod.kernels import neurons
from snn_neuromod.kernels.backends.c import library
from snn_neuromod.kernels.backends.c.prepared import Prepared, by_ctypes, caller
from snn_neuromod.kernels.call import Adjoint, Call
from snn_neuromod.kernels.fusion import jit
from snn_neuromod.kernels.fusion.c import source
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
NEURONS = {str(neuron): neuron for neuron in ours()}
SOME = [
    "src-default",
    "src-detached",
    "msrc-mixed bounds",
    "bsrc-default",
    "alif-subtract refractory 0 attached",
    "alif-zero refractory 2 detached",
    "alif-boxcar",
    "alif-gaussian",
    "stdp_alif-refractory 3 attached",
    "izhikevich-dt 0.5 attached",
    "izhikevich-clip 2.0",
    "leaky_integrator-normalised",
    "quadratic",
]
THRESHOLD = [name for name in SOME if name.startswith(("alif", "stdp", "izhikevich", "quad"))]

pytestmark = pytest.mark.skipif(jit.unable() is not None, reason=f"{jit.unable()}")


@pytest.fixture(autouse=True)
def _cache(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels of earlier runs are used again; others are compiled in the shortest time, for a few steps each."""
    monkeypatch.setenv(jit.CACHE, str(request.config.cache.mkdir("kernels")))  # type: ignore[union-attr]
    monkeypatch.setenv(jit.FLAGS, "-O0")


def kernels(neuron: Neuron) -> neurons.Neuron:
    parts = {"Params": type(neuron.params), "State": neuron.state_type, "step": neuron.step}
    return neurons.Neuron(SimpleNamespace(**parts), neuron.options, str(neuron))


def by_kernel(
    neuron: Neuron,
    problem: Problem,
    seeded: bool = True,
    made: neurons.Neuron | None = None,
) -> Solution:
    """The printed kernels, with NaN in all memory that they get."""
    made = made or kernels(neuron)
    call = call_of(made, *problem[:3])
    seeds = problem.grads[1:] if seeded else [None] * len(problem.state)
    torch.use_deterministic_algorithms(True)  # torch.empty gives NaN
    try:
        kernel = Prepared(call, made.kernel(problem.current.dtype))
        spikes, last, kept = kernel.forward(call)
        grads = kernel.backward(call, Adjoint(problem.grads[0], seeds, spikes, kept))
    finally:
        torch.use_deterministic_algorithms(False)
    return Solution(spikes, last, *grads)


def call_of(
    made: neurons.Neuron,
    current: Tensor,
    params: list[Tensor],
    state: list[Tensor],
    *,
    keep: bool = True,
) -> Call:
    """A sequence; with a backward pass all gradients are wanted."""
    return Call(made, current, params, state, needed=[keep] * len(params), keep=keep)


def problem_of(
    neuron: Neuron, steps: int, shape: tuple[int, ...], dtype: torch.dtype, seed: int = 0
) -> Problem:
    """As `Neuron.problem`, where parameters with one value for each of three neurons become numbers."""
    problem = neuron.problem(steps, (*shape[:-1], 3), F64)
    params = [p if p.ndim == 0 else p[1] for p in problem.params]
    wide = Neuron(
        neuron.label,
        neuron.step,
        type(neuron.params)(*params),
        neuron.initial,
        neuron.options,
        neuron.mean,
        neuron.std,
    )
    return wide.problem(steps, shape, dtype, seed)


@pytest.mark.parametrize("name", SOME)
def test_double_precision(name: str) -> None:
    problem = problem_of(NEURONS[name], 37, (2, 67), F64)
    right = by_autograd(NEURONS[name], problem)
    assert_close(by_kernel(NEURONS[name], problem), right, 1e-10)
    assert right.grad_current.any()


@pytest.mark.parametrize("name", ["quadratic", "msrc-detached"])
def test_with_the_flags_that_users_have(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other tests compile with fewer optimisations."""
    monkeypatch.delenv(jit.FLAGS)
    problem = problem_of(NEURONS[name], 37, (2, 67), F64)
    assert_close(by_kernel(NEURONS[name], problem), by_autograd(NEURONS[name], problem), 1e-10)


@pytest.mark.parametrize("name", SOME)
def test_single_precision_is_as_accurate_as_eager(name: str) -> None:
    """Errors against double precision, in the geometric mean over runs at most three times those of the step."""
    neuron = NEURONS[name]
    assert_as_accurate(neuron, [problem_of(neuron, 30, (2, 20), F32, seed) for seed in range(8)])


def assert_as_accurate(neuron: Neuron, problems: list[Problem]) -> None:
    made, ratios = kernels(neuron), list[dict[str, float]]()
    for problem in problems:
        exact = Problem(problem.current.double(), *([t.double() for t in x] for x in problem[1:]))
        right, eager = by_autograd(neuron, exact).flat(), by_autograd(neuron, problem).flat()
        found = by_kernel(neuron, problem, made=made).flat()
        ratios.append({key: _log_ratio(found[key], eager[key], right[key]) for key in right})
    for key in ratios[0]:
        mean = sum(ratio[key] for ratio in ratios) / len(ratios)
        assert mean < math.log(3), (key, math.exp(mean))


def _log_ratio(found: Tensor, eager: Tensor, right: Tensor) -> float:
    floor = 3e-8 * right.norm() + 1e-12
    return float(torch.log(((found - right).norm() + floor) / ((eager - right).norm() + floor)))


@pytest.mark.parametrize("name", THRESHOLD)
def test_spikes_of_threshold_neurons_are_the_step_s_own(name: str) -> None:
    problem = problem_of(NEURONS[name], 120, (4, 40), F32)
    right, found = by_autograd(NEURONS[name], problem), by_kernel(NEURONS[name], problem)
    assert right.spikes.any()
    assert torch.equal(found.spikes, right.spikes)


@pytest.mark.parametrize("shape", [(1,), (1, 1), (63,), (3, 21), (1000,), (2, 2, 33)])
@pytest.mark.parametrize("steps", [1, 16, 33])
def test_sizes(shape: tuple[int, ...], steps: int) -> None:
    neuron = NEURONS["quadratic"]
    problem = neuron.problem(steps, shape, F64)
    assert_close(by_kernel(neuron, problem), by_autograd(neuron, problem), 1e-10)


@pytest.mark.parametrize("name", ["quadratic", "src-default"])
def test_results_do_not_depend_on_threads(name: str) -> None:
    problem = problem_of(NEURONS[name], 20, (3, 300), F32)
    made, before, found = kernels(NEURONS[name]), torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            found.append(by_kernel(NEURONS[name], problem, made=made).flat())
    finally:
        torch.set_num_threads(before)
    for other in found[1:]:
        assert all(torch.equal(other[key], value) for key, value in found[0].items())


@pytest.mark.parametrize("name", ["alif-subtract refractory 2 attached", "src-detached"])
def test_without_gradients_of_the_last_state(name: str) -> None:
    problem = problem_of(NEURONS[name], 20, (2, 10), F64)
    nothing = [torch.zeros_like(g) for g in problem.grads[1:]]
    problem = problem._replace(grads=[problem.grads[0], *nothing])
    right = by_autograd(NEURONS[name], problem)
    assert_close(by_kernel(NEURONS[name], problem, seeded=False), right, 1e-10)


@pytest.mark.parametrize("name", ["quadratic", "msrc-default"])
def test_parameters_per_step(name: str) -> None:
    neuron, steps, shape = NEURONS[name], 20, (2, 10)
    problem = problem_of(neuron, steps, shape, F64)
    last = len(problem.params) - 1
    change = 1 + 0.05 * torch.rand(steps, *shape, dtype=F64)
    problem.params[last] = problem.params[last] * change
    found = by_kernel(neuron, problem)

    leaf = problem.params[last].clone().requires_grad_()
    current = problem.current.clone().requires_grad_()
    fixed, spikes = [p.expand(shape) for p in problem.params[:last]], []
    state = neuron.state_type(*problem.state)
    for t in range(steps):
        params = type(neuron.params)(*fixed, leaf[t])
        z, state = neuron.step(params, state, current[t], **neuron.options)
        spikes.append(z)
    results = [torch.stack(spikes), *state]
    right = torch.autograd.grad(results, [current, leaf], problem.grads)
    torch.testing.assert_close(found.grad_current, right[0], rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(found.grad_params[last], right[1], rtol=1e-10, atol=1e-10)


def test_parameters_by_sample_and_by_stride() -> None:
    neuron, shape = NEURONS["quadratic"], (3, 8)
    problem = neuron.problem(9, shape, F64)
    by_sample = torch.rand(3, 1, dtype=F64)
    across = torch.rand(8, 3, dtype=F64).T + 0.5
    problem = problem._replace(params=[by_sample, across])
    assert_close(by_kernel(neuron, problem), by_autograd(neuron, problem), 1e-10)


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(random_neurons())
def test_random_steps(neuron: Neuron) -> None:
    problem = neuron.problem(18, (2, 9), F64)
    assert_close(by_kernel(neuron, problem), by_autograd(neuron, problem), 1e-10)


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(random_neurons())
def test_random_steps_in_single_precision(neuron: Neuron) -> None:
    assert_as_accurate(neuron, [neuron.problem(30, (2, 20), F32, seed) for seed in range(5)])


@pytest.mark.parametrize("name", ["msrc-default", "msrc-detached", "bsrc-default"])
def test_sums_over_many_steps_are_as_accurate_as_eager(name: str) -> None:
    """Gradients of parameters over 200 steps: a cell amplifies rounding, a sum of its gradients has to add none."""
    neuron = NEURONS[name]
    assert_as_accurate(neuron, [problem_of(neuron, 200, (2, 20), F32, seed) for seed in range(8)])


Three = namedtuple("Three", ["exp", "tanh", "sigmoid"])


@pytest.mark.parametrize("dtype", [F32, F64])
def test_functions_over_their_whole_range(dtype: torch.dtype) -> None:
    """exp, tanh and the logistic function are the package's own."""

    def step(params: Any, state: Any, current: Tensor) -> tuple[Tensor, Any]:
        values = (torch.exp(current), torch.tanh(current), torch.sigmoid(current))
        return params.alpha * current, type(state)(*values)

    made = neurons.Neuron(SimpleNamespace(Params=Quadratic.Params, State=Three, step=step))
    info = torch.finfo(dtype)
    top = float(torch.tensor(info.max, dtype=F64).log()) * 1.02
    x = torch.cat(
        [torch.linspace(-top, top, 5001), torch.logspace(-8, 0, 99), -torch.logspace(-8, 0, 99)]
    )
    x = torch.cat([x, torch.tensor([0.0, torch.inf, -torch.inf, torch.nan])]).to(dtype)
    one = torch.ones((), dtype=dtype)
    call = call_of(made, x[None], [one, one], [torch.zeros_like(x)] * 3, keep=False)
    _, found, _ = Prepared(call, made.kernel(dtype)).forward(call)
    for value, function in zip(found, (torch.exp, torch.tanh, torch.sigmoid), strict=True):
        right = function(x.double()) if dtype == F32 else function(x)
        assert torch.equal(value.isnan(), right.isnan())
        rounded = right.to(dtype)
        assert torch.equal(value.isinf(), rounded.isinf())
        fine = right.abs().gt(info.tiny * 4) & rounded.isfinite()
        error = ((value.double() - right) / right)[fine].abs().max()
        assert error < 6 * info.eps
        assert (
            value[~fine & rounded.isfinite()] - rounded[~fine & rounded.isfinite()]
        ).abs().max() <= 5 * info.tiny


@pytest.mark.parametrize("name", ["quadratic", "msrc-default"])
def test_without_the_compiled_library(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then kernels that were compiled at first use are called through ctypes."""
    problem = problem_of(NEURONS[name], 20, (2, 10), F64)
    usual = by_kernel(NEURONS[name], problem).flat()
    monkeypatch.setattr(library, "load", lambda: (None, "not built: no compiler"))
    assert caller() is by_ctypes
    found = by_kernel(NEURONS[name], problem).flat()
    assert all(torch.equal(found[key], value) for key, value in usual.items())


def test_a_step_is_printed_alike_every_time() -> None:
    """Or each process would compile it anew."""
    Params, State = namedtuple("Params", "alpha"), namedtuple("State", "a b c")

    def step(params: Any, state: Any, current: Tensor) -> tuple[Tensor, Any]:
        a = params.alpha * state.a + 0.3 * state.b + current
        b = params.alpha * state.b + 0.2 * state.c
        return torch.relu(a), State(a, b, params.alpha * state.c + 0.1 * state.a)

    dynamics = SimpleNamespace(Params=Params, State=State, step=step)
    printed = {source(neurons.Neuron(dynamics).traced(F32), F32).text for _ in range(9)}
    assert len(printed) == 1
    (text,) = printed
    assert (
        text.count("w->scratch->u") > 2
    )  # rows of adjoints that are read after they were written over


def test_results_are_refused_in_another_type() -> None:
    made = kernels(NEURONS["quadratic"])
    problem = NEURONS["quadratic"].problem(2, (3,), F32)
    with pytest.raises(TypeError, match="float64"):
        Prepared(call_of(made, *problem[:3]), made.kernel(F64))
