r"""Feedback weights: which matrix carries the readout's error back to the neurons.

The learning signal of neuron j is $L_j = \sum_k B_{kj} (\pi_k - \pi^*_k)$. Symmetric feedback has $B = W_\text{out}$,
which is ordinary backpropagation through the readout; random feedback a fixed $B$; adaptive feedback a $B$ that
receives the updates of $W_\text{out}$.

References:
    Bellec et al., Nat. Commun. 11:3625 (2020), Eq. (4) and Methods.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class _Feedback(torch.autograd.Function):
    @staticmethod
    def forward(spikes: Tensor, w_out: Tensor, b: Tensor) -> Tensor:
        return torch.nn.functional.linear(spikes, w_out)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor], output: Tensor) -> None:
        spikes, _, b = inputs
        ctx.save_for_backward(spikes, b)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        spikes, b = ctx.saved_tensors
        error = grad_outputs[0].to(b.dtype)  # under autocast it comes in half precision
        flat = error.reshape(-1, error.shape[-1])
        grad_w = flat.T @ spikes.reshape(-1, spikes.shape[-1]).to(b.dtype)
        grad_spikes = (error @ b).to(spikes.dtype)
        return grad_spikes, grad_w, grad_w.clone() if ctx.needs_input_grad[2] else None


def linear_with_feedback(spikes: Tensor, w_out: Tensor, b: Tensor) -> Tensor:
    """`spikes @ w_out.T` whose error reaches the spikes through `b`.

    Args:
        spikes: (..., in_features).
        w_out: Readout weights (out_features, in_features).
        b: Feedback weights, likewise. If it requires a gradient, it gets that of `w_out` (adaptive feedback).

    Returns:
        (..., out_features).
    """
    out: Tensor = _Feedback.apply(spikes, w_out, b)
    return out
