"""Readouts against their sums written out, and the three kinds of feedback."""

from __future__ import annotations

import copy
import math
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

import snn_neuromod as nm

T, BATCH, INPUTS, OUTPUTS = 20, 2, 5, 3
FEEDBACK = ["symmetric", "random", "adaptive"]
feedbacks = pytest.mark.parametrize("feedback", FEEDBACK)


def sequence(dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return (torch.rand(T, BATCH, INPUTS, generator=generator) > 0.7).to(dtype)


def filtered(x: Tensor, kappa: float) -> Tensor:
    """Sum over s <= t of kappa^(t - s) x_s."""
    y, out = torch.zeros_like(x[0]), []
    for x_t in x:
        y = kappa * y + x_t
        out.append(y)
    return torch.stack(out)


def reverse_filtered(x: Tensor, kappa: float) -> Tensor:
    return filtered(x.flip(0), kappa).flip(0)


@feedbacks
@pytest.mark.parametrize("bias_inside", [True, False])
@pytest.mark.parametrize("normalise", [True, False])
def test_output(feedback: Any, bias_inside: bool, normalise: bool) -> None:
    """Y = F(W z + b) or F(W z) + b."""
    net = nm.LeakyReadout(
        INPUTS, OUTPUTS, tau_out=5.0, dt=0.5, feedback=feedback, bias_inside=bias_inside, normalise=normalise
    ).double()  # fmt: skip
    with torch.no_grad():
        net.bias.uniform_(0.5, 1.5)
    x, kappa = sequence(), math.exp(-0.5 / 5.0)
    scale = 1 - kappa if normalise else 1.0
    weighted = x @ net.w_out.T
    if bias_inside:
        expected = scale * filtered(weighted + net.bias, kappa)
    else:
        expected = scale * filtered(weighted, kappa) + net.bias
    y, state = net(x)
    assert_close(y, expected, rtol=1e-6, atol=1e-6)
    head, state = net(x[:7])
    tail, _ = net(x[7:], state)
    assert_close(torch.cat([head, tail]), y, rtol=1e-12, atol=1e-12)


def test_no_bias_and_no_leak() -> None:
    net = nm.LeakyReadout(INPUTS, OUTPUTS, tau_out=math.inf, bias=False).double()
    assert net.bias is None
    assert_close(net(sequence())[0], (sequence() @ net.w_out.T).cumsum(0))
    with pytest.raises(ValueError, match="tau must be finite with normalise=True"):
        nm.LeakyReadout(INPUTS, OUTPUTS, tau_out=math.inf, normalise=True)


@feedbacks
@pytest.mark.parametrize("bias_inside", [True, False])
def test_gradients_by_hand(feedback: Any, bias_inside: bool) -> None:
    """Error of the outputs, filtered in reverse: times B to the spikes, times the spikes to W and to an adaptive B."""
    net = nm.LeakyReadout(
        INPUTS, OUTPUTS, tau_out=5.0, feedback=feedback, bias_inside=bias_inside
    ).double()
    x = sequence().requires_grad_()
    error = torch.randn(T, BATCH, OUTPUTS, dtype=torch.float64)
    (error * net(x)[0]).sum().backward()
    kappa = net.filter.params(torch.float64).kappa.item()
    r = reverse_filtered(error, kappa)
    weights = net.w_out if feedback == "symmetric" else net.b_feedback
    assert_close(x.grad, r @ weights)
    grad_w = torch.einsum("tbo,tbi->oi", r, x.detach())
    assert_close(net.w_out.grad, grad_w)
    assert_close(net.bias.grad, (r if bias_inside else error).sum((0, 1)))
    if feedback == "symmetric":
        assert net.b_feedback is None
    elif feedback == "random":
        assert net.b_feedback.grad is None
        assert not net.b_feedback.requires_grad
    else:
        assert_close(net.b_feedback.grad, grad_w)


@feedbacks
def test_feedback_changes_the_gradient_only(feedback: Any) -> None:
    net = nm.LeakyReadout(INPUTS, OUTPUTS, feedback=feedback).double()
    plain = nm.LeakyReadout(INPUTS, OUTPUTS).double()
    plain.load_state_dict({k: v for k, v in net.state_dict().items() if k != "b_feedback"})
    x = sequence().requires_grad_()
    outputs = [n(x)[0] for n in (net, plain)]
    assert torch.equal(*outputs)
    grads = [torch.autograd.grad(y.square().sum(), x)[0] for y in outputs]
    same = (grads[0] - grads[1]).norm() < 0.1 * grads[1].norm()
    assert same == (feedback == "symmetric")


def test_adaptive_feedback_follows_the_weights() -> None:
    """With the same decay, B - W shrinks as the decay says and nothing else."""
    net = nm.LeakyReadout(INPUTS, OUTPUTS, feedback="adaptive").double()
    optimiser = torch.optim.SGD(net.parameters(), lr=0.1, weight_decay=0.5)
    distance = (net.b_feedback - net.w_out).detach().clone()
    for _ in range(10):
        optimiser.zero_grad()
        (net(sequence())[0] - 1).square().mean().backward()
        optimiser.step()
    assert_close((net.b_feedback - net.w_out).detach(), distance * (1 - 0.1 * 0.5) ** 10)


@pytest.mark.parametrize(("feedback", "size"), [("adaptive", 400**-0.5), ("random", 1.0)])
def test_size_of_the_feedback(feedback: Any, size: float) -> None:
    """Bellec et al.: adaptive feedback starts as W_out does, random feedback has unit variance."""
    b = nm.LeakyReadout(400, 50, feedback=feedback).b_feedback
    assert b is not None
    assert b.std().item() == pytest.approx(size, rel=0.02)
    assert abs(b.mean().item()) < 0.03 * size


def test_random_feedback_stays() -> None:
    net = nm.LeakyReadout(INPUTS, OUTPUTS, feedback="random")
    before = net.b_feedback.clone()
    optimiser = torch.optim.AdamW(net.parameters(), lr=0.1, weight_decay=0.5)
    net(sequence(torch.float32))[0].sum().backward()
    optimiser.step()
    assert torch.equal(net.b_feedback, before)
    assert "b_feedback" in net.state_dict()


def test_initial_weights() -> None:
    torch.manual_seed(0)
    net = nm.LeakyReadout(400, 100, feedback="random")
    assert net.w_out.std().item() == pytest.approx(0.05, rel=0.05)
    assert net.b_feedback.std().item() == pytest.approx(1.0, rel=0.05)
    assert not net.bias.any()


@pytest.mark.parametrize("feedback", FEEDBACK)
def test_mixed_precision(feedback: Any) -> None:
    """Under autocast the error arrives in half precision."""
    net, x = (
        nm.LeakyReadout(INPUTS, OUTPUTS, feedback=feedback),
        sequence(torch.float32).requires_grad_(),
    )
    with torch.autocast("cpu", torch.bfloat16):
        y, _ = net(x)
        loss = y.float().square().mean()
    loss.backward()
    assert x.grad.dtype == net.w_out.grad.dtype == torch.float32
    expected = torch.autograd.grad(net(x)[0].square().mean(), (x, net.w_out))
    for got, want in zip((x.grad, net.w_out.grad), expected, strict=True):
        assert (got - want).norm() < 0.05 * want.norm()


@feedbacks
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
def test_it_compiles_to_one_graph(feedback: Any) -> None:
    torch._dynamo.reset()
    net, x = (
        nm.LeakyReadout(INPUTS, OUTPUTS, feedback=feedback).double(),
        sequence().requires_grad_(),
    )
    compiled = torch.compile(net, fullgraph=True, backend="aot_eager")
    results = []
    for run in (net, compiled):
        y, _ = run(x)
        results.append((y, *torch.autograd.grad(y.square().sum(), (x, net.w_out))))
    for a, b in zip(*results, strict=True):
        assert_close(a, b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    "net", [nm.LeakyReadout(5, 3, feedback="adaptive"), nm.PopulationReadout(6, 3)], ids=repr
)
def test_copies_and_pickles(net: Any) -> None:
    x = torch.rand(4, 2, net.w_out.shape[1])
    for other in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert torch.equal(other(x)[0], net(x)[0])
        assert repr(other) == repr(net)


def test_population_readout() -> None:
    """R_t = a R_(t-1) + W s_t; +1 from a class's own neurons, which lie side by side, -0.1 from the others."""
    net = nm.PopulationReadout(6, 3).double()
    expected = torch.full((3, 6), -0.1).double()
    expected[[0, 0, 1, 1, 2, 2], range(6)] = 1.0
    assert_close(net.w_out, expected, rtol=1e-6, atol=1e-6)
    x = torch.rand(T, BATCH, 6, dtype=torch.float64)
    votes, state = net(x)
    assert_close(votes, filtered(x @ net.w_out.T, 0.99), rtol=1e-5, atol=1e-5)
    tail, _ = net(x[9:], net(x[:9])[1])
    assert_close(tail, votes[9:])
    assert torch.equal(state.y, votes[-1])
    assert not list(net.parameters())
    assert_close(nm.PopulationReadout(6, 3, decay=1.0).double()(x)[0], (x @ net.w_out.T).cumsum(0))


def test_population_readout_options_and_gradient() -> None:
    net = nm.PopulationReadout(4, 2, own=2.0, others=0.0, decay=0.5).double()
    x = torch.zeros(2, 1, 4, dtype=torch.float64)
    x[0, 0, 3] = 1.0
    x.requires_grad_()
    votes, _ = net(x)
    assert_close(votes[:, 0], torch.tensor([[0.0, 2.0], [0.0, 1.0]]).double())
    (grad,) = torch.autograd.grad(votes[-1, 0, 1], x)
    assert_close(grad[:, 0], torch.tensor([[0, 0, 1.0, 1.0], [0, 0, 2.0, 2.0]]).double())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nm.LeakyReadout(0, 3), "LeakyReadout: in_features must be an integer >= 1, got 0"),
        (lambda: nm.LeakyReadout(3, -1), "LeakyReadout: out_features must be an integer >= 1, got"),
        (lambda: nm.LeakyReadout(3, 2, tau_out=0.0), "tau must be > 0, got 0"),
        (lambda: nm.LeakyReadout(3, 2, dt=math.nan), "dt must be > 0, got nan"),
        (
            lambda: nm.LeakyReadout(3, 2, feedback="local"),  # type: ignore[arg-type]
            "feedback must be one of symmetric, random, adaptive, got 'local'",
        ),
        (
            lambda: nm.PopulationReadout(7, 3),
            "in_features must be a multiple of num_classes=3, got 7",
        ),
        (lambda: nm.PopulationReadout(6, 0), "num_classes must be an integer >= 1, got 0"),
        (lambda: nm.PopulationReadout(6, 3, decay=0.0), r"decay must lie in \(0, 1\], got 0.0"),
        (
            lambda: nm.PopulationReadout(6, 3, decay=math.nan),
            r"decay must lie in \(0, 1\], got nan",
        ),
        (lambda: nm.PopulationReadout(6, 3, decay=1.1), r"decay must lie in \(0, 1\], got 1.1"),
    ],
)
def test_wrong_arguments(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("net", [nm.LeakyReadout(6, 3), nm.PopulationReadout(6, 3)], ids=repr)
def test_wrong_inputs(net: Any) -> None:
    who = type(net).__name__
    for shape in ((6,), (0, 2, 6), (4, 2, 5), ()):
        with pytest.raises(
            ValueError, match=rf"{who}: spikes must have shape \(T, batch, 6\) with"
        ):
            net(torch.zeros(shape))
    with pytest.raises(TypeError, match=rf"{who}: spikes must be a floating-point .*torch.bool"):
        net(torch.zeros(4, 2, 6, dtype=torch.bool))
    with pytest.raises(ValueError, match=r"LeakyIntegrator: state y must have shape \(2, 3\)"):
        net(torch.zeros(4, 2, 6), net(torch.zeros(4, 1, 6))[1])
