"""Penalties on rates and weights: values, and gradients against explicit formulas."""

from __future__ import annotations

import importlib.util
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

if importlib.util.find_spec("pytorch_lightning") is None:
    pytest.skip("pytorch_lightning is not installed", allow_module_level=True)

import snn_neuromod as nm
from lightning_modules.regularisation import L2, FiringRate, mean_rates
from snn_neuromod.connectivity import Random

INPUTS, NEURONS, BATCH, STEPS = 4, 7, 3, 20
LENGTHS = torch.tensor([20, 13, 6])
INSIDE = torch.arange(STEPS)[:, None] < LENGTHS


def make(learning_rule: Any = "eprop", in_features: int = INPUTS) -> nm.Recurrent:
    torch.manual_seed(0)
    layer = nm.ALIF(NEURONS, v_th=0.5, detach_reset=True)
    mask = Random(density=0.6)
    net = nm.Recurrent(layer, in_features, learning_rule=learning_rule, mask_rec=mask)
    return net.double()


def sequence() -> Tensor:
    generator = torch.Generator().manual_seed(3)
    return 1 + torch.randn(STEPS, BATCH, INPUTS, generator=generator, dtype=torch.float64)


def traces(net: Any, x: Tensor) -> tuple[Tensor, Tensor]:
    """Spikes (T, B, N) and eligibility traces (T, B, N, inputs + N), by the recursions of Bellec et al. 2020."""
    alpha, rho, beta, v_th = net.neuron.params(torch.float64)
    w_in, w_rec = net.weights()
    z, state = torch.zeros(BATCH, NEURONS, dtype=torch.float64), None
    eps_v = torch.zeros(BATCH, 1, INPUTS + NEURONS, dtype=torch.float64)
    eps_a = torch.zeros(BATCH, NEURONS, INPUTS + NEURONS, dtype=torch.float64)
    psi = torch.zeros(BATCH, NEURONS, 1, dtype=torch.float64)
    spikes, eligibility = [], []
    for x_t in x:
        eps_a = psi * eps_v + (rho - psi * beta) * eps_a
        eps_v = alpha * eps_v + torch.cat([x_t, z], -1)[:, None]
        z, state = net.neuron.step(x_t @ w_in.T + z @ w_rec.T, state)
        distance = (state.v - v_th - beta * state.a) / v_th
        psi = (0.3 / v_th * (1 - distance.abs()).clamp(min=0))[..., None]
        spikes.append(z)
        eligibility.append(psi * (eps_v - beta * eps_a))
    return torch.stack(spikes).detach(), torch.stack(eligibility).detach()


@pytest.mark.parametrize("dt", [1.0, 0.5])
def test_gradient_with_eligibility_traces(dt: float) -> None:
    """Sum over the steps that count of 2 c (f - f*) / (dt T B) e; another one than BPTT's."""
    x, penalty = sequence(), FiringRate(50.0, 0.1, dt=dt, over="sum")
    net = make()
    z, e = traces(net, x)
    rates = (z * INSIDE[..., None]).sum((0, 1)) / LENGTHS.sum() / dt
    signal = 2 * 50.0 * (rates - 0.1) / (dt * LENGTHS.sum())
    expected = torch.einsum("tb,n,tbni->ni", INSIDE.double(), signal, e)
    spikes, _ = net(x)
    assert torch.equal(spikes, z)
    assert 0.05 < spikes.mean() < 0.9
    value = penalty([spikes], INSIDE)
    assert_close(value, 50.0 * (rates - 0.1).square().sum())
    w_in, w_rec = torch.autograd.grad(value, (net.w_in, net.w_rec))
    assert_close(w_in, expected[:, :INPUTS], rtol=1e-10, atol=1e-12)
    assert_close(w_rec, expected[:, INPUTS:] * net.mask_rec, rtol=1e-10, atol=1e-12)

    exact = make("bptt")
    grad = torch.autograd.grad(penalty([exact(x)[0]], INSIDE), (exact.w_in, exact.w_rec))
    assert (grad[0] - w_in).norm() > 1e-2 * grad[0].norm()


@pytest.mark.parametrize("rule", ["eprop", "bptt"])
@pytest.mark.parametrize("dt", [1.0, 0.5])
def test_gradient_without_eligibility_traces(rule: Any, dt: float) -> None:
    """2 c (f - f*) / dt for each synapse that is there, nothing elsewhere; the value is the same."""
    x, net = sequence(), make(rule)
    spikes, _ = net(x)
    options: dict[str, Any] = {"dt": dt, "over": "sum"}
    value = FiringRate(50.0, 0.1, eligibility=False, **options)([spikes], INSIDE, layers=[net])
    assert_close(value, FiringRate(50.0, 0.1, **options)([spikes], INSIDE))
    w_in, w_rec = torch.autograd.grad(value, (net.w_in, net.w_rec))
    rates = mean_rates(spikes.detach(), INSIDE) / dt
    expected = (2 * 50.0 * (rates - 0.1) / dt)[:, None].expand(-1, NEURONS)
    assert expected.abs().min() > 0
    assert_close(w_in, expected[:, :INPUTS])
    assert_close(w_rec, expected * net.mask_rec)


