"""What is particular to the layers of the SRC family: start, bound of the bias, modulation, gradient of the source."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch.testing import assert_close

import snn_neuromod as nm
from snn_neuromod.layers import Uniform
from tests.layers.cases import assert_live, scanned

MODULATED = pytest.mark.parametrize("make", [nm.MSRC, nm.BSRC])
ALL = pytest.mark.parametrize("make", [nm.SRC, nm.MSRC, nm.BSRC])


def live(num_steps: int = 30, neurons: int = 4, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    generator = torch.Generator().manual_seed(2)
    return 1.5 + torch.randn(num_steps, 2, neurons, generator=generator, dtype=dtype)


@ALL
@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("neurons", [1, 7, 100, 3000])
def test_segments_of_any_size_are_the_full_run(make: Any, threads: int, neurons: int) -> None:
    """Bit by bit, also where PyTorch's vectorised loops and threads split the steps in the middle of a layer."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        torch.manual_seed(0)
        layer, current = make(neurons), 1.5 + torch.randn(40, 1, neurons)
        full, full_state = layer(current)
        for split in (1, 8, 19, 39):
            head, state = layer(current[:split])
            tail, state = layer(current[split:], state)
            assert torch.equal(torch.cat([head, tail]), full)
            assert all(map(torch.equal, state, full_state))
    finally:
        torch.set_num_threads(before)
    assert (full > 0.5).any()


def test_start_of_the_source() -> None:
    """H and h_s: one vector, drawn once per neuron from U(-0.7, -0.1), the same for every element of the batch."""
    layer = nm.SRC(2000)
    state = layer.initial_state(torch.zeros(3, 2000))
    assert torch.equal(state.h, state.h_s)
    assert torch.equal(state.h[0], state.h[2])
    assert -0.7 <= state.h.min() < -0.69
    assert -0.11 < state.h.max() <= -0.1
    assert torch.equal(layer.initial_state(torch.zeros(3, 2000)).h, state.h)
    assert not state.i.any()


def test_start_on_request_and_at_rest() -> None:
    assert (nm.SRC(3, start=-0.5).initial_state(torch.zeros(2, 3)).h == -0.5).all()
    given = torch.tensor([-0.5, -0.4, 0.1])
    assert torch.equal(nm.MSRC(3, start=given).initial_state(torch.zeros(2, 3)).h[1], given)
    assert (nm.MSRC(3).initial_state(torch.zeros(2, 3)).h == -1).all()
    state = nm.BSRC(3).initial_state(torch.zeros(2, 3))
    assert (state.h == -1).all()
    assert_close(state.h_u, torch.full((2, 3), -0.84))
    assert len(nm.SRC(None).initial_state(torch.zeros(2, 3)).h.unique()) == 1


@ALL
def test_defaults_are_those_of_the_equations(make: Any) -> None:
    layer = make(2)
    for name, value in layer.dynamics.Params()._asdict().items():
        assert getattr(layer.params(), name).item() == pytest.approx(value)


def test_the_learned_bias_is_clamped_in_the_forward_pass() -> None:
    layer = nm.SRC(3, learn="b")
    with torch.no_grad():
        layer.b.copy_(torch.tensor([-6.0, -3.0, 5.0]))
    assert layer.params().b.tolist() == [-6.0, -4.0, -4.0]
    free = nm.SRC(3, b_max=None, b=-1.0, learn="b")
    assert free.params().b.tolist() == [-1.0] * 3
    assert nm.SRC(3, b_max=-2.0, b=-2.5).params().b.item() == -2.5


@ALL
def test_direct_drive(make: Any) -> None:
    """alpha=0 and rho=inf: the current is the drive."""
    layer = make(4, alpha=0.0, rho=math.inf)
    current = live()
    spikes, state = layer(current)
    assert torch.equal(state.i, current[-1])
    assert_close(spikes, scanned(layer, current)[0], rtol=1e-9, atol=1e-9)
    assert not torch.equal(spikes, make(4, alpha=0.0, rho=1.0)(current)[0])


@ALL
def test_bounds_mixed_over_the_neurons(make: Any) -> None:
    layer = make(4, alpha=0.3, rho=torch.tensor([3.0, math.inf, 1.0, math.inf]), learn=["rho"])
    current = live().requires_grad_()
    inputs = [current, layer.rho]
    spikes, expected = layer(current)[0], scanned(layer, current)[0]
    assert_close(spikes, expected, rtol=1e-9, atol=1e-9)
    got, want = (torch.autograd.grad(s.sum(), inputs) for s in (spikes, expected))
    assert_close(got, want, rtol=1e-5, atol=1e-7)
    assert got[1].isfinite().all()
    assert (got[1][[1, 3]] == 0).all()


@ALL
@pytest.mark.parametrize("detach_recurrence", [True, False])
@pytest.mark.parametrize("straight_through", [True, False])
def test_gradient_options(make: Any, detach_recurrence: bool, straight_through: bool) -> None:
    """All four give the same spikes, and each its own gradient: that of the scan with the same options."""
    options = {"detach_recurrence": detach_recurrence, "straight_through": straight_through}
    torch.manual_seed(0)
    layer, current = make(4, **options), live().requires_grad_()
    torch.manual_seed(0)
    default = make(4)
    spikes, expected = layer(current)[0], scanned(layer, current)[0]
    assert_live(spikes)
    assert torch.equal(spikes, default(current)[0])
    got, want, source = (
        torch.autograd.grad(s.sum(), current)[0] for s in (spikes, expected, default(current)[0])
    )
    assert_close(got, want, rtol=1e-7, atol=1e-9)
    differs = (got - source).norm() > 1e-3 * source.norm()
    assert differs == (options != {"detach_recurrence": True, "straight_through": True})


