"""Readout weights whose backward pass goes through other weights."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from snn_neuromod.learning.eprop.feedback import linear_with_feedback


def problem(shape: tuple[int, ...] = (7, 2)) -> tuple[torch.Tensor, ...]:
    torch.manual_seed(0)
    spikes = (torch.rand(*shape, 5) > 0.5).double().requires_grad_()
    w_out = torch.randn(3, 5, dtype=torch.float64, requires_grad=True)
    b = torch.randn(3, 5, dtype=torch.float64)
    error = torch.randn(*shape, 3, dtype=torch.float64)
    return spikes, w_out, b, error


@pytest.mark.parametrize("shape", [(), (4,), (7, 2), (3, 2, 2)])
def test_forward_is_linear_and_backward_goes_through_the_feedback(shape: tuple[int, ...]) -> None:
    spikes, w_out, b, error = problem(shape)
    y = linear_with_feedback(spikes, w_out, b)
    assert_close(y, spikes @ w_out.T)
    grad_spikes, grad_w = torch.autograd.grad(y, (spikes, w_out), error)
    assert_close(grad_spikes, error @ b)
    expected = torch.autograd.grad(spikes @ w_out.T, (spikes, w_out), error)
    assert_close(grad_w, expected[1])
    assert (grad_spikes - expected[0]).norm() > 0.1 * expected[0].norm()


def test_feedback_of_the_weights_themselves_is_backpropagation() -> None:
    spikes, w_out, _, error = problem()
    y = linear_with_feedback(spikes, w_out, w_out.detach())
    got = torch.autograd.grad(y, (spikes, w_out), error)
    want = torch.autograd.grad(spikes @ w_out.T, (spikes, w_out), error)
    assert_close(got, want)


def test_adaptive_feedback_receives_the_gradient_of_the_weights() -> None:
    spikes, w_out, b, error = problem()
    b.requires_grad_()
    y = linear_with_feedback(spikes, w_out, b)
    grad_w, grad_b = torch.autograd.grad(y, (w_out, b), error)
    assert_close(grad_b, grad_w)
    assert grad_b.data_ptr() != grad_w.data_ptr()  # an optimiser may change them in place


def test_error_of_another_type() -> None:
    spikes, w_out, b, error = (t.detach().float() for t in problem())
    w_out.requires_grad_()
    spikes = spikes.bfloat16().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        y = linear_with_feedback(spikes, w_out, b)
    assert y.dtype == torch.bfloat16
    grad_spikes, grad_w = torch.autograd.grad(y, (spikes, w_out), error.bfloat16())
    assert grad_spikes.dtype == torch.bfloat16
    assert grad_w.dtype == torch.float32
    assert_close(grad_spikes, (error.bfloat16().float() @ b).bfloat16())
