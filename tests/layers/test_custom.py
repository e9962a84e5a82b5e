"""A user's own neuron: the same operator as the package's, tested against plain autograd of the scan."""

from __future__ import annotations

import copy
import gc
import pickle
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

import snn_neuromod as nm
from snn_neuromod import dynamics
from snn_neuromod.dynamics import scan
from snn_neuromod.layers import RecurrentState

INPUTS, NEURONS, BATCH, STEPS = 4, 6, 3, 25


class Spike(torch.autograd.Function):
    """A pseudo-derivative of the user's own, in the form that torch.func takes."""

    @staticmethod
    def forward(distance: Tensor) -> Tensor:
        return (distance > 0).to(distance.dtype)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (distance,) = ctx.saved_tensors
        return grad / (1 + 3 * distance.abs()) ** 2


class OldSpike(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, distance: Tensor) -> Tensor:
        return (distance > 0).to(distance.dtype)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return grad


class Resonator:
    """A damped oscillator with a threshold; its state "z" is no spike, and "idle" feeds nothing."""

    class Params(NamedTuple):
        omega: Any = 0.6
        damping: Any = 0.1
        v_th: Any = 0.5

    class State(NamedTuple):
        z: Tensor
        v: Tensor
        idle: Tensor
        fired: Tensor

    @classmethod
    def initial_state(cls, current: Tensor) -> Any:
        return cls.State(*(torch.zeros_like(current) + k / 10 for k in range(3)), 0 * current)

    @classmethod
    def step(cls, params: Any, state: Any, current: Tensor, *, spike: Any = Spike) -> Any:
        z = state.z + params.omega * (
            current - torch.tanh(state.v) - params.damping.exp() * state.z
        )
        v = state.v + params.omega * z - state.fired * state.v.square()
        spikes = spike.apply(v - params.v_th) * (1 + 0.1 * z)
        return spikes, cls.State(z, v, state.idle.detach(), spikes)


class Pacemaker:
    """Spikes do not depend on the input at all, the other state does."""

    class Params(NamedTuple):
        rho: Any = 0.9

    class State(NamedTuple):
        m: Tensor
        v: Tensor

    @classmethod
    def initial_state(cls, current: Tensor) -> Any:
        return cls.State(torch.ones_like(current), torch.zeros_like(current))

    @classmethod
    def step(cls, params: Any, state: Any, current: Tensor) -> Any:
        m = params.rho * state.m
        return m, cls.State(m, 0.5 * state.v + current)


class Coupled(Resonator):
    @classmethod
    def step(cls, params: Any, state: Any, current: Tensor) -> Any:
        return super().step(params, state, current - state.v.mean(-1, keepdim=True))


class Noisy(Resonator):
    @classmethod
    def step(cls, params: Any, state: Any, current: Tensor) -> Any:
        return super().step(params, state, current + torch.randn_like(current))


def make(learning_rule: Any = "bptt", delay: Any = None, **arguments: Any) -> Any:
    torch.manual_seed(0)
    neuron = nm.Custom(NEURONS, Resonator, learn=["omega", "damping"], **arguments)
    return nm.Recurrent(neuron, INPUTS, learning_rule=learning_rule, delay=delay).double()


def sequence(num_steps: int = STEPS) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    return 0.3 + torch.randn(num_steps, BATCH, INPUTS, generator=generator, dtype=torch.float64)


def reference(net: Any, x: Tensor) -> tuple[Tensor, Any]:
    current, layer = x @ net.w_in.T, net.neuron
    return scan(
        layer.dynamics.step, layer.params(), layer.initial_state(current[0]), current,
        w_rec=net.w_rec, hops=None if net.learning_rule == "bptt" else 0, delay=net.delay,
        **layer.step_options(),
    )  # fmt: skip


