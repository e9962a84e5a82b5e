"""Without adaptation ALIF is snnTorch's Leaky and RALIF its RLeaky: spikes, states, gradients and options."""

from __future__ import annotations

from typing import Any

import pytest
import snntorch as snn
import torch
from snntorch import surrogate
from snntorch.functional import quant
from torch import Tensor

from snn_neuromod import snntorch as ours
from tests.helpers import pairwise

RESETS = ("subtract", "zero", "none")
SIZE = 6


class Sigmoid(torch.autograd.Function):
    """A surrogate that keeps float64, which snnTorch's own do not."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return (x > 0).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        s = torch.sigmoid(4 * ctx.saved_tensors[0])
        return grads[0] * 4 * s * (1 - s)


def unroll(neuron: torch.nn.Module, x: Tensor, skip: int) -> tuple[Tensor, Tensor]:
    """Spikes and membranes over time; `skip` auxiliary states stand before the membrane."""
    state: tuple[Tensor, ...] = ()
    spikes, mems = [], []
    for step in x.unbind(0):
        out = neuron(step, *state)
        state = out if hasattr(neuron, "recurrent") else out[1:]
        spikes.append(out[0])
        mems.append(out[-1])
    assert len(out) == 2 + skip
    return torch.stack(spikes), torch.stack(mems)


def compare(
    theirs: torch.nn.Module, mine: torch.nn.Module, dtype: torch.dtype, *, exact: bool = True
) -> None:
    """Equal spikes, membranes and gradients over 40 steps of a lively input."""
    theirs, mine = theirs.to(dtype), mine.to(dtype)
    x = (2 * torch.rand(40, 4, SIZE, dtype=dtype) - 0.9).requires_grad_()
    y = x.detach().clone().requires_grad_()
    (spk, mem), (spk2, mem2) = unroll(theirs, x, 0), unroll(mine, y, 0)
    assert spk2.dtype == mem2.dtype == dtype
    assert 0.03 < (spk != 0).float().mean() < 0.95
    tolerance = 1e-6 if dtype == torch.float32 else 1e-12
    assert torch.equal(spk.to(dtype), spk2)
    torch.testing.assert_close(
        mem, mem2, rtol=0 if exact else tolerance, atol=0 if exact else tolerance
    )
    weights = torch.randn_like(spk2)
    for spikes, membranes in ((spk.to(dtype), mem), (spk2, mem2)):
        ((spikes * weights).sum() + 0.1 * (membranes * weights).sum()).backward()
    tolerance = 2e-5 if dtype == torch.float32 else 1e-10
    assert x.grad is not None
    torch.testing.assert_close(x.grad, y.grad, rtol=tolerance, atol=tolerance)
    gradients = {name: p.grad for name, p in mine.named_parameters()}
    for name, parameter in theirs.named_parameters():
        name = "recurrent.V" if name == "V" else name  # RLeaky has it twice
        assert parameter.grad is not None
        dropped = (
            name == "recurrent.V" and theirs.reset_mechanism == "zero"
        )  # with the input after a spike
        assert dropped or parameter.grad.abs().max() > 1e-3
        torch.testing.assert_close(parameter.grad, gradients[name], rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(
    ("reset", "dtype", "learn"), pairwise(RESETS, [torch.float32, torch.float64], [False, True])
)
def test_leaky(dtype: torch.dtype, reset: str, learn: bool) -> None:
    options: dict[str, Any] = {
        "beta": torch.linspace(0.5, 0.95, SIZE) if learn else 0.9,
        "threshold": torch.linspace(0.8, 1.2, SIZE) if learn else 1.0,
        "spike_grad": Sigmoid.apply,
        "learn_beta": learn,
        "learn_threshold": learn,
        "learn_graded_spikes_factor": learn,
        "graded_spikes_factor": 0.75,
        "reset_mechanism": reset,
    }
    compare(snn.Leaky(**options), ours.ALIF(**options, adapt_strength=0.0), dtype)


@pytest.mark.parametrize(
    ("reset", "dtype", "all_to_all"),
    pairwise(RESETS, [torch.float32, torch.float64], [False, True]),
)
def test_rleaky(dtype: torch.dtype, reset: str, all_to_all: bool) -> None:
    options: dict[str, Any] = {
        "beta": 0.8,
        "all_to_all": all_to_all,
        "linear_features": SIZE if all_to_all else None,
        "V": torch.linspace(-0.5, 0.5, SIZE),
        "spike_grad": Sigmoid.apply,
        "learn_beta": True,
        "learn_threshold": True,
        "reset_mechanism": reset,
    }
    theirs = snn.RLeaky(**options)
    mine = ours.RALIF(**options, adapt_strength=0.0)
    if all_to_all:
        mine.recurrent.load_state_dict(theirs.recurrent.state_dict())
    compare(theirs, mine, dtype, exact=False)


def test_positional_arguments_of_rleaky() -> None:
    theirs, mine = snn.RLeaky(0.8, -0.3, False), ours.RALIF(0.8, -0.3, False, adapt_strength=0.0)
    compare(theirs, mine, torch.float32, exact=False)


def test_recurrent_convolution() -> None:
    options: dict[str, Any] = {"beta": 0.8, "conv2d_channels": 2, "kernel_size": 3}
    theirs, mine = snn.RLeaky(**options), ours.RALIF(**options, adapt_strength=0.0)
    mine.recurrent.load_state_dict(theirs.recurrent.state_dict())
    x = torch.rand(20, 3, 2, 5, 5)
    spk, _ = unroll(theirs, x, 0)
    spk2, _ = unroll(mine, x, 0)
    assert spk.any()
    assert torch.equal(spk, spk2)


@pytest.mark.parametrize(
    ("spike_grad", "reset"),
    [
        (None, "subtract"),
        (surrogate.atan(3.0), "zero"),
        (surrogate.fast_sigmoid(), "none"),
        (surrogate.sigmoid(slope=2), "subtract"),
        (surrogate.triangular(), "zero"),
    ],
)
def test_snntorch_surrogates(spike_grad: Any, reset: str) -> None:
    options = {"beta": 0.9, "spike_grad": spike_grad, "learn_beta": True, "reset_mechanism": reset}
    compare(snn.Leaky(**options), ours.ALIF(**options, adapt_strength=0.0), torch.float32)


@pytest.mark.parametrize("reset", RESETS)
def test_reset_without_delay(reset: str) -> None:
    options = {
        "beta": 0.9,
        "spike_grad": Sigmoid.apply,
        "reset_mechanism": reset,
        "reset_delay": False,
    }
    options |= {"learn_beta": True, "graded_spikes_factor": 0.5}
    compare(snn.Leaky(**options), ours.ALIF(**options, adapt_strength=0.0), torch.float64)


def test_quantised_membrane() -> None:
    options = {"beta": 0.9, "spike_grad": Sigmoid.apply, "learn_beta": True}
    options["state_quant"] = quant.state_quant(num_bits=4, uniform=True, threshold=1.0)
    theirs, mine = snn.Leaky(**options), ours.ALIF(**options, adapt_strength=0.0)
    compare(theirs, mine, torch.float32)
    assert len(unroll(mine, torch.rand(50, 4, SIZE), 0)[1].unique()) <= 16


@pytest.mark.filterwarnings("ignore:Inhibition is an unstable feature")
def test_inhibition() -> None:
    theirs = snn.Leaky(0.9, inhibition=True, spike_grad=Sigmoid.apply, learn_beta=True)
    mine = ours.ALIF(
        0.9, inhibition=True, spike_grad=Sigmoid.apply, learn_beta=True, adapt_strength=0.0
    )
    compare(theirs, mine, torch.float64)
    spk, _ = unroll(mine, torch.rand(50, 4, SIZE, dtype=torch.float64), 0)
    assert spk.sum(-1).max() == 1


@pytest.mark.parametrize("recurrent", [False, True])
def test_without_a_state_it_goes_on(recurrent: bool) -> None:
    """As Leaky and RLeaky do, also after a call with a state, and with None in the place of one."""
    options: dict[str, Any] = {"V": 0.5, "all_to_all": False} if recurrent else {}
    theirs = (snn.RLeaky if recurrent else snn.Leaky)(0.9, **options)
    mine = (ours.RALIF if recurrent else ours.ALIF)(0.9, **options, adapt_strength=0.0)
    x = torch.rand(30, 4, SIZE)
    out: tuple[Tensor, ...] = ()
    for t, step in enumerate(x.unbind(0)):
        state = () if t < 10 else (None,) * (1 + recurrent) if t < 20 else out[-1 - recurrent :]
        out, expected = mine(step, *state), theirs(step, *state)
        torch.testing.assert_close(out, expected, rtol=1e-6, atol=1e-6)
    assert len(out) == 2
    assert out[0].any()
    torch.testing.assert_close(mine.mem, theirs.mem, rtol=1e-6, atol=1e-6)


def test_the_longer_call_stays() -> None:
    short, long = (ours.ALIF(0.9, adapt_strength=0.0) for _ in range(2))
    mem, state = short.reset_mem(), long.reset_mem()
    state = (torch.zeros(0), state)
    for step in torch.rand(30, 4, SIZE).unbind(0):
        spk, mem = short(step, mem)
        other, *state = long(step, *state)
        assert torch.equal(spk, other)
        assert torch.equal(mem, state[1])
    assert len(state) == 2
    assert state[0].any()  # it still counts spikes


@pytest.mark.parametrize("learn", [False, True])
def test_a_leaky_state_dict_loads(learn: bool) -> None:
    options: dict[str, Any] = {"learn_beta": learn, "learn_threshold": learn}
    theirs = snn.Leaky(0.7, threshold=0.8, reset_mechanism="zero", **options)
    for strength in (0.0, 0.3):
        mine = ours.ALIF(0.9, **options, adapt_strength=strength)
        mine.load_state_dict(theirs.state_dict())
        assert mine.beta == theirs.beta
        assert mine.threshold == theirs.threshold
        assert mine.adapt_strength == torch.tensor(strength)
        assert mine.reset_mechanism == "zero"
    broken = {k: v for k, v in mine.state_dict().items() if k != "adapt_decay"}
    with pytest.raises(RuntimeError, match="Missing key"):
        mine.load_state_dict(broken)


@pytest.mark.parametrize("all_to_all", [False, True])
def test_an_rleaky_state_dict_loads(all_to_all: bool) -> None:
    options: dict[str, Any] = {"linear_features": SIZE} if all_to_all else {"V": 0.3}
    theirs = snn.RLeaky(0.8, all_to_all=all_to_all, **options)
    mine = ours.RALIF(
        0.9,
        all_to_all=all_to_all,
        linear_features=options.get("linear_features"),
        adapt_strength=0.0,
    )
    mine.load_state_dict(theirs.state_dict())
    x = torch.rand(20, 4, SIZE)
    (spk, _), (spk2, _) = unroll(theirs, x, 0), unroll(mine, x, 0)
    assert spk.any()
    assert torch.equal(spk, spk2)
    if all_to_all:
        with pytest.raises(AttributeError, match="V"):
            _ = mine.V
    else:
        assert theirs.V == mine.V == 0.3


def test_state_quant_follows_the_adaptive_threshold() -> None:
    """SnnTorch's levels end at 1.2 threshold; the adaptive one rises past it."""
    levels = quant.state_quant(num_bits=8, uniform=True, threshold=1.0)
    x = torch.full((200, 1, 1), 1.0)
    for make in (ours.ALIF, ours.STDPALIF):
        plain, _ = unroll(make(0.9), x, 1 if make is ours.ALIF else 2)
        fine, mem = unroll(make(0.9, state_quant=levels), x, 1 if make is ours.ALIF else 2)
        assert mem.max() > 2.0
        counts = [s.reshape(4, 50).sum(1) for s in (plain, fine)]
        assert (counts[0] - counts[1]).abs().max() <= 2
        assert counts[0].min() > 5


