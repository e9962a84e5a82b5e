"""Kernels printed in Triton, of every neuron, against the neuron's own step in float64."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import snn_neuromod as nm
from tests.cuda.conftest import COMPILED, ON_CPU
from tests.layers.cases import CASES, NEURONS, LayerCase

TOLERANCE = 1e-9


class Quadratic:
    """A user's own neuron."""

    MEMBRANE = ("v",)

    class Params(NamedTuple):
        alpha: float = 0.9
        v_th: float = 1.0

    class State(NamedTuple):
        v: Tensor

    @classmethod
    def initial_state(cls, current: Tensor) -> Any:
        return cls.State(torch.zeros_like(current))

    @classmethod
    def step(cls, params: Any, state: Any, current: Tensor) -> tuple[Tensor, Any]:
        v = params.alpha * state.v + 0.1 * state.v**2 + current
        z = nm.Psi()(v - params.v_th, params.v_th)
        return z, cls.State(v - v * z)


def quadratic(num_neurons: int, **options: Any) -> nm.Custom:
    return nm.Custom(num_neurons, Quadratic, **options)


USERS = LayerCase(quadratic, learnable=("alpha", "v_th"))  # type: ignore[arg-type]
ALL = [*CASES, USERS]


def learning(case: LayerCase, num_neurons: int = NEURONS) -> Any:
    """The layer with all its parameters learned."""
    attached = "detach_recurrence" in inspect.signature(case.layer).parameters and not case.exact
    through = {"detach_recurrence": False} if case.learnable and attached else {}
    return case.make(num_neurons, learn=case.learnable, **through)


def run(
    layer: Any, current: Tensor, backend: str, state: Any = None, **arguments: Any
) -> list[Tensor]:
    """Spikes, last state, and the gradients of everything that can have one."""
    current = current.detach().requires_grad_()
    if state is None:
        state = layer.initial_state(current[0].detach())
    state = type(state)(*(s.detach().requires_grad_() for s in state))
    layer.zero_grad()
    with nm.kernels.use(backend):  # type: ignore[arg-type]
        spikes, last = layer(current, state, **arguments)
    generator = torch.Generator().manual_seed(2)
    results = [spikes, *last]
    weights = [torch.rand(r.shape, generator=generator, dtype=torch.float64) for r in results]
    pairs = zip(results, weights, strict=True)
    loss = sum((r * w.to(r)).sum() for r, w in pairs)
    inputs = [current, *state, *layer.parameters()]
    grads = torch.autograd.grad(loss, inputs, allow_unused=True)
    found = [torch.zeros_like(x) if g is None else g for x, g in zip(inputs, grads, strict=True)]
    return [x.detach().cpu() for x in (*results, *found)]


def error(found: list[Tensor], expected: list[Tensor]) -> list[float]:
    """Of each tensor, relative to its largest element, or to 1e-6; infinite where something is not a number."""
    most = [(a.double() - b.double()).abs().max() for a, b in zip(found, expected, strict=True)]
    sizes = [b.double().abs().max().clamp(min=1e-6) for b in expected]
    return [float((m / s).nan_to_num(torch.inf)) for m, s in zip(most, sizes, strict=True)]


@pytest.mark.parametrize("num_steps", [1, 29, 32])
@pytest.mark.parametrize("case", ALL, ids=str)
def test_equals_the_step(case: LayerCase, num_steps: int, device: torch.device) -> None:
    layer = learning(case).double()
    current = case.current(num_steps, torch.float64)
    expected = run(layer, current, "reference")
    found = run(layer.to(device), current.to(device), "triton")
    assert max(error(found, expected)) < TOLERANCE


@pytest.mark.parametrize("case", ALL, ids=str)
def test_is_as_accurate_as_plain_pytorch(case: LayerCase, device: torch.device) -> None:
    """In float32, over 30 steps, beside eager on the same device: the same spikes if they are decided, or its error.

    Of errors the geometric mean: a few neurons on the verge of a spike, whose errors grow a thousandfold, decide the
    arithmetic one.
    """
    layer = learning(case, 200)
    current = case.mean + case.std * torch.randn(30, 6, 200)
    expected = run(learning(case, 200).double(), current.double(), "reference")
    eager = run(layer.to(device), current.to(device), "eager")
    found = run(layer, current.to(device), "triton")
    if {*eager[0].unique().tolist()} <= {0.0, 1.0}:
        assert torch.equal(found[0], eager[0])
    for mine, theirs, right in zip(found, eager, expected, strict=True):
        least = 1e-7 * right.abs().mean()
        own, eagers = ((x - right).abs().add(least).log().mean().exp() for x in (mine, theirs))
        assert own <= 3 * eagers