@pytest.mark.parametrize("learning_rule", ["bptt", "eprop"])
@pytest.mark.parametrize("delay", [None, [1, 4, 2, 2, 30, 1]])
def test_gradients_are_those_of_the_scan(learning_rule: str, delay: Any) -> None:
    net, x = make(learning_rule, delay), sequence().requires_grad_()
    spikes, state = net(x)
    expected, last = reference(net, x)
    assert 0.05 < (spikes > 0).double().mean() < 0.95
    generator = torch.Generator().manual_seed(5)
    weights = [torch.randn(s.shape, generator=generator, dtype=s.dtype) for s in (spikes, *last)]
    inputs = [x, net.w_in, net.w_rec, net.neuron.omega, net.neuron.damping]
    got, want = (
        torch.autograd.grad(sum((w * s).sum() for w, s in zip(weights, out, strict=True)), inputs)
        for out in ((spikes, *state.neuron), (expected, *last))
    )
    want = (*want[:2], want[2].fill_diagonal_(0.0), *want[3:])
    for a, b in zip((spikes, *state.neuron, *got), (expected, *last, *want), strict=True):
        assert b.abs().max() > 0 or b is last.idle
        assert_close(a, b, rtol=1e-10, atol=1e-10 * b.abs().max().item())


@pytest.mark.parametrize("delay", [1, [1, 4, 2, 2, 30, 1]])
def test_spikes_that_do_not_depend_on_the_input(delay: Any) -> None:
    """Through the recurrent weights alone the last state knows of the parameter."""
    net = nm.Recurrent(nm.Custom(NEURONS, Pacemaker, learn="rho"), INPUTS, delay=delay).double()
    x, found = sequence(), []
    for _, state in ((None, net(x)[1].neuron), reference(net, x)):
        found.append(torch.autograd.grad(state.v.square().sum(), (net.w_rec, net.neuron.rho)))
    found[1][0].fill_diagonal_(0.0)
    for a, b in zip(*found, strict=True):
        assert b.any()
        assert_close(a, b, rtol=1e-10, atol=1e-10 * b.abs().max().item())


def test_eprop_differs_from_backpropagation_through_time() -> None:
    grads = [
        torch.autograd.grad(net(sequence())[0].square().sum(), net.w_rec)[0]
        for net in (make("bptt"), make("eprop"))
    ]
    assert (grads[0] - grads[1]).norm() > 1e-2 * grads[0].norm()


@pytest.mark.parametrize("name", ["alif", "src", "izhikevich"])
@pytest.mark.parametrize("learning_rule", ["bptt", "eprop"])
def test_the_packages_own_neurons_by_their_step(name: str, learning_rule: Any) -> None:
    """By the name of the module; the layer with closed forms gives the same."""
    own = {
        "alif": nm.ALIF(NEURONS),
        "src": nm.SRC(NEURONS, alpha=0.5, b=-4.0, detach_recurrence=False, straight_through=False),
        "izhikevich": nm.Izhikevich(NEURONS, dt=0.5),
    }[name]
    custom = nm.Custom(NEURONS, f"snn_neuromod.dynamics.{name}").double()
    for key, value in own.double().params()._asdict().items():
        getattr(custom, key).copy_(value)
    state, x = own.initial_state(torch.zeros(BATCH, NEURONS).double()), sequence() + 0.5
    scale, found = {"alif": 1.0, "src": 2.0, "izhikevich": 30.0}[name], []
    for neuron in (own, custom):
        torch.manual_seed(0)
        net = nm.Recurrent(neuron, INPUTS, learning_rule=learning_rule).double()
        with torch.no_grad():
            net.w_in.mul_(scale).add_(scale / 4)
            net.w_rec.mul_(scale)
        spikes, _ = net(x, RecurrentState(state, torch.zeros_like(state[0])))
        assert (spikes > 0.5).any()
        found.append((spikes, *torch.autograd.grad(spikes.square().sum(), (net.w_in, net.w_rec))))
    for a, b in zip(*found, strict=True):
        assert_close(a, b, rtol=1e-10, atol=1e-10 * b.abs().max().item())


