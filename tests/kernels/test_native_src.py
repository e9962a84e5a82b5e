"""The C kernels of the SRC family: options, parameters of every shape, modulation per step, accuracy."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch

import snn_neuromod as nm
from snn_neuromod import dynamics
from snn_neuromod.kernels import neurons, operator
from tests.kernels.native import served
from tests.kernels.reference import SRC_FAMILY, Case, assert_equal_gradients, gradients, make_case

pytestmark = served
every_neuron = pytest.mark.parametrize("neuron", SRC_FAMILY)


def options(straight_through: bool = False, detach_recurrence: bool = False) -> dict[str, bool]:
    return {"straight_through": straight_through, "detach_recurrence": detach_recurrence}


@every_neuron
@pytest.mark.parametrize(
    "params",
    [
        {},
        {"z": 0.3, "z_dep": 0.2},
        {"rho": math.inf, "alpha": 0.0},
        {"r": torch.linspace(1, 4, 40)},
    ],
    ids=["source", "leaky", "unbounded", "per neuron"],
)
def test_options(neuron: str, params: dict[str, Any]) -> None:
    for chosen in itertools.product([True, False], repeat=2):
        case = make_case(neuron, options(*chosen), shape=(20, 13, 40), **params)
        assert_equal_gradients(case, tolerance=1e-8)


@every_neuron
@pytest.mark.parametrize("num", [4, 300])
def test_parameters_per_neuron_and_per_sample(neuron: str, num: int) -> None:
    rho = torch.full((num,), 3.0)
    rho[::3] = math.inf
    params = {
        "rho": rho,
        "alpha": torch.rand(5, 1),
        "z_hyp": 0.8 + 0.1 * torch.rand(5, num),
        "b": torch.zeros(1),
    }
    assert_equal_gradients(
        make_case(neuron, options(), shape=(20, 5, num), **params), tolerance=1e-9
    )


@pytest.mark.parametrize("neuron", ["msrc", "bsrc"])
@pytest.mark.parametrize(
    "shape", [(20, 5, 7), (20, 5, 1), (20, 1, 7), (20, 1, 1), (1, 5, 7), (5, 7)], ids=str
)
def test_modulation_per_step(neuron: str, shape: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(0)
    modulation = 0.5 + torch.rand(shape, generator=generator, dtype=torch.float64)
    found = assert_equal_gradients(
        make_case(neuron, options(), shape=(20, 5, 7), h_s0=modulation), tolerance=1e-9
    )
    assert found["h_s0"].abs().max() > 0


def test_modulation_over_more_batch_axes() -> None:
    generator = torch.Generator().manual_seed(0)
    for shape in [(20, 2, 1, 3, 4), (20, 1, 1, 1, 1), (3, 1), (5, 1, 4)]:
        modulation = 0.5 + torch.rand(shape, generator=generator, dtype=torch.float64)
        case = make_case("msrc", options(True, True), shape=(20, 2, 5, 3, 4), h_s0=modulation)
        assert_equal_gradients(case, tolerance=1e-9)


@every_neuron
@pytest.mark.parametrize("num_steps", [15, 16, 17, 300])
def test_any_number_of_steps(neuron: str, num_steps: int) -> None:
    """Across the stored states; long runs with the gradient of the source, which they do not amplify."""
    case = make_case(neuron, options(True, True), shape=(num_steps, 2, 3), alpha=0.5)
    assert_equal_gradients(case, tolerance=1e-7)


@every_neuron
@pytest.mark.parametrize("num", [3, 1000])
def test_segmented_run_equals_full_run(neuron: str, num: int) -> None:
    case = make_case(neuron, options(), shape=(40, 2, num), dtype=torch.float32)
    spikes, state = case.operator()
    first, middle = case._replace(current=case.current[:19]).operator()
    second, last = case._replace(current=case.current[19:], state=middle).operator()
    assert (spikes > 0.5).any()
    assert torch.equal(torch.cat([first, second]), spikes)
    assert all(torch.equal(a, b) for a, b in zip(last, state, strict=True))


def _doubled(case: Case) -> Case:
    leaves = [x.detach().double().requires_grad_() for x in case.leaves.values()]
    count = len(case.params)
    return case._replace(current=leaves[0], params=leaves[1 : 1 + count], state=leaves[1 + count :])


@every_neuron
@pytest.mark.parametrize("detach_recurrence", [True, False])
def test_float32_is_as_precise_as_eager(neuron: str, detach_recurrence: bool) -> None:
    """Errors against float64, in the geometric mean over runs at most three times those of the eager form."""
    logs = []
    for seed in range(6):
        per_neuron = {k: torch.full((64,), v) for k, v in _defaults(neuron).items()}
        rough = make_case(
            neuron,
            options(True, detach_recurrence),
            shape=(30, 16, 64),
            dtype=torch.float32,
            seed=seed,
            **per_neuron,
        )
        with nm.kernels.use("eager"):
            spikes, state, grads = gradients(_doubled(rough), fast=True)
        exact = [spikes, *state, *grads.values()]
        logs.append(_log_errors(rough, exact, "c") - _log_errors(rough, exact, "eager"))
    ratios = torch.stack(logs).mean(0).exp()
    names = ["spikes", *rough.module.State._fields, *grads]
    too_high = {n: r.item() for n, r in zip(names, ratios, strict=True) if not r <= 3}
    assert not too_high


def _defaults(neuron: str) -> dict[str, float]:
    return {**getattr(dynamics, neuron).Params()._asdict()}


def _log_errors(case: Case, exact: list[torch.Tensor], backend: Any) -> torch.Tensor:
    with nm.kernels.use(backend):
        spikes, state, grads = gradients(case, fast=True)
    found = [spikes, *state, *grads.values()]
    errors = [
        (a.double() - b).norm() + 1e-7 * (1 + b.norm()) for a, b in zip(found, exact, strict=True)
    ]
    return torch.stack(errors).log()


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 3e-7), (torch.float64, 5e-16)])
def test_tanh_is_accurate(dtype: torch.dtype, tolerance: float) -> None:
    """The kernels' own tanh, seen through one step of a cell without feedback."""
    x = torch.cat(
        [torch.linspace(-25, 25, 20001), torch.logspace(-8, 0, 1001), torch.tensor([-1e30, 1e30])]
    )
    x = x.to(dtype)
    params = [torch.tensor(v, dtype=dtype) for v in (0.0, math.inf, 0.0, 0.0, 0.0, 0.9, 0.0, 0.0)]
    state = [torch.zeros_like(x) for _ in range(3)]
    encoded = neurons.encode("src", **options())
    _, (_, h, _) = operator.run(encoded, x[None], params, state)
    expected = torch.tanh(x.double())
    assert ((h.double() - expected) / expected.abs().clamp(min=1e-30)).abs().max() < tolerance
    assert h.abs().max() <= 1


