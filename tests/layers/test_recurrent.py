"""Recurrent against the scan with recurrent weights: spikes, gradients of both learning rules, state, errors."""

from __future__ import annotations

import copy
import pickle
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.utils import parametrizations
from torch.testing import assert_close

import snn_neuromod as nm
from snn_neuromod.dynamics import scan
from snn_neuromod.layers import RecurrentState
from tests.helpers import pairwise
from tests.layers.cases import CASES, LayerCase

INPUTS, NEURONS, BATCH = 4, 6, 3
every_layer = pytest.mark.parametrize("case", CASES, ids=str)
rules = pytest.mark.parametrize("learning_rule", ["bptt", "eprop"])


def make(
    case: LayerCase,
    learning_rule: Any = "bptt",
    dtype: torch.dtype = torch.float64,
    delay: Any = None,
) -> Any:
    """A recurrent layer whose weights are as large as the neurons' input."""
    torch.manual_seed(0)
    neuron = case.make(NEURONS)
    net = nm.Recurrent(neuron, INPUTS, learning_rule=learning_rule, delay=delay).to(dtype)
    with torch.no_grad():
        net.w_in.mul_(case.std).add_(1.3 * case.mean / INPUTS)
        net.w_rec.mul_(case.std)
    return net


def sequence(num_steps: int = 25, dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    return 1 + torch.randn(num_steps, BATCH, INPUTS, generator=generator, dtype=dtype)


def reference(net: Any, x: Tensor, **options: Any) -> tuple[Tensor, Any]:
    current = x @ net.w_in.T
    layer = net.neuron
    return scan(
        layer.dynamics.step, layer.params(x.dtype), layer.initial_state(current[0]), current,
        w_rec=net.w_rec, hops=None if net.learning_rule == "bptt" else 0, delay=net.delay,
        **layer.step_options(), **options,
    )  # fmt: skip


BY_NEURON = [1, 3, 2, 3, 1, 6]
BY_SYNAPSE = torch.randint(1, 5, (NEURONS, NEURONS), generator=torch.Generator().manual_seed(5))
DELAYS = {"one": 1, "four": 4, "by neuron": BY_NEURON, "by synapse": BY_SYNAPSE}
every_delay = pytest.mark.parametrize("delay", DELAYS.values(), ids=DELAYS)


@pytest.mark.parametrize(
    ("case", "by", "learning_rule"), pairwise(CASES, DELAYS, ["bptt", "eprop"]), ids=str
)
def test_spikes_and_gradients_are_those_of_the_scan(
    case: LayerCase, by: str, learning_rule: str
) -> None:
    """For e-prop the oracle is autograd with the recurrent spikes detached."""
    net, x = make(case, learning_rule, delay=DELAYS[by]), sequence().requires_grad_()
    spikes, state = net(x)
    expected, expected_state = reference(net, x)
    assert (spikes > 0.5).any()
    assert not (spikes > 0.5).all()
    tolerance = {"rtol": 1e-8, "atol": 1e-9}
    assert_close(spikes, expected, **tolerance)
    assert_close(tuple(state.neuron), tuple(expected_state), **tolerance)
    assert torch.equal(state.spikes, spikes[-1])
    weights = torch.randn_like(spikes)
    inputs = [net.w_in, net.w_rec, x]
    got, want = (
        torch.autograd.grad((weights * s).sum(), inputs, retain_graph=True)
        for s in (spikes, expected)
    )
    want = (want[0], want[1].fill_diagonal_(0.0), want[2])
    assert got[1].abs().max() > 0, "no gradient of the recurrent weights: nothing tested"
    for a, b in zip(got, want, strict=True):
        assert_close(a, b, rtol=1e-7, atol=1e-8 * b.abs().max().item())


@pytest.mark.parametrize("case", [c for c in CASES if c.label == "default"], ids=str)
def test_eprop_differs_from_backpropagation_through_time(case: LayerCase) -> None:
    """Negative control: same spikes, another gradient."""
    x, runs = sequence(), []
    for rule in ("bptt", "eprop"):
        net = make(case, rule)
        spikes, _ = net(x)
        runs.append((spikes, *torch.autograd.grad(spikes.square().sum(), (net.w_in, net.w_rec))))
    assert torch.equal(runs[0][0], runs[1][0])
    for exact, local in zip(runs[0][1:], runs[1][1:], strict=True):
        assert (exact - local).norm() > 1e-2 * exact.norm()


@every_layer
@pytest.mark.parametrize("delay", [BY_NEURON, BY_SYNAPSE], ids=["by neuron", "by synapse"])
def test_segments_are_the_full_run_with_delays(case: LayerCase, delay: Any) -> None:
    """Also segments shorter than the longest delay; bit by bit where the input's product is exact."""
    net, x = make(case, delay=delay), sequence()
    with torch.no_grad():
        net.w_in.copy_((16 * net.w_in).round() / 16)
    x = (16 * x).round() / 16
    full, last = net(x)
    for splits in ((1, 24), (2, 2, 21), (20, 5)):
        state, parts = None, []
        for part in x.split(splits):
            spikes, state = net(part, state)
            parts.append(spikes)
        assert torch.equal(torch.cat(parts), full)
        assert all(map(torch.equal, (*state.neuron, *state[1:]), (*last.neuron, *last[1:])))
    assert torch.equal(last.earlier, full[-max(net.delays.steps) : -1])


@every_delay
@rules
def test_gradient_through_the_state_with_delays(learning_rule: str, delay: Any) -> None:
    """Three segments joined in one graph have the gradient of the full run."""
    net, x = make(CASES[6], learning_rule, delay=delay), sequence()
    weights = torch.randn(25, BATCH, NEURONS, dtype=torch.float64)
    full = torch.autograd.grad((weights * net(x)[0]).sum(), (net.w_in, net.w_rec))
    state, parts = None, []
    for part in x.split((10, 2, 13)):
        spikes, state = net(part, state)
        parts.append(spikes)
    joined = torch.autograd.grad((weights * torch.cat(parts)).sum(), (net.w_in, net.w_rec))
    assert_close(joined, full, rtol=1e-9, atol=1e-11)


def test_delays_change_the_gradient() -> None:
    """Negative control: gradients differ between delays, and e-prop's from BPTT's at every delay."""
    x, found = sequence(), []
    for delay in (1, 4, BY_NEURON, BY_SYNAPSE):
        nets = [make(CASES[6], rule, delay=delay) for rule in ("bptt", "eprop")]
        exact, local = (torch.autograd.grad(n(x)[0].square().sum(), n.w_rec)[0] for n in nets)
        assert (exact - local).norm() > 1e-2 * exact.norm()
        assert all((exact - before).norm() > 1e-2 * before.norm() for before in found)
        found.append(exact)


@pytest.mark.parametrize(
    ("delay", "first"),
    [(1, [3, 3]), (3, [5, 5]), ([2, 1, 1], [4, 4]), ([[9, 1, 1], [1, 9, 1], [4, 1, 9]], [3, 6])],
)
def test_a_spike_arrives_after_the_delay(delay: Any, first: list[int]) -> None:
    """Neuron 0 fires at step 2 and drives two others, which fire when its spike arrives."""
    net = nm.Recurrent(nm.ALIF(3, beta=0.0, reset="zero"), 1, delay=delay)
    with torch.no_grad():
        net.w_in.copy_(torch.tensor([[1.5], [0.0], [0.0]]))
        net.w_rec.zero_()[1:, 0] = 1.5
    x = torch.zeros(8, 1, 1)
    x[2] = 1.0
    spikes, _ = net(x)
    assert spikes[:, 0].nonzero().tolist() == sorted([[2, 0], [first[0], 1], [first[1], 2]])


@pytest.mark.parametrize("make_neuron", [nm.ALIF, nm.STDPALIF, nm.Izhikevich])
def test_the_neurons_delay_is_the_default(make_neuron: Any) -> None:
    assert nm.Recurrent(make_neuron(3), 2).delay == 1
    assert nm.Recurrent(make_neuron(3, delay=4), 2).delay == 4
    assert nm.Recurrent(make_neuron(3, delay=4), 2, delay=2).delay == 2
    assert nm.Recurrent(make_neuron(3, delay=[1, 2, 5]), 2).delay.tolist() == [1, 2, 5]
    assert "delay=[1, 2, 5]" in repr(make_neuron(3, delay=[1, 2, 5]))


def test_delays_are_saved_with_the_layer() -> None:
    one, other = make(CASES[6], delay=BY_NEURON), make(CASES[6], delay=BY_SYNAPSE[0])
    other.load_state_dict(one.state_dict())
    assert torch.equal(other(sequence())[0], one(sequence())[0])
    assert other.delay.tolist() == BY_NEURON


@pytest.mark.parametrize(
    ("delay", "message"),
    [
        (0, "Recurrent: delay must be >= 1 step, got 0"),
        ([1, 0, 2], "Recurrent: delay must be >= 1 step, got 0"),
        (1.5, r"Recurrent: delay must be an integer or integers of shape \(3,\) or \(3, 3\), got"),
        ([1, 2], r"Recurrent: delay must be an integer .*, got torch.int64 of shape \(2,\)"),
        (float("nan"), r"Recurrent: delay must be an integer .*, got torch.float32 of shape \(\)"),
        (True, "Recurrent: delay must be an integer .*, got torch.bool"),
    ],
)
def test_wrong_delays(delay: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        nm.Recurrent(nm.ALIF(3), 4, delay=delay)


def test_wrong_delays_of_a_neuron() -> None:
    with pytest.raises(ValueError, match=r"ALIF: delay must be an integer or .* shape \(3,\), got"):
        nm.ALIF(3, delay=torch.ones(3, 3, dtype=torch.int64))
    with pytest.raises(ValueError, match=r"ALIF: delay must be an integer, got torch.int64 of"):
        nm.ALIF(None, delay=[1, 2])


def test_a_state_without_the_earlier_spikes() -> None:
    net, x = nm.Recurrent(nm.ALIF(3), 4, delay=3), torch.zeros(5, 2, 4)
    _, state = net(x)
    assert state.earlier.shape == (2, 2, 3)
    with pytest.raises(ValueError, match=r"state earlier must have shape \(2, 2, 3\) .*, got None"):
        net(x, RecurrentState(state.neuron, state.spikes))


@every_layer
def test_segments_are_the_full_run(case: LayerCase) -> None:
    """Bit by bit for the neurons, and up to the rounding of the input's matrix product for the whole layer."""
    net, x = make(case), sequence()
    full, last = net(x)
    current, first = x @ net.w_in.T, net.initial_state(x[0])
    run = partial(net.neuron.forward_recurrent, w_rec=net.w_rec)
    expected, expected_state = run(current, first.neuron, spikes=first.spikes)
    for split in (1, 7, 24):
        head, state = net(x[:split])
        tail, state = net(x[split:], state)
        assert_close(torch.cat([head, tail]), full, rtol=1e-7, atol=1e-7)
        assert_close(tuple(state.neuron), tuple(last.neuron), rtol=1e-7, atol=1e-7)
        assert torch.equal(state.spikes, tail[-1])

        head, neuron = run(current[:split], first.neuron, spikes=first.spikes)
        tail, neuron = run(current[split:], neuron, spikes=head[-1])
        assert torch.equal(torch.cat([head, tail]), expected)
        assert all(map(torch.equal, neuron, expected_state))


@rules
def test_gradient_through_the_state(learning_rule: str) -> None:
    """Two segments joined in one graph have the gradient of the full run with respect to the weights."""
    net, x = make(CASES[6], learning_rule), sequence()
    weights = torch.randn(25, BATCH, NEURONS, dtype=torch.float64)
    full = torch.autograd.grad((weights * net(x)[0]).sum(), (net.w_in, net.w_rec))
    head, state = net(x[:10])
    tail, _ = net(x[10:], state)
    joined = torch.autograd.grad((weights * torch.cat([head, tail])).sum(), (net.w_in, net.w_rec))
    assert_close(joined, full, rtol=1e-9, atol=1e-11)


def test_the_recurrent_weights_act_from_the_step_before() -> None:
    """One neuron is driven; the other fires one step later by w_rec[to, from] alone."""
    net = nm.Recurrent(nm.ALIF(2, beta=0.0, reset="zero"), 1)
    with torch.no_grad():
        net.w_in.copy_(torch.tensor([[1.5], [0.0]]))
        net.w_rec.copy_(torch.tensor([[0.0, 0.0], [1.5, 0.0]]))
    x = torch.zeros(6, 1, 1)
    x[2] = 1.0
    spikes, _ = net(x)
    assert spikes[:, 0].nonzero().tolist() == [[2, 0], [3, 1]]


@rules
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_no_self_connections_ever(learning_rule: Any, weight_decay: float) -> None:
    """Zero at the start, no gradient, zero after steps of an optimiser; and without effect where set by hand."""
    net, x = make(CASES[6], learning_rule, torch.float32), sequence(dtype=torch.float32)
    optimiser = torch.optim.AdamW(net.parameters(), lr=0.1, weight_decay=weight_decay)
    before = net.w_rec.detach().clone()
    for _ in range(3):
        optimiser.zero_grad()
        net(x)[0].sum().backward()
        assert not net.w_rec.grad.diagonal().any()
        optimiser.step()
    assert not net.w_rec.diagonal().any()
    assert (net.w_rec != before).sum() > 10
    expected = net(x)[0]
    with torch.no_grad():
        net.w_rec.fill_diagonal_(5.0)
    assert torch.equal(net(x)[0], expected)


def test_initial_weights() -> None:
    torch.manual_seed(0)
    net = nm.Recurrent(nm.ALIF(300), 100)
    assert net.w_in.shape == (300, 100)
    assert net.w_rec.shape == (300, 300)
    assert net.w_in.std().item() == pytest.approx(0.1, rel=0.05)
    off_diagonal = net.w_rec[~torch.eye(300, dtype=torch.bool)]
    assert off_diagonal.std().item() == pytest.approx(300**-0.5, rel=0.05)
    assert set(net.state_dict()) == {
        "w_in", "w_rec", "neuron.tau_mem", "neuron.tau_adapt", "neuron.beta", "neuron.v_th"
    }  # fmt: skip


@pytest.mark.parametrize("make_layer", [nm.MSRC, nm.BSRC])
@rules
def test_modulation_per_step(make_layer: Any, learning_rule: Any) -> None:
    torch.manual_seed(0)
    net = nm.Recurrent(make_layer(NEURONS, alpha=0.5), INPUTS, learning_rule=learning_rule).double()
    x = sequence()
    with torch.no_grad():
        net.w_in.mul_(0.5).add_(0.5)
    modulation = (0.6 + 0.4 * torch.rand(25, BATCH, 1, dtype=torch.float64)).requires_grad_()
    spikes, _ = net(x, modulation=modulation)
    expected, _ = reference(net, x, modulation=modulation)
    assert (spikes > 0.5).any()
    assert_close(spikes, expected, rtol=1e-9, atol=1e-9)
    got, want = (torch.autograd.grad(s.sum(), modulation)[0] for s in (spikes, expected))
    assert_close(got, want, rtol=1e-7, atol=1e-9)
    assert got.abs().max() > 0


@rules
def test_training_learns(learning_rule: Any) -> None:
    """Both rules bring a live network's rate to a target."""
    torch.manual_seed(0)
    net = nm.Recurrent(nm.ALIF(20, v_th=0.6), INPUTS, learning_rule=learning_rule)
    x = sequence(60, torch.float32)
    optimiser = torch.optim.Adam(net.parameters(), lr=0.01)
    target, losses = torch.linspace(0.05, 0.3, 20), []
    for _ in range(40):
        loss = (net(x)[0].mean((0, 1)) - target).square().sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.2 * losses[0]


def test_half_precision_under_autocast() -> None:
    net = make(CASES[6], dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        spikes, state = net(sequence(dtype=torch.float32))
    assert spikes.dtype == torch.bfloat16
    assert state.neuron.v.dtype == torch.float32
    assert spikes.any()
    spikes.float().sum().backward()
    assert net.w_in.grad.dtype == net.w_rec.grad.dtype == torch.float32
    assert net.w_rec.grad.any()


@rules
@every_delay
def test_a_loss_sent_back_inside_autocast_gives_the_same_gradient(
    learning_rule: Any, delay: Any
) -> None:
    net, x = make(CASES[6], learning_rule, torch.float32, delay), sequence(dtype=torch.float32)
    grads = []
    for inside in (True, False):
        with torch.autocast("cpu", torch.bfloat16):
            spikes, _ = net(x)
            loss = (spikes.float() * torch.linspace(-1, 1, NEURONS)).sum()
            with torch.autocast("cpu", torch.bfloat16, enabled=inside):
                grads.append(torch.autograd.grad(loss, [*net.parameters()]))
    assert all(grad.any() for grad in grads[0])
    assert_close(grads[0][1], grads[1][1], rtol=1e-6, atol=1e-6)  # w_rec, all by the operator


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
@pytest.mark.parametrize(
    ("by", "learning_rule"), [*zip(DELAYS, ["bptt", "eprop", "eprop", "bptt"], strict=True)]
)
def test_it_compiles_to_one_graph(by: str, learning_rule: Any) -> None:
    torch._dynamo.reset()
    net, x = make(CASES[6], learning_rule, delay=DELAYS[by]), sequence(10)
    compiled = torch.compile(net, fullgraph=True, backend="aot_eager")
    results = []
    for run in (net, compiled):
        spikes, _ = run(x)
        results.append((spikes, *torch.autograd.grad(spikes.sum(), (net.w_in, net.w_rec))))
    for a, b in zip(*results, strict=True):
        assert_close(a, b, rtol=1e-12, atol=1e-12)


def test_copies_and_pickles() -> None:
    net, x = make(CASES[6], "eprop", delay=BY_NEURON), sequence()
    for other in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert torch.equal(other(x)[0], net(x)[0])
        assert other.learning_rule == "eprop"
    assert "in_features=4, learning_rule='eprop', delay=(6,)" in repr(net)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((torch.nn.ReLU(), 4), TypeError, "Recurrent: neuron must be a layer such as .*, got ReLU"),
        (
            (nm.ALIF(None), 4),
            ValueError,
            "Recurrent: neuron must have a number of neurons, got None",
        ),
        ((nm.ALIF(3), 0), ValueError, "Recurrent: in_features must be an integer >= 1, got 0"),
        (
            (nm.ALIF(3), 10**23),
            ValueError,
            r"Recurrent: in_features must be below 2\*\*63, got 1000",
        ),
        ((nm.ALIF(3), 2.5), ValueError, "Recurrent: in_features must be an integer >= 1, got 2.5"),
    ],
)
def test_wrong_arguments(arguments: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        nm.Recurrent(*arguments)


def test_unknown_learning_rule() -> None:
    with pytest.raises(
        ValueError, match=r"must be one of bptt, eprop, khop, rflo, ostl, ottt, or .*, got 'rtrl'"
    ):
        nm.Recurrent(nm.ALIF(3), 4, learning_rule="rtrl")  # type: ignore[arg-type]


@pytest.mark.parametrize("shape", [(4,), (0, 2, 4), (5, 2, 3), ()])
def test_wrong_shapes(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"Recurrent: x must have shape \(T, batch, 4\) with at"):
        nm.Recurrent(nm.ALIF(3), 4)(torch.zeros(shape))


def test_integers_are_no_input() -> None:
    with pytest.raises(
        TypeError,
        match=r"Recurrent: x must be floating point, or spikes as uint8 or bool, got torch.int64",
    ):
        nm.Recurrent(nm.ALIF(3), 4)(torch.zeros(5, 2, 4, dtype=torch.int64))


@torch.inference_mode()
def test_delays_made_in_inference_mode() -> None:
    net = nm.Recurrent(nm.ALIF(3), INPUTS, delay=[1, 2, 3])
    assert net(torch.rand(9, 2, INPUTS))[0].shape == (9, 2, 3)


def test_a_state_that_does_not_fit() -> None:
    net, x = nm.Recurrent(nm.ALIF(3), 4), torch.zeros(5, 2, 4)
    _, state = net(x)
    with pytest.raises(ValueError, match=r"ALIF: state v must have shape \(2, 3\)"):
        net(x, RecurrentState(net(x[:, :1])[1].neuron, state.spikes))
    with pytest.raises(ValueError, match=r"Recurrent: state spikes must have shape \(2, 3\)"):
        net(x, RecurrentState(state.neuron, state.spikes[:1]))
    assert torch.equal(net(x, tuple(state))[0], net(x, state)[0])


def test_modulation_of_a_neuron_without_one() -> None:
    with pytest.raises(TypeError, match="ALIF: modulation must be None, only MSRC and BSRC"):
        nm.Recurrent(nm.ALIF(3), 4)(torch.zeros(5, 2, 4), modulation=torch.ones(5, 2, 1))


def test_delays_made_from_the_number_of_neurons() -> None:
    net = nm.Recurrent(nm.ALIF(6), 4, delay=nm.connectivity.RandomDelays(5, seed=0))
    assert torch.equal(net.delay, nm.connectivity.RandomDelays(5, seed=0)(6))
    with pytest.raises(TypeError, match="Recurrent: delay must be integers, got 'two'"):
        nm.Recurrent(nm.ALIF(6), 4, delay="two")
    with pytest.raises(TypeError, match="mask_rec must be a tensor or a connectivity such as"):
        nm.Recurrent(nm.ALIF(6), 4, mask_rec=nm.connectivity.Random)


@pytest.mark.parametrize(
    "register", ["forward_hook", "forward_pre_hook", "full_backward_hook", "full_backward_pre_hook"]
)
def test_hooks_of_the_neurons_are_told_that_they_do_not_fire(register: str) -> None:
    net, seen = nm.Recurrent(nm.ALIF(6), 4), list[int]()
    x = torch.rand(5, 2, 4, requires_grad=True)
    on_all = getattr(net, f"register_{register}")(lambda *_: seen.append(0))
    net(x)[0].sum().backward()
    assert len(seen) == 1
    on_all.remove()
    on_neurons = getattr(net.neuron, f"register_{register}")(lambda *_: seen.append(1))
    with pytest.warns(UserWarning, match=r"ALIF: hooks .* register them on the recurrent layer"):
        net(x)
    on_neurons.remove()
    net(x)
    assert len(seen) == 1


@pytest.mark.parametrize("name", ["w_in", "w_rec"])
def test_parametrized_weights(name: str) -> None:
    """What `torch.nn.utils.parametrize` makes of a weight acts, on every backend, with its gradient."""
    x, found = torch.rand(12, 3, 4, dtype=torch.float64), []
    for backend in ("reference", "eager", "auto"):
        torch.manual_seed(3)
        net = nm.Recurrent(nm.ALIF(6, backend=backend), 4).double()
        with torch.no_grad():
            net.w_in.mul_(5)
            net.w_rec.mul_(5)
        plain = net(x)[0].detach()
        parametrizations.spectral_norm(net, name)
        spikes, _ = net.eval()(x)
        assert not torch.equal(spikes, plain)
        (spikes * torch.arange(12.0)[:, None, None]).sum().backward()
        grads = [p.grad for p in net.parameters() if p.grad is not None]
        assert len(grads) == len([*net.parameters()])
        assert all(grad.any() for grad in grads)
        found.append([spikes.detach(), *grads])
    for other in found[1:]:
        for got, wanted in zip(other, found[0], strict=True):
            assert_close(got, wanted, rtol=1e-9, atol=1e-12)
