"""`run`: a whole sequence through a network at once gives what the loop over time gives."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import snntorch as snn
import torch
from snntorch import surrogate
from snntorch.functional import quant
from torch import Tensor, nn

import snn_neuromod as nm
from snn_neuromod import snntorch as ours

T, B, N = 30, 4, 6
H = {"init_hidden": True}
NEURONS: dict[str, Callable[[], nn.Module]] = {
    "ALIF": lambda: ours.ALIF(0.9, learn_beta=True, learn_adapt_strength=True, **H),
    "ALIF, threshold 0.7": lambda: ours.ALIF(0.9, threshold=0.7, reset_mechanism="zero", **H),
    "ALIF, a Psi": lambda: ours.ALIF(0.9, spike_grad=nm.Psi(), learn_threshold=True, **H),
    "ALIF, fast sigmoid": lambda: ours.ALIF(0.9, spike_grad=surrogate.fast_sigmoid(), **H),
    "ALIF, graded": lambda: ours.ALIF(
        0.9, graded_spikes_factor=0.5, learn_graded_spikes_factor=True, **H
    ),
    "Leaky of ours": lambda: ours.ALIF(0.9, adapt_strength=0.0, learn_beta=True, **H),
    "STDPALIF": lambda: ours.STDPALIF(0.9, learn_beta=True, **H),
    "STDPALIF, atan": lambda: ours.STDPALIF(0.9, spike_grad=surrogate.atan(), **H),
    "Izhikevich": lambda: ours.Izhikevich(learn=["d", "b"], **H),
    "Izhikevich, graded": lambda: ours.Izhikevich(
        graded_spikes_factor=0.5, learn_graded_spikes_factor=True, **H
    ),
    "Izhikevich, three steps": lambda: ours.Izhikevich(substeps=3, spike_grad=ours.ATan(0.2), **H),
    "SRC": lambda: ours.SRC(num_neurons=N, learn=["b"], **H),
    "MSRC": lambda: ours.MSRC(num_neurons=N, learn_modulation=True, **H),
    "BSRC": lambda: ours.BSRC(num_neurons=N, learn_modulation=True, **H),
    "snn.Leaky": lambda: snn.Leaky(0.9, learn_beta=True, **H),
    "snn.Leaky, zero": lambda: snn.Leaky(0.9, threshold=0.8, reset_mechanism="zero", **H),
    "snn.Leaky, none": lambda: snn.Leaky(
        0.5, spike_grad=surrogate.fast_sigmoid(slope=5), reset_mechanism="none", **H
    ),
}
STEP_BY_STEP: dict[str, Callable[[], nn.Module]] = {
    "RALIF": lambda: ours.RALIF(0.9, linear_features=N, **H),
    "learned threshold and atan": lambda: ours.ALIF(0.9, learn_threshold=True, **H),
    "sigmoid": lambda: ours.ALIF(0.9, spike_grad=surrogate.sigmoid(), **H),
    "quantised": lambda: ours.ALIF(
        0.9, state_quant=quant.state_quant(num_bits=4, uniform=True), **H
    ),
    "reset at once": lambda: ours.ALIF(0.9, adapt_strength=0.0, reset_delay=False, **H),
    "snn.Synaptic": lambda: snn.Synaptic(0.8, 0.9, **H),
    "batch normalisation": lambda: nn.BatchNorm1d(N),
    "mine": Doubled
    if (Doubled := type("Doubled", (nn.Module,), {"forward": lambda self, x: 2 * x}))
    else None,
}


def network(make: Callable[[], nn.Module]) -> nn.Sequential:
    net = nn.Sequential(
        nn.Linear(5, N), nn.Sequential(make(), nn.Flatten()), nn.Linear(N, 3), snn.Leaky(0.8, **H)
    )
    nn.init.uniform_(net[0].weight, 0.0, 1.0)
    return net


def loop(net: nn.Module, x: Tensor) -> Any:
    out = [net(step) for step in x.unbind(0)]
    return (
        torch.stack(out)
        if isinstance(out[0], Tensor)
        else tuple(map(torch.stack, zip(*out, strict=True)))
    )


def compare(net: nn.Sequential, x: Tensor) -> Tensor:
    """Spikes of two sequences one after the other, state and gradients."""
    other = copy.deepcopy(net)
    inputs = [x.clone().requires_grad_() for _ in range(2)]
    results = []
    for f, one, y in zip((ours.run, loop), (net, other), inputs, strict=True):
        out = torch.cat([f(one, part) for part in y.split(T // 2)])
        (out * torch.linspace(-1, 2, out.numel(), dtype=out.dtype).view_as(out)).sum().backward()
        results.append(out)
    assert torch.equal(*results)
    for p, q in zip([*net.parameters(), inputs[0]], [*other.parameters(), inputs[1]], strict=True):
        if q.grad is not None:
            assert p.grad is not None
            scale = q.grad.abs().max().clamp(min=1.0)
            torch.testing.assert_close(p.grad / scale, q.grad / scale, rtol=0, atol=1e-4)
    kept = dict(other.named_buffers())
    for name, buffer in net.named_buffers():
        torch.testing.assert_close(buffer, kept[name], rtol=1e-3, atol=1e-3)
    return results[0]


SINGLE = [name for number, name in enumerate(NEURONS) if "snn." in name or number % 3 == 0]
"""snnTorch's neurons give float32 spikes whatever they are given; ours act alike in both."""


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        *((name, torch.float64) for name in NEURONS if "snn." not in name),
        *((name, torch.float32) for name in SINGLE),
    ],
)
def test_neurons(name: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    net = network(NEURONS[name]).to(dtype)
    x = (40 if "Izh" in name else 0.5 if "Leaky" in name else 2) * torch.rand(T, B, 5, dtype=dtype)
    monkeypatch.setattr(
        type(net[1][0]), "__call__", lambda *_: pytest.fail("step by step"), raising=False
    )
    spikes = ours.run(net[:2], x)
    monkeypatch.undo()
    assert 0.01 < (spikes != 0).float().mean() < 0.99
    nm.reset(net)
    compare(net, x)


@pytest.mark.parametrize("name", STEP_BY_STEP)
def test_step_by_step(name: str) -> None:
    assert compare(network(STEP_BY_STEP[name]), 2 * torch.rand(T, B, 5)).any()


@pytest.mark.parametrize("training", [True, False])
def test_dropout(training: bool) -> None:
    net = nn.Sequential(nn.Linear(5, N), nn.Dropout(0.5), ours.ALIF(0.9, **H)).train(training)
    x = 5 * torch.rand(T, B, 5)
    torch.manual_seed(3)
    one = ours.run(net, x)
    nm.reset(net)
    torch.manual_seed(3)
    assert torch.equal(one, loop(net, x))
    assert one.any()


def test_convolutions_and_an_input_that_stays() -> None:
    net = nn.Sequential(
        nn.Conv2d(1, 3, 3),
        nn.MaxPool2d(2),
        ours.ALIF(0.9, **H),
        nn.Flatten(),
        nn.Linear(12, 4),
        ours.MSRC(**H),
    )
    x = 3 * torch.rand(B, 1, 6, 6)
    one = ours.run(net, x.expand(T, *x.shape))
    nm.reset(net)
    other = loop(net, x.expand(T, *x.shape))
    torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)
    assert (one > 0.5).any()