@pytest.mark.parametrize(
    ("make", "names"),
    [(nm.SRC, ["z_hyp"]), (nm.MSRC, ["b", "z_dep"]), (nm.BSRC, "z_u")],
)
def test_slow_gates_cannot_be_learned_with_a_detached_recurrence(make: Any, names: Any) -> None:
    with pytest.raises(ValueError, match=r"must not name z_\w+ with detach_recurrence=True, got"):
        make(3, learn=names)
    assert make(3, learn=names, detach_recurrence=False).learned


@MODULATED
def test_modulation_is_learned_on_request(make: Any) -> None:
    layer = make(4, modulation=Uniform(0.5, 1.0), learn_modulation=True, learn=["b"])
    assert {name for name, _ in layer.named_parameters()} == {"b", "modulation"}
    layer(live(dtype=torch.float32))[0].sum().backward()
    assert (layer.modulation.grad != 0).all()
    assert make(4, learn_modulation=True, learn="modulation").learned == ("modulation",)
    assert not list(make(4).parameters())
    with pytest.raises(TypeError, match="modulation"):
        nm.SRC(4, modulation=0.5)


@MODULATED
@pytest.mark.parametrize("shape", [(30, 2, 4), (30, 2, 1), (30, 1, 1), (1, 2, 4), (2, 4), (4,), ()])
def test_modulation_in_the_call(make: Any, shape: tuple[int, ...]) -> None:
    """Replaces the layer's own, step by step or constant; gradients flow into it."""
    layer, current = make(4, modulation=Uniform(0.5, 1.0), learn_modulation=True), live()
    modulation = (0.6 + 0.4 * torch.rand(shape, dtype=torch.float64)).requires_grad_()
    spikes, _ = layer(current, modulation=modulation)
    expected, _ = scanned(layer, current, modulation=modulation)
    assert_live(spikes)
    assert_close(spikes, expected, rtol=1e-9, atol=1e-9)
    got, want = (torch.autograd.grad(s.sum(), modulation)[0] for s in (spikes, expected))
    assert got.shape == shape
    assert_close(got, want, rtol=1e-7, atol=1e-9)
    assert got.abs().max() > 0
    assert not torch.equal(spikes, layer(current)[0])

    stepped, full = None, modulation.detach().broadcast_to(current.shape)
    for t, current_t in enumerate(current):
        one, stepped = layer.step(current_t, stepped, modulation=full[t])
        assert_close(one, spikes[t], rtol=1e-9, atol=1e-9)


@MODULATED
def test_constant_modulation_in_the_call_is_that_of_the_layer(make: Any) -> None:
    own, called = make(4, modulation=0.625), make(4)
    modulation = torch.tensor(0.625)
    assert torch.equal(called(live(), modulation=modulation)[0], own(live())[0])


@MODULATED
def test_modulation_of_another_type(make: Any) -> None:
    """Another network may run in half or double precision."""
    layer, current = make(4), live(dtype=torch.float32)
    modulation = 0.5 + torch.rand(30, 2, 1)
    expected = layer(current, modulation=modulation)[0]
    assert_close(layer(current, modulation=modulation.double())[0], expected)
    assert layer(current, modulation=modulation.bfloat16())[0].dtype == torch.float32
    assert layer(current.bfloat16(), modulation=modulation)[0].dtype == torch.bfloat16


@MODULATED
@pytest.mark.parametrize("shape", [(30, 2, 3), (29, 2, 4), (3, 4), (1, 30, 2, 4), (2,)])
def test_modulation_of_a_wrong_shape(make: Any, shape: tuple[int, ...]) -> None:
    message = (
        rf"{make.__name__}: modulation must broadcast to the shape \(30, 2, 4\) of current, got \("
    )
    with pytest.raises(ValueError, match=message):
        make(4)(live(), modulation=torch.ones(shape))


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
@MODULATED
def test_modulated_layers_compile(make: Any) -> None:
    torch._dynamo.reset()
    layer, current = make(4), live(10)
    modulation = (0.5 + torch.rand(10, 2, 1, dtype=torch.float64)).requires_grad_()
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    results = []
    for run in (layer, compiled):
        spikes, _ = run(current, modulation=modulation)
        results.append((spikes, *torch.autograd.grad(spikes.sum(), modulation)))
    assert_close(*results, rtol=0, atol=0)


def test_another_network_can_modulate() -> None:
    """Descent on the modulation that a linear layer computes makes a silent neuron fire."""
    torch.manual_seed(0)
    layer, net = nm.MSRC(5, alpha=0.0, rho=math.inf), torch.nn.Linear(3, 5)
    with torch.no_grad():
        net.bias.fill_(1.4)
        net.weight.mul_(0.1)
    context, current = torch.randn(40, 2, 3), torch.full((40, 2, 5), 2.4)
    optimiser = torch.optim.Adam(net.parameters(), lr=0.02)
    counts = []
    for _ in range(30):
        spikes, _ = layer(current, modulation=net(context))
        counts.append((spikes > 0.5).sum().item())
        optimiser.zero_grad()
        (-spikes.sum()).backward()
        optimiser.step()
    assert counts[0] == 0
    assert counts[-1] > 20