@every_neuron
def test_nan_stays_nan(neuron: str) -> None:
    case = make_case(neuron, options(), shape=(20, 2, 300))
    current = case.current.detach().clone()
    current[3, 1, 7] = math.nan
    with torch.no_grad():
        spikes, (_, h, *_) = case._replace(current=current).operator()
    assert h[1, 7].isnan()
    assert h.isnan().sum() == 1
    assert spikes.isnan().sum() <= 17


def test_layer_with_everything_learned_stays_on_the_kernels() -> None:
    """Also where the bias leaves its range, from where the layer lets it come back."""
    layer = nm.SRC(6, learn=["alpha", "rho", "r", "r_s", "z", "b"], detach_recurrence=False)
    with torch.no_grad():
        layer.b[:3] = -3.0
    current = 3 * torch.rand(25, 4, 6)

    def found(backend: Any) -> list[torch.Tensor]:
        with nm.kernels.use(backend):
            return [*torch.autograd.grad(layer(current)[0].sum(), [*layer.parameters()])]

    for a, b in zip(found("c"), found("reference"), strict=True):
        torch.testing.assert_close(a, b, rtol=2e-3, atol=1e-5)


def test_compiles_into_one_graph() -> None:
    layer = nm.MSRC(5, learn_modulation=True)
    current = (3 * torch.rand(20, 2, 5)).requires_grad_()
    modulation = 0.5 + torch.rand(20, 2, 1)

    def loss(x: torch.Tensor) -> torch.Tensor:
        return layer(2 * x)[0].sum() + layer(x, modulation=modulation)[0].square().sum()

    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    expected = torch.autograd.grad(loss(current), [current, layer.modulation])
    found = torch.autograd.grad(compiled(current), [current, layer.modulation])
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b)
