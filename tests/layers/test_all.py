"""What every layer keeps, for all layers and options."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close
from torch.utils.checkpoint import checkpoint

from tests.layers.cases import (
    BATCH,
    DEFAULTS_LEARN,
    NEURONS,
    LayerCase,
    assert_live,
    every_class,
    every_layer,
    scanned,
)

pytestmark = pytest.mark.usefixtures("device")


@every_layer
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_layer_is_the_scanned_equations(
    case: LayerCase, dtype: torch.dtype, device: str
) -> None:
    layer, current = case.make(), case.current(dtype=dtype)
    spikes, state = layer(current)
    expected, expected_state = scanned(layer, current)
    assert_live(spikes)
    exact = case.exact and device == "cpu"  # a GPU adds and multiplies in one rounding
    tolerance = 0.0 if exact else {torch.float32: 1e-4, torch.float64: 1e-12}[dtype]
    assert type(state) is type(expected_state)
    for a, b in zip((spikes, *state), (expected, *expected_state), strict=True):
        assert a.dtype == dtype
        assert_close(a, b, rtol=tolerance, atol=tolerance)


@every_layer
def test_gradients_are_those_of_the_scanned_equations(case: LayerCase) -> None:
    layer = case.make(learn=DEFAULTS_LEARN[case.layer] if case.label == "default" else ())
    current = case.current(dtype=torch.float64).requires_grad_()
    weights = torch.randn(current.shape, dtype=torch.float64)
    inputs = [current, *layer.parameters()]
    got, want = (
        torch.autograd.grad((weights * spikes).sum(), inputs)
        for spikes in (layer(current)[0], scanned(layer, current)[0])
    )
    assert got[0].abs().max() > 0
    for a, b in zip(got, want, strict=True):
        assert_close(a, b, rtol=1e-5 if a.dtype == torch.float32 else 1e-8, atol=1e-9)


@every_class
@pytest.mark.parametrize("again", [False, True], ids=["by hooks", "reentrant"])
def test_gradients_where_the_forward_pass_is_run_again(case: LayerCase, again: bool) -> None:
    """`torch.utils.checkpoint` gives a backward pass what it saved once only."""
    layer, current = case.make(), case.current(dtype=torch.float64)
    weights, grads = torch.randn_like(current), []
    for run in (layer, partial(checkpoint, layer, use_reentrant=again)):
        x = current.clone().requires_grad_()
        (weights * run(x)[0]).sum().backward()
        grads.append(x.grad)
    assert grads[0].any()
    assert_close(grads[1], grads[0])


@every_class
def test_a_gradient_that_is_a_negated_view(case: LayerCase) -> None:
    """As that of an imaginary part; its memory holds the opposite numbers."""
    layer, current = case.make(), case.current(dtype=torch.float64).requires_grad_()
    weights = torch.randn_like(current)
    spikes, _ = layer(current)
    (expected,) = torch.autograd.grad(spikes, current, weights, retain_graph=True)
    (got,) = torch.autograd.grad(spikes, current, torch._neg_view(-weights))
    assert expected.any()
    assert_close(got, expected, rtol=0, atol=0)


@every_layer
def test_stepping_is_the_forward_pass(case: LayerCase) -> None:
    layer, current = case.make(), case.current(dtype=torch.float64)
    spikes, last = layer(current)
    state = None
    for t, current_t in enumerate(current):
        one, state = layer.step(current_t, state)
        assert_close(one, spikes[t], rtol=1e-11, atol=1e-11)
    assert type(state) is type(last)
    for a, b in zip(state, last, strict=True):
        assert_close(a, b, rtol=1e-11, atol=1e-11)
    assert_live(spikes)


@every_layer
@settings(max_examples=4)
@given(split=st.integers(1, 24))
def test_a_segmented_run_is_the_full_run(case: LayerCase, split: int) -> None:
    torch.manual_seed(0)
    layer, current = case.make(), case.current()
    full, full_state = layer(current)
    head, state = layer(current[:split])
    tail, state = layer(current[split:], state)
    assert torch.equal(torch.cat([head, tail]), full)
    assert all(map(torch.equal, state, full_state))


@every_layer
def test_more_axes_and_no_batch(case: LayerCase) -> None:
    """(T, batch, height, width, neuron) and (T, neuron) are what they are flattened."""
    layer, current = case.make(), case.current(20)
    spikes, _ = layer(current)
    folded, state = layer(current.reshape(20, 1, BATCH, 1, NEURONS))
    assert_close(folded.reshape(spikes.shape), spikes, rtol=1e-4, atol=1e-4)
    assert state[0].shape == (1, BATCH, 1, NEURONS)
    alone, _ = layer(current[:, 0])
    assert_close(alone, spikes[:, 0], rtol=1e-4, atol=1e-4)


@every_class
def test_no_number_of_neurons(case: LayerCase) -> None:
    """One layer for inputs of any shape."""
    layer = case.make(None)
    for current in (case.current(), torch.cat([case.current()] * 2, -1)):
        spikes, _ = layer(current)
        assert spikes.shape == current.shape
        assert torch.equal(spikes[..., :NEURONS], layer(case.current())[0])
    assert_live(layer(case.current())[0])


@every_layer
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_input(case: LayerCase, dtype: torch.dtype) -> None:
    """Computed in float32, given back in the input's type; gradients too."""
    layer, current = case.make(), case.current().to(dtype).requires_grad_()
    spikes, state = layer(current)
    expected, expected_state = layer(current.detach().float())
    assert spikes.dtype == dtype
    assert torch.equal(spikes, expected.to(dtype))
    assert {s.dtype for s in state} == {torch.float32}
    assert all(map(torch.equal, state, expected_state))
    spikes.sum().backward()
    assert current.grad is not None
    assert current.grad.dtype == dtype
    one, state = layer.step(current[0].detach(), state)
    assert one.dtype == dtype
    assert state[0].dtype == torch.float32


@every_class
def test_converted_layers(case: LayerCase) -> None:
    """`.to(float64)` and `.half()` leave the computation in the input's type."""
    layer = case.make(learn=case.learnable[:1])
    expected = layer(case.current())[0]
    assert_close(layer.double()(case.current())[0], expected, rtol=1e-4, atol=1e-4)
    assert layer(case.current(dtype=torch.float64))[0].dtype == torch.float64
    assert layer.half()(case.current())[0].dtype == torch.float32


@every_layer
def test_nothing_given_is_changed(case: LayerCase) -> None:
    layer, current = case.make(), case.current()
    state = layer(case.current())[1]
    before = [t.clone() for t in (current, *state, *layer.state_dict().values())]
    layer(current, state)
    layer.step(current[0], state)
    after = (current, *state, *layer.state_dict().values())
    assert all(map(torch.equal, before, after))
