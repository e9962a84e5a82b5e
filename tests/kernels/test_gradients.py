"""Gradients of the sequence operator equal those of the reference scan under autograd, for every neuron and option."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import pytest
import torch

from snn_neuromod import dynamics, surrogate
from tests.helpers import pairwise
from tests.kernels import reference
from tests.kernels.reference import SRC_FAMILY, Case, gradients, make_case

DETACHED = {"straight_through": True, "detach_recurrence": True}
FULL = {"straight_through": False, "detach_recurrence": False}
ALIF = {"psi": surrogate.Psi(), "reset": "subtract", "refractory": 0, "detach_reset": False}
STDP = {"psi": dynamics.stdp_alif.PSI, "refractory": 2, "detach_reset": False}
IZHIKEVICH = {"psi": dynamics.izhikevich.PSI, "detach_reset": False}
PATHS: dict[str, dict[str, Any]] = {
    "feedforward": {},
    "recurrent": {"recurrent": True},
    "e-prop": {"recurrent": True, "hops": 0},
}
every_path = pytest.mark.parametrize("path", PATHS)

assert_equal_gradients = partial(reference.assert_equal_gradients, segments=(1, 7))
"""In segments of one step and of seven, which the 20 of a sequence are no multiple of."""


@pytest.mark.parametrize("neuron", SRC_FAMILY)
@pytest.mark.parametrize(
    ("straight_through", "detach_recurrence", "z", "path"),
    pairwise([True, False], [True, False], [0.0, 0.3], PATHS),
)
def test_src_family(
    neuron: str, straight_through: bool, detach_recurrence: bool, z: float, path: str
) -> None:
    options = {"straight_through": straight_through, "detach_recurrence": detach_recurrence}
    b = {"b": -4.0} if neuron == "src" else {}
    assert_equal_gradients(make_case(neuron, options, z=z, **b, **PATHS[path]))


@pytest.mark.parametrize(
    ("neuron", "options", "path"), pairwise(SRC_FAMILY, [DETACHED, FULL], PATHS)
)
def test_src_family_with_parameters_per_neuron(
    neuron: str, options: dict[str, bool], path: str
) -> None:
    params = {
        "alpha": torch.linspace(0.3, 0.9, 4),
        "rho": torch.tensor([3.0, math.inf, 2.0, math.inf]),
        "r": torch.linspace(2, 4, 4),
        "r_s": torch.linspace(-7, -6, 4),
        "z": torch.linspace(0, 0.3, 4),
        "z_hyp": torch.linspace(0.5, 0.9, 4),
        "z_dep": torch.linspace(0, 0.2, 4),
        "b": torch.linspace(-5, -4, 4) if neuron == "src" else torch.linspace(-0.5, 0.5, 4),
    }
    grads = assert_equal_gradients(make_case(neuron, options, **params, **PATHS[path]))
    assert (grads["rho"] == 0).tolist() == [False, True, False, True]


@pytest.mark.parametrize(
    ("neuron", "options", "shape", "path"),
    pairwise(["msrc", "bsrc"], [DETACHED, FULL], [(20, 3, 4), (20, 1, 4), (1, 3, 4), (4,)], PATHS),
)
def test_modulation(
    neuron: str, options: dict[str, bool], shape: tuple[int, ...], path: str
) -> None:
    h_s0 = torch.rand(shape, generator=torch.Generator().manual_seed(1)) + 0.5
    grads = assert_equal_gradients(make_case(neuron, options, h_s0=h_s0, **PATHS[path]))
    assert grads["h_s0"].abs().max() > 0


@every_path
def test_other_parameters_per_step(path: str) -> None:
    b = torch.linspace(-6, -4, 20)[:, None, None].expand(20, 1, 4)
    assert_equal_gradients(make_case("src", FULL, b=b, **PATHS[path]))


@pytest.mark.parametrize(
    ("reset", "refractory", "detach_reset", "path"),
    pairwise(["subtract", "zero", "none"], [0, 2], [True, False], PATHS),
)
def test_alif(reset: str, refractory: int, detach_reset: bool, path: str) -> None:
    options = {
        **ALIF,
        "reset": reset,
        "refractory": refractory,
        "detach_reset": detach_reset,
    }
    assert_equal_gradients(
        make_case("alif", options, alpha=0.8, rho=torch.linspace(0.5, 1, 4), **PATHS[path])
    )


@every_path
@pytest.mark.parametrize(
    "psi",
    [
        surrogate.Psi(refractory=-1.0, at_spike=0.5),
        surrogate.Psi(shape="gaussian", scale="none", width=0.5),
        surrogate.Psi(shape="arctan", at_spike=0.0, refractory=1.0),
    ],
    ids=["triangular", "gaussian", "arctan"],
)
def test_pseudo_derivatives(psi: surrogate.Psi, path: str) -> None:
    assert_equal_gradients(make_case("alif", {**ALIF, "psi": psi, "refractory": 2}, **PATHS[path]))


PSIS = [
    surrogate.Psi(shape=shape, scale=scale, refractory=refractory, at_spike=at_spike, width=width)
    for shape, scale, refractory, at_spike, width in [
        ("triangular", "none", 0.0, None, 1.0),
        ("triangular", "threshold", -1.0, -1.0, 2.0),
        ("exponential", "none", 1.0, 1.0, 1.0),
        ("boxcar", "threshold", -1.0, None, 3.0),
        ("fast_sigmoid", "none", 1.0, 0.0, 0.5),
        ("gaussian", "threshold", 0.0, 0.0, 1.0),
        ("arctan", "none", -1.0, 0.5, 1.0),
    ]
]


@pytest.mark.parametrize(
    ("psi", "neuron", "path"), pairwise(PSIS, ["stdp_alif", "izhikevich"], PATHS)
)
def test_pseudo_derivatives_of_every_neuron(psi: surrogate.Psi, neuron: str, path: str) -> None:
    options = STDP if neuron == "stdp_alif" else IZHIKEVICH
    params = {"dt": 0.5} if neuron == "izhikevich" else {"alpha": 0.8}
    assert_equal_gradients(make_case(neuron, {**options, "psi": psi}, **params, **PATHS[path]))


@pytest.mark.parametrize(
    ("neuron", "options"),
    [("alif", {**ALIF, "refractory": 2}), ("stdp_alif", STDP), ("izhikevich", IZHIKEVICH)],
)
def test_each_value_of_psi_gives_a_gradient_of_its_own(
    neuron: str, options: dict[str, Any]
) -> None:
    """While refractory 0, -gamma and +gamma, and at the spike; Izhikevich neurons are never refractory."""
    changes = [{}, {"at_spike": 0.0}, {"at_spike": -1.0}, {"at_spike": 0.7}, {"gamma": 0.2}]
    changes += [{"scale": "threshold"}, {"scale": "none"}]
    params = {} if neuron == "izhikevich" else {"v_th": 0.8}
    if neuron != "izhikevich":
        changes += [{"refractory": 1.0}, {"refractory": -1.0}]
    found = set()
    for change in changes:
        psi = surrogate.Psi(**{"scale": "none", "width": 1.5, **change})
        case = make_case(neuron, {**options, "psi": psi}, recurrent=True, hops=0, **params)
        found.add(gradients(case, fast=True)[2]["w_rec"].abs().sum().item())
    assert len(found) == len(changes) - 1  # the scale "none" stands there twice


@every_path
@pytest.mark.parametrize("detach_reset", [True, False])
def test_stdp_alif(detach_reset: bool, path: str) -> None:
    options = {**STDP, "detach_reset": detach_reset}
    assert_equal_gradients(make_case("stdp_alif", options, alpha=0.8, **PATHS[path]))


@pytest.mark.parametrize(
    ("clip_jacobian", "detach_reset", "path"), pairwise([None, 0.9], [True, False], PATHS)
)
def test_izhikevich(clip_jacobian: float | None, detach_reset: bool, path: str) -> None:
    options = {**IZHIKEVICH, "detach_reset": detach_reset, "clip_jacobian": clip_jacobian}
    assert_equal_gradients(
        make_case("izhikevich", options, dt=torch.linspace(0.3, 0.6, 4), **PATHS[path])
    )


DELAYS = {
    "one": 3,
    "by neuron": torch.tensor([1, 9, 2, 9]),
    "longer than the run": torch.tensor([25, 1, 1, 30]),
    "by synapse": torch.tensor([[1, 2, 3, 4], [1, 1, 9, 9], [2, 2, 2, 2], [1, 4, 5, 1]]),
}


DELAYED: dict[str, dict[str, Any]] = {
    "src": FULL,
    "bsrc": DETACHED,
    "alif": {**ALIF, "refractory": 1},
    "stdp_alif": STDP,
    "izhikevich": IZHIKEVICH,
    "leaky_integrator": {"normalise": True},
}


@pytest.mark.parametrize(("neuron", "by", "hops"), pairwise(DELAYED, DELAYS, [None, 0]))
def test_delays(neuron: str, by: str, hops: int | None) -> None:
    """Delays shorter and longer than the segments and than the sequence."""
    options, delay = DELAYED[neuron], DELAYS[by]
    params = {"b": -4.0} if neuron == "src" else {"dt": 0.5} if neuron == "izhikevich" else {}
    case = make_case(neuron, options, recurrent=True, hops=hops, delay=delay, **params)
    grads = assert_equal_gradients(case)
    assert grads["w_rec"].abs().min() > 0


class _ClippedGrowth(torch.autograd.Function):
    """v + dt (0.04 v^2 + 5 v + rest), whose derivative by v is clipped."""

    @staticmethod
    def forward(
        ctx: Any, v: torch.Tensor, rest: torch.Tensor, dt: torch.Tensor, clip: float
    ) -> Any:
        ctx.save_for_backward(v, rest, dt)
        ctx.clip = clip
        return v + dt * (0.04 * v**2 + 5 * v + rest)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> Any:
        v, rest, dt = ctx.saved_tensors
        slope = torch.clip(1 + dt * (0.08 * v + 5), -ctx.clip, ctx.clip)
        by_dt = grad * (0.04 * v**2 + 5 * v + rest)
        return grad * slope, grad * dt, by_dt.sum_to_size(dt.shape), None


def _clipped_step(params: Any, state: Any, current: torch.Tensor, **options: Any) -> Any:
    a, b, c, d, dt = params
    z = state.z.detach() if options["detach_reset"] else state.z
    v, u = state.v - (state.v - c) * z, state.u + d * z
    v_next = _ClippedGrowth.apply(v, 140 - u + current, dt, options["clip_jacobian"])
    z = options["spike_fn"](v_next - 30.0, 30.0, None)
    return z, type(state)(v_next, u + dt * a * (b * v - u), z)


@pytest.mark.parametrize(
    ("clip", "detach_reset", "path"), pairwise([0.5, 1.0, 3.0], [True, False], PATHS)
)
def test_clipped_jacobian(
    clip: float, detach_reset: bool, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against autograd of a step that clips in a function of its own; and the gradient is another one."""
    options = {**IZHIKEVICH, "detach_reset": detach_reset}
    exact = make_case("izhikevich", options, dt=torch.linspace(0.3, 0.6, 4), **PATHS[path])
    clipped = exact._replace(options={**options, "clip_jacobian": clip})
    found = assert_equal_gradients(clipped)
    *_, exactly = gradients(exact, fast=True)
    for name in ("current", "c", "d", "initial v", *(["w_rec"] if PATHS[path] else [])):
        assert (found[name] - exactly[name]).norm() > 1e-3 * exactly[name].norm(), name
    assert torch.equal(clipped.operator()[0], exact.operator()[0])
    monkeypatch.setattr(dynamics.izhikevich, "step", _clipped_step)
    *_, oracle = gradients(clipped, fast=False)
    for name, expected in oracle.items():
        torch.testing.assert_close(
            found[name], expected, rtol=1e-9, atol=1e-10 * expected.abs().max().item()
        )


