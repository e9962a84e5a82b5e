"""Smoothing against its definition: values, gradients, ends of sequences, segments."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

import snn_neuromod as nm

STEPS, BATCH, OUTPUTS = 17, 3, 2
KINDS = [
    {"tau": 3.0},
    {"tau": 3.0, "centred": True, "dt": 2.0},
    {"window": 4},
    {"window": 5, "centred": True},
    {"window": 1},
    {"window": 31, "centred": True},
]
every_kind = pytest.mark.parametrize("kind", KINDS, ids=str)


def outputs() -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(STEPS, BATCH, OUTPUTS, generator=generator, dtype=torch.float64)


def matrix(steps: int, kind: dict[str, Any]) -> Tensor:
    """Normalised weights (t, s) of the definition."""
    gap = torch.arange(steps)[:, None] - torch.arange(steps)
    if "tau" in kind:
        weights = torch.exp(-gap.abs().double() * kind.get("dt", 1.0) / kind["tau"])
    else:
        reach = kind["window"] // 2 if kind.get("centred") else kind["window"] - 1
        weights = (gap.abs() <= reach).double()
    if not kind.get("centred"):
        weights = weights * (gap >= 0)
    return weights / weights.sum(1, keepdim=True)


@every_kind
def test_values_and_gradients(kind: dict[str, Any]) -> None:
    y = outputs().requires_grad_()
    smoothed, state = nm.Smoothing(**kind).double()(y)
    expected = torch.einsum("ts,sbk->tbk", matrix(STEPS, kind), y)
    assert_close(smoothed, expected, rtol=1e-11, atol=1e-11)
    errors = torch.randn_like(smoothed)
    (got,) = torch.autograd.grad((errors * smoothed).sum(), y)
    assert_close(
        got, torch.einsum("ts,tbk->sbk", matrix(STEPS, kind), errors), rtol=1e-11, atol=1e-11
    )
    assert (state is None) == kind.get("centred", False)


@every_kind
def test_a_sequence_of_a_padded_batch_is_what_it_is_alone(kind: dict[str, Any]) -> None:
    y, lengths = outputs(), torch.tensor([17, 9, 1])
    y[9:, 1], y[1:, 2] = math.nan, math.inf
    y.requires_grad_()
    smoothing = nm.Smoothing(**kind).double()
    smoothed, _ = smoothing(y, lengths=lengths)
    for k, length in enumerate(lengths.tolist()):
        alone, _ = smoothing(y[:length, k : k + 1])
        assert_close(smoothed[:length, k], alone[:, 0])
        assert not smoothed[length:, k].any()
    (grad,) = torch.autograd.grad(smoothed.sum(), y)
    assert not grad[9:, 1].any()
    assert torch.isfinite(grad).all()


@every_kind
def test_a_constant_stays(kind: dict[str, Any]) -> None:
    smoothed, _ = nm.Smoothing(**kind)(torch.full((STEPS, 1, 2), 0.7))
    assert_close(smoothed, torch.full((STEPS, 1, 2), 0.7))


@pytest.mark.parametrize("kind", [k for k in KINDS if not k.get("centred")], ids=str)
@pytest.mark.parametrize("split", [1, 2, 8, 16])
def test_segments_are_the_full_run(kind: dict[str, Any], split: int) -> None:
    y, smoothing = outputs(), nm.Smoothing(**kind).double()
    full, _ = smoothing(y)
    head, state = smoothing(y[:split])
    tail, _ = smoothing(y[split:], state)
    assert_close(torch.cat([head, tail]), full, rtol=1e-12, atol=1e-12)
    steps, state = [], None
    for now in y.split(1):
        out, state = smoothing(now, state)
        steps.append(out)
    assert_close(torch.cat(steps), full, rtol=1e-12, atol=1e-12)


def test_the_error_reaches_a_network_through_it() -> None:
    """e-prop through a smoothed readout is e-prop with the smoothed errors: the transposed filter."""
    torch.manual_seed(0)
    net = nm.Recurrent(nm.ALIF(8, v_th=0.6), 3, learning_rule="eprop").double()
    readout, kind = nm.LeakyReadout(8, OUTPUTS).double(), {"window": 5, "centred": True}
    x = 1 + torch.randn(STEPS, BATCH, 3, dtype=torch.float64)
    y, _ = readout(net(x)[0])
    smoothed, _ = nm.Smoothing(**kind)(y)  # type: ignore[arg-type]
    errors = torch.randn_like(smoothed)
    got = torch.autograd.grad((errors * smoothed).sum(), net.w_rec, retain_graph=True)[0]
    spread = torch.einsum("ts,tbk->sbk", matrix(STEPS, kind), errors)
    assert_close(got, torch.autograd.grad((spread * y).sum(), net.w_rec)[0])
    assert got.any()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nm.Smoothing(), "Smoothing: exactly one of tau and window must be given, got"),
        (lambda: nm.Smoothing(tau=1.0, window=2), "Smoothing: exactly one of tau and window"),
        (lambda: nm.Smoothing(tau=math.inf), "Smoothing: tau must be > 0 and finite, got inf"),
        (lambda: nm.Smoothing(tau=1.0, dt=0.0), "Smoothing: dt must be > 0, got 0.0"),
        (lambda: nm.Smoothing(window=0), "Smoothing: window must be an integer >= 1, got 0"),
        (lambda: nm.Smoothing(window=4, centred=True), "Smoothing: window must be odd with"),
        (lambda: nm.Smoothing(window=2)(torch.ones(3, 2)), r"Smoothing: y must have shape \(T, b"),
        (
            lambda: nm.Smoothing(window=1, centred=True)(
                torch.ones(2, 1, 1), nm.Smoothing(window=1)(torch.ones(2, 1, 1))[1]
            ),
            "Smoothing: state must be None with centred=True",
        ),
    ],
)
def test_errors(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_lengths_may_be_a_list_and_must_fit() -> None:
    y, smoothing = torch.rand(6, 2, 3), nm.Smoothing(window=3)
    assert torch.equal(
        smoothing(y, lengths=[6, 2])[0], smoothing(y, lengths=torch.tensor([6, 2]))[0]
    )
    with pytest.raises(ValueError, match=r"lengths must have shape \(2,\), one for each seq"):
        smoothing(y, lengths=[6])