@pytest.mark.parametrize("case", ALL, ids=str)
def test_states_passed_on_give_the_same_run(case: LayerCase, device: torch.device) -> None:
    layer, current = case.make().to(device), case.current(33).to(device)
    with nm.kernels.use("triton"):
        whole, end = layer(current)
        first, state = layer(current[:12])
        second, last = layer(current[12:], state)
    assert torch.equal(whole, torch.cat([first, second]))
    assert all(torch.equal(a, b) for a, b in zip(end, last, strict=True))


@pytest.mark.parametrize("size", [1, 63, 1000])
def test_any_size(size: int, device: torch.device) -> None:
    layer = nm.ALIF(size, learn=["tau_mem", "v_th"]).double()
    current = 0.3 + 0.5 * torch.randn(11, 3, size, dtype=torch.float64)
    expected = run(layer, current, "reference")
    assert max(error(run(layer.to(device), current.to(device), "triton"), expected)) < TOLERANCE


def test_several_axes_of_samples_and_strides(device: torch.device) -> None:
    layer = nm.MSRC(None, alpha=0.5).double()
    current = (1.5 + torch.randn(7, 4, 2, 3, 13, dtype=torch.float64)).permute(4, 1, 2, 3, 0)
    current, modulation = current[..., ::2], torch.rand(2, 1, 4, dtype=torch.float64)
    expected = run(layer, current, "reference", modulation=modulation)
    found = run(layer.to(device), current.to(device), "triton", modulation=modulation.to(device))
    assert max(error(found, expected)) < TOLERANCE


@pytest.mark.parametrize("make", [nm.MSRC, nm.BSRC])
def test_modulation_per_step(make: Any, device: torch.device) -> None:
    layer = make(5, alpha=0.5, learn=["r"]).double()
    current = 1.5 + torch.randn(23, 2, 5, dtype=torch.float64)
    for shape in ((23, 1, 5), (23, 2, 5), (1, 2, 5), (23, 1, 1)):
        modulation = torch.rand(shape, dtype=torch.float64).requires_grad_()
        grads = []
        for where, backend in (("cpu", "reference"), (device, "triton")):
            on = modulation.detach().to(where).requires_grad_()
            with nm.kernels.use(backend):  # type: ignore[arg-type]
                spikes, _ = layer.to(where)(current.to(where), modulation=on)
            grads.append(torch.autograd.grad(spikes.square().sum(), on)[0].cpu())
        assert max(error(grads[1:], grads[:1])) < TOLERANCE


def test_a_parameter_whose_samples_lie_far_apart(device: torch.device, tmp_path: Path) -> None:
    """Further than 32 bits count; on a CPU in a file with holes."""
    if COMPILED:
        pytest.skip("who touched each byte of so much memory would not fit in memory")
    far, num = 1 << 30, 5
    if device.type == "cpu":
        memory = torch.from_file(str(tmp_path / "memory"), shared=True, size=2 * far + num)
    else:
        memory = torch.empty(2 * far + num, device=device)
    modulation = memory.as_strided((3, num), (far, 1)).copy_(torch.rand(3, num))
    layer, current = nm.MSRC(num, alpha=0.5).to(device), 5 * torch.rand(7, 3, num, device=device)
    with nm.kernels.use("triton"):
        found = layer(current, modulation=modulation)[0]
        expected = layer(current, modulation=modulation.contiguous())[0]
    assert torch.equal(found, expected)
    assert not torch.equal(found, layer(current, modulation=modulation.roll(1, 0))[0])


class Function:
    """A neuron that is one function and remembers nothing."""

    class Params(NamedTuple):
        slope: float = 1.0

    class State(NamedTuple):
        pass

    def __init__(self, function: Any) -> None:
        self.function = function

    def initial_state(self, current: Tensor) -> Any:
        return self.State()

    def step(self, params: Any, state: Any, current: Tensor) -> tuple[Tensor, Any]:
        return self.function(params.slope * current), state