@pytest.mark.parametrize("normalise", [True, False])
def test_leaky_integrator(normalise: bool) -> None:
    assert_equal_gradients(make_case("leaky_integrator", {"normalise": normalise}))


@pytest.mark.parametrize(
    ("neuron", "options"),
    [("msrc", DETACHED), ("alif", ALIF), ("stdp_alif", STDP), ("izhikevich", IZHIKEVICH)],
)
def test_eprop_differs_from_bptt(neuron: str, options: dict[str, bool]) -> None:
    """Negative control: the recurrent path carries gradient that e-prop leaves out."""
    bptt = make_case(neuron, options, recurrent=True)
    *_, full = gradients(bptt, fast=True)
    *_, eprop = gradients(bptt._replace(hops=0), fast=True)
    difference = (full["w_rec"] - eprop["w_rec"]).norm() / full["w_rec"].norm()
    assert difference > 1e-3


@pytest.mark.parametrize("neuron", ["src", "bsrc"])
@pytest.mark.parametrize("options", [DETACHED, FULL], ids=["detached", "full"])
def test_each_parameter_alone(neuron: str, options: dict[str, bool]) -> None:
    """What is kept for the backward pass depends on which parameters need a gradient."""
    case = make_case(neuron, options)
    *_, expected = gradients(case, fast=False)
    for name in case.module.Params._fields:
        alone = Case(
            neuron,
            options,
            case.current.detach(),
            [p.detach() for p in case.params],
            [s.detach() for s in case.state],
        )
        alone.leaves[name].requires_grad_()
        spikes, state = alone.operator()
        generator = torch.Generator().manual_seed(7)
        draw = [torch.randn(x.shape, generator=generator, dtype=x.dtype) for x in (spikes, *state)]
        loss = sum((x * w).sum() for x, w in zip((spikes, *state), draw, strict=True))
        (found,) = torch.autograd.grad(loss, alone.leaves[name])
        torch.testing.assert_close(found, expected[name], rtol=1e-9, atol=1e-12)