def test_segments_and_copies() -> None:
    net, x = make(), sequence()
    full, last = net(x)
    for other in (net, copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        head, state = other(x[:7])
        tail, state = other(x[7:], state)
        assert_close(torch.cat([head, tail]), full, rtol=1e-12, atol=1e-12)
        assert_close(tuple(state.neuron), tuple(last.neuron), rtol=1e-12, atol=1e-12)
        tail.sum().backward()
        assert other.w_rec.grad.any()


def test_the_gradient_outlives_the_layer() -> None:
    x = sequence().requires_grad_()
    net = make()
    loss = net(x)[0].sum()
    del net
    gc.collect()
    loss.backward()
    assert x.grad.any()


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
def test_it_compiles_to_one_graph() -> None:
    torch._dynamo.reset()
    net, x, found = make("eprop"), sequence(8), []
    for run in (net, torch.compile(net, fullgraph=True, backend="aot_eager")):
        spikes, _ = run(x)
        found.append((spikes, *torch.autograd.grad(spikes.sum(), (net.w_in, net.w_rec))))
    for a, b in zip(*found, strict=True):
        assert_close(a, b, rtol=1e-12, atol=1e-12)


def test_opcheck() -> None:
    layer = nm.Custom(4, Resonator).double()
    current = sequence(3)[..., :1].expand(3, BATCH, 4).clone().requires_grad_()
    params = [p.clone().requires_grad_() for p in layer.params()]
    state = [s.clone().requires_grad_() for s in layer.initial_state(current[0].detach())]
    past = [
        torch.zeros(1, BATCH, 4).double().requires_grad_(),
        torch.eye(4).double().requires_grad_(),
    ]
    args = (
        layer._known.key,
        current,
        params,
        state,
        past,
        [1],
        [],
        "inf",
        True,
        [True] * 3,
        "auto",
    )
    torch.library.opcheck(torch.ops.snn_neuromod.sequence.default, args)


def test_half_precision_and_training() -> None:
    net = make("eprop").float()
    optimiser, losses = torch.optim.Adam(net.parameters(), lr=0.02), []
    for _ in range(30):
        with torch.autocast("cpu", torch.bfloat16):
            spikes, state = net(sequence().float())
        loss = (spikes.float().mean((0, 1)) - 0.5).square().sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert state.neuron.v.dtype == torch.float32
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize("psi", [nm.surrogate.smooth, lambda d, unit, held: Spike.apply(d / unit)])
def test_any_spike_function_runs_in_one_operator(psi: Any) -> None:
    layer = nm.ALIF(NEURONS, psi=psi)
    spikes, _ = layer(torch.rand(10, 2, NEURONS, requires_grad=True))
    assert spikes.grad_fn.name() == "_SequenceBackward"


def test_parameters() -> None:
    layer = nm.Custom(
        3, Resonator, params={"omega": [0.1, 0.2, 0.3]}, learn="damping", options={"spike": Spike}
    )
    assert layer.omega.tolist() == pytest.approx([0.1, 0.2, 0.3])
    assert [name for name, _ in layer.named_parameters()] == ["damping"]
    assert layer.damping.shape == (3,)
    assert layer.dynamics is Resonator
    assert nm.Recurrent(nm.Custom(3, dynamics.alif, delay=2), 1).delay == 2


class Uneven(Resonator):
    """Reads a tensor that is no argument, so that nothing can be printed."""

    @classmethod
    def step(cls, params: Any, state: Any, current: Tensor, **options: Any) -> Any:
        return super().step(params, state, current + torch.zeros(3), **options)


@pytest.mark.parametrize("autocast", [False, True])
def test_an_old_style_function_learns_where_nothing_is_printed(autocast: bool) -> None:
    """Also inside an operator, where autograd does not see the step."""
    layer = nm.Custom(3, Uneven, options={"spike": OldSpike}, backend="eager", learn="damping")
    leaves = [(3 * torch.rand(9, 2, 3)).requires_grad_(), layer.damping]
    params = Uneven.Params(damping=layer.damping)
    start = Uneven.initial_state(leaves[0][0])
    runs = [dynamics.scan(Uneven.step, params, start, leaves[0], spike=OldSpike)]
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        runs.append(layer(leaves[0]))
    found = [torch.autograd.grad(z.sum() + state[0].sum(), leaves) for z, state in runs]
    assert all(grad.any() for grad in found[0])
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b)


class Learning(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.width = torch.nn.Parameter(torch.ones(()))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"dynamics": torch}, TypeError, "dynamics must have Params, State, .* without Params, State"),
        ({"params": {"tau": 1.0}}, ValueError, "no others, got unknown or missing tau"),
        ({"learn": ["tau"]}, ValueError, "Custom: learn must name parameters among omega, damping"),
        ({"dynamics": Coupled}, ValueError, "Custom: dynamics.step must treat each neuron on its own"),
        ({"dynamics": Noisy}, ValueError, "Custom: dynamics.step must treat each neuron on its own"),
        ({"options": {"spike": Learning()}}, ValueError, "spike must not hold parameters that learn"),
    ],
)  # fmt: skip
def test_wrong_arguments(arguments: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        nm.Custom(3, **{"dynamics": Resonator, **arguments})