@pytest.mark.filterwarnings("ignore:(overflow|invalid value) encountered:RuntimeWarning")
@pytest.mark.parametrize("function", [torch.sigmoid, torch.tanh])
def test_functions_at_their_ends(function: Any, device: torch.device) -> None:
    """Where an exponential is infinite or 0, as far as infinity; what is between is measured elsewhere."""
    ends = torch.tensor([90.0, 1e3, 1e38, 3.4e38, torch.inf])
    ends = torch.cat([ends, torch.linspace(85, 200, 1000), torch.linspace(0, 12, 200)])
    current = torch.cat([ends, -ends, torch.tensor([torch.nan])])[None, None]
    layer = nm.Custom(current.shape[-1], Function(function), learn=["slope"])
    with nm.kernels.use("triton"):
        x = current.to(device).requires_grad_()
        found = layer.to(device)(x)[0]
        (slope,) = torch.autograd.grad(found.sum(), x)
    y = function(current.double())
    expected = y * (1 - y) if function is torch.sigmoid else 1 - y.square()
    near: dict[str, Any] = {"rtol": 1e-6, "atol": 1.2e-38, "equal_nan": True}
    torch.testing.assert_close(found.detach().cpu().double(), y, **near)
    near["atol"] = 3e-7
    torch.testing.assert_close(slope.cpu().double(), expected, **near)


def test_runs_are_the_same_again(device: torch.device) -> None:
    layer = nm.BSRC(40, learn=["r", "modulation"]).to(device)
    current = torch.rand(50, 3, 40, device=device)
    first, second = (run(layer, current, "triton") for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


UNARY = [torch.tanh, torch.sigmoid, torch.exp, torch.sin, torch.relu, torch.abs, torch.neg]
BINARY = [torch.add, torch.sub, torch.mul, torch.maximum, torch.minimum]


class Drawn:
    """A random elementwise step: two states, three parameters, a threshold and a reset."""

    class Params(NamedTuple):
        p: float = 0.7
        q: float = -0.4
        r: float = 0.3

    class State(NamedTuple):
        u: Tensor
        v: Tensor

    def __init__(self, unary: list[int], binary: list[int], graded: bool) -> None:
        self.unary, self.binary, self.graded = unary, binary, graded

    def initial_state(self, current: Tensor) -> Any:
        return self.State(torch.zeros_like(current), torch.zeros_like(current) + 0.1)

    def step(self, params: Any, state: Any, current: Tensor) -> tuple[Tensor, Any]:
        values = [state.u, state.v, current, params.p * state.v, params.q * current]
        for k, (f, g) in enumerate(zip(self.unary, self.binary, strict=True)):
            one = UNARY[f](0.5 * values[(3 * k + 1) % len(values)])
            values.append(BINARY[g](one, values[(2 * k) % len(values)]) / (1.5 + params.r))
        v = torch.tanh(values[-1] + params.p * values[-2])
        z = torch.relu(v) if self.graded else nm.Psi()(v - params.r, params.r)
        return z, self.State(torch.where(v > 0, 0.5 * v, state.u * params.p), v - z * params.r)


@given(
    unary=st.lists(st.integers(0, len(UNARY) - 1), min_size=3, max_size=3),
    binary=st.lists(st.integers(0, len(BINARY) - 1), min_size=3, max_size=3),
    graded=st.booleans(),
)
@settings(max_examples=3)
def test_random_steps(unary: list[int], binary: list[int], graded: bool) -> None:
    device = torch.device("cpu" if ON_CPU else "cuda")
    layer = nm.Custom(5, Drawn(unary, binary, graded), learn=["p", "q", "r"]).double()
    current = torch.randn(21, 2, 5, dtype=torch.float64)
    expected = run(layer, current, "reference")
    assert max(error(run(layer.to(device), current.to(device), "triton"), expected)) < TOLERANCE


def test_a_step_that_cannot_be_traced_runs_in_plain_pytorch(device: torch.device) -> None:
    class Sorted(Quadratic):
        @classmethod
        def step(cls, params: Any, state: Any, current: Tensor) -> tuple[Tensor, Any]:
            v = torch.special.bessel_j0(params.alpha * state.v + current)
            return torch.relu(v), cls.State(v)

    layer, current = nm.Custom(4, Sorted).to(device), torch.rand(6, 2, 4, device=device)
    assert layer(current)[0].shape == current.shape
    with nm.kernels.use("triton"), pytest.raises(RuntimeError, match="bessel"):
        layer(current)