def test_output_of_the_state() -> None:
    net = nn.Sequential(nn.Linear(5, N), ours.ALIF(0.9, output=True, **H))
    x = 3 * torch.rand(T, B, 5)
    one = ours.run(net, x)
    nm.reset(net)
    assert len(one) == 3
    torch.testing.assert_close(one, loop(net, x), rtol=1e-5, atol=1e-4)


def test_hooks_are_called_at_every_step() -> None:
    net, seen = nn.Sequential(nn.Linear(5, N), ours.ALIF(0.9, **H)), []
    for module in net:
        module.register_forward_hook(lambda m, *_: seen.append(m))
    ours.run(net, torch.rand(T, B, 5))
    assert len(seen) == 2 * T


def test_half_precision() -> None:
    net = nn.Sequential(ours.ALIF(0.9, **H))
    x = 2 * torch.rand(T, B, N).bfloat16()
    one = ours.run(net, x)
    nm.reset(net)
    assert one.dtype == torch.bfloat16
    assert torch.equal(one, loop(net, x))


def test_silence_is_said_here_too() -> None:
    net = nn.Sequential(nn.Linear(5, N), ours.ALIF(0.9, **H))
    nn.init.zeros_(net[0].bias)
    ours.run(net, 1e-3 * torch.rand(T, B, 5)).sum().backward()
    with pytest.warns(ours.SilentLayerWarning, match="ALIF '1'"):
        nm.reset(net)


def test_what_is_no_sequence_is_refused() -> None:
    x = torch.rand(T, B, 5)
    with pytest.raises(
        TypeError, match="neurons must keep their state, got ALIF with init_hidden=False"
    ):
        ours.run(nn.Sequential(nn.Linear(5, N), ours.ALIF(0.9)), x)
    with pytest.raises(TypeError, match="one tensor, got 3 in front of Linear"):
        ours.run(nn.Sequential(ours.ALIF(0.9, output=True, **H), nn.Linear(5, N)), x)
    with pytest.raises(ValueError, match=r"x must have shape \(T, batch, \.\.\.\)"):
        ours.run(nn.Sequential(ours.ALIF(0.9, **H)), torch.rand(5))