def test_adaptation_makes_the_difference() -> None:
    """The comparison above can fail: with adaptation the spikes are fewer."""
    x = torch.rand(100, 4, SIZE)
    leaky, _ = unroll(snn.Leaky(0.9), x, 0)
    alif, _ = unroll(ours.ALIF(0.9, adapt_strength=0.3), x, 1)
    assert 0.2 * leaky.sum() < alif.sum() < 0.8 * leaky.sum()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_default_surrogate_is_snntorchs(dtype: torch.dtype) -> None:
    x = torch.linspace(-2, 2, 81).requires_grad_()
    y = x.detach().to(dtype).requires_grad_()
    spikes, mine = surrogate.atan()(x), ours.ATan()(y)
    assert mine.dtype == dtype
    assert torch.equal(spikes.to(dtype), mine)
    spikes.sum().backward()
    mine.sum().backward()
    torch.testing.assert_close(y.grad, x.grad.to(dtype), rtol=1e-5, atol=1e-6)


def test_surrogate_disable_passes_no_gradient() -> None:
    x = torch.ones(2, 3, dtype=torch.float64, requires_grad=True)
    spk, _, mem = ours.ALIF(0.9, surrogate_disable=True)(2 * x)
    assert spk.all()
    assert spk.dtype == torch.float64
    assert not spk.requires_grad
    assert mem.requires_grad