def test_layers_with_targets_of_their_own() -> None:
    low, high = make(), make(in_features=NEURONS)
    first, _ = low(sequence())
    second, _ = high(3 * first)
    spikes = [first, second]
    rates = [layer.mean((0, 1)) for layer in spikes]
    assert all((rate > 0).any() for rate in rates)
    total = FiringRate(2.0, [0.1, 0.3], over="sum")(spikes)
    assert_close(total, 2 * ((rates[0] - 0.1).square().sum() + (rates[1] - 0.3).square().sum()))
    mean = FiringRate(2.0, [0.1, 0.3])(spikes)
    assert_close(mean, (rates[0] - 0.1).square().mean() + (rates[1] - 0.3).square().mean())
    free = FiringRate(2.0, [0.1, 0.3], eligibility=False)(spikes, layers=[low, high])
    (grad,) = torch.autograd.grad(free, high.w_in)
    assert_close(grad, (2 * (rates[1] - 0.3).detach() / NEURONS)[:, None].expand(-1, NEURONS))


def test_frames_of_several_steps() -> None:
    """What lies behind a sequence's end has no part, neither in the rate nor in the gradient."""
    spikes = torch.rand(STEPS * 3, BATCH, 2, requires_grad=True)
    value = FiringRate(1.0, 0.2)([spikes], INSIDE)
    (grad,) = torch.autograd.grad(value, spikes)
    steps = INSIDE.repeat_interleave(3, 0)
    assert not grad[~steps].any()
    assert grad[steps].all()
    assert_close(mean_rates(spikes, INSIDE), spikes[steps].mean(0))


def test_l2() -> None:
    """Lambda / 2 times the squares of the synapses that are there; the gradient is weight decay."""
    net = torch.nn.Sequential(make(), nm.LeakyReadout(NEURONS, 2, feedback="adaptive").double())
    layer, readout = net
    parts = [layer.w_in, layer.w_rec, readout.w_out, readout.b_feedback]
    value = L2(1e-2)(net)
    assert_close(value, 0.5e-2 * sum(part.square().sum() for part in parts))
    for part, grad in zip(parts, torch.autograd.grad(value, parts), strict=True):
        assert_close(grad, 1e-2 * part)
    assert not torch.autograd.grad(L2(1.0)(net), layer.w_rec)[0][~layer.mask_rec].any()
    fixed = nm.LeakyReadout(3, 2, feedback="random")
    assert_close(L2(2.0)(fixed), fixed.w_out.square().sum())
    assert_close(L2(2.0, names=("bias",))(fixed), torch.tensor(0.0))


@pytest.mark.parametrize(
    ("make_it", "error", "message"),
    [
        (lambda: FiringRate(-1.0), ValueError, "FiringRate: weight must be >= 0, got -1.0"),
        (lambda: FiringRate(1.0, [0.1, -0.1]), ValueError, "FiringRate: target must be >= 0, got"),
        (lambda: FiringRate(dt=0.0), ValueError, "FiringRate: dt must be > 0, got 0.0"),
        (lambda: FiringRate(over="all"), ValueError, "FiringRate: over must be mean or sum, got"),  # type: ignore[arg-type]
        (
            lambda: FiringRate(1.0, [0.1])([torch.zeros(2, 1, 1)] * 2),
            ValueError,
            "FiringRate: target must be one for all layers or one for each of 2, got 1",
        ),
        (
            lambda: FiringRate(1.0, eligibility=False)([torch.zeros(2, 1, 1)]),
            ValueError,
            "FiringRate: layers must be the 1 layers with eligibility=False, got none",
        ),
        (
            lambda: FiringRate(1.0, eligibility=False)(
                [torch.zeros(2, 1, 1)], layers=[torch.nn.ReLU()]
            ),
            TypeError,
            "FiringRate: layers must be Recurrent with eligibility=False, got ReLU",
        ),
        (lambda: L2(float("nan")), ValueError, "L2: weight must be >= 0, got nan"),
        (lambda: L2(1.0)(torch.nn.ReLU()), ValueError, "L2: names must hold names of learned"),
    ],
)
def test_errors(make_it: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make_it()
