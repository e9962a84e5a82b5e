"""Recurrent and input weights around any neuron."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from snn_neuromod.layers.base import Layer
from snn_neuromod.layers.parameters import positive_integer

LearningRule = Literal["bptt", "eprop"]


class RecurrentState(NamedTuple):
    """State of a recurrent layer.

    Attributes:
        neuron: State of its neurons.
        spikes: Spikes of the last step, (batch, neuron).
    """

    neuron: Any
    spikes: Tensor


class Recurrent(nn.Module):
    r"""Input weights and all-to-all recurrent weights around a layer of neurons.

    $I_t = W_\text{in} x_t + W_\text{rec} z_{t-1}$, without self-connections. $W_\text{in} x$ is one matrix product for
    all steps: a state passed on gives the same run up to the rounding of that product.

    Args:
        neuron: The layer of N neurons.
        in_features: Number of inputs.
        learning_rule: "bptt", or "eprop": the gradient does not pass through the recurrent spikes, which is e-prop in
            its exact factorised form (Bellec et al. 2020). Either way `loss.backward()` is all there is to call.

    Attributes:
        w_in: Input weights (N, in_features), drawn from N(0, 1 / in_features).
        w_rec: Recurrent weights (N, N), drawn from N(0, 1 / N), zero on the diagonal; row: to, column: from.
        neuron: The layer.

    Raises:
        ValueError: If `in_features` is not positive, `learning_rule` is unknown or the layer has no number of neurons.
        TypeError: If `neuron` is not a layer of this package.

    Examples:
        >>> import torch
        >>> from snn_neuromod import ALIF
        >>> net = Recurrent(ALIF(20), in_features=5, learning_rule="eprop")
        >>> spikes, state = net(torch.rand(30, 8, 5))  # (T, batch, in_features)
        >>> spikes.shape
        torch.Size([30, 8, 20])
    """

    diagonal: Tensor

    def __init__(
        self, neuron: Layer, in_features: int, *, learning_rule: LearningRule = "bptt"
    ) -> None:
        super().__init__()
        if not isinstance(neuron, Layer):
            raise TypeError(
                f"Recurrent: neuron must be a layer such as ALIF(100), got {type(neuron).__name__}"
            )
        if neuron.num_neurons is None:
            raise ValueError("Recurrent: neuron must have a number of neurons, got None")
        if learning_rule not in get_args(LearningRule):
            raise ValueError(
                f"Recurrent: learning_rule must be one of {', '.join(get_args(LearningRule))}, got {learning_rule!r}"
            )
        n, in_features = (
            neuron.num_neurons,
            positive_integer("Recurrent", "in_features", in_features),
        )
        self.neuron, self.in_features, self.learning_rule = neuron, in_features, learning_rule
        self.w_in = nn.Parameter(torch.randn(n, in_features) / in_features**0.5)
        self.register_buffer("diagonal", torch.eye(n, dtype=torch.bool), persistent=False)
        self.w_rec = nn.Parameter((torch.randn(n, n) / n**0.5).masked_fill(self.diagonal, 0.0))

    def initial_state(self, x: Tensor) -> RecurrentState:
        """State before the first step for the input of one step, (batch, in_features)."""
        current = functional.linear(x, self.w_in)
        neuron = self.neuron.initial_state(current)
        return RecurrentState(neuron, torch.zeros_like(neuron[0]))

    def forward(
        self,
        x: Tensor,
        state: RecurrentState | None = None,
        *,
        modulation: Tensor | None = None,
    ) -> tuple[Tensor, RecurrentState]:
        """Run the layer over a sequence.

        Args:
            x: Input, time first, (T, batch, in_features).
            state: State after an earlier sequence; None: at rest.
            modulation: Replaces the modulation of an mSRC or BSRC step by step; broadcastable to (T, batch, N).

        Returns:
            spikes: (T, batch, N).
            state: State after the last step.

        Raises:
            ValueError: If `x` has no time axis, no steps or another number of features, or `state` or `modulation` does
                not fit it.
            TypeError: If `x` is not of a floating-point type, or `modulation` is given to a neuron that has none.
        """
        if not x.is_floating_point():
            raise TypeError(
                f"Recurrent: x must be a floating-point tensor, got {x.dtype}; convert spikes with .float()"
            )
        if x.ndim < 2 or x.shape[-1] != self.in_features or x.shape[0] == 0:
            raise ValueError(
                f"Recurrent: x must have shape (T, batch, {self.in_features}) with at least one step, "
                f"got {tuple(x.shape)}"
            )
        current = functional.linear(x, self.w_in)
        state = self.initial_state(x[0]) if state is None else RecurrentState(*state)
        if state.spikes.shape != current.shape[1:]:
            raise ValueError(
                f"Recurrent: state spikes must have shape {tuple(current.shape[1:])} to fit the input, "
                f"got {tuple(state.spikes.shape)}"
            )
        spikes, neuron_state = self.neuron.forward_recurrent(
            current,
            state.neuron,
            self.w_rec.masked_fill(self.diagonal, 0.0),
            state.spikes,
            through_time=self.learning_rule == "bptt",
            modulation=modulation,
        )
        return spikes, RecurrentState(neuron_state, spikes[-1])

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, learning_rule={self.learning_rule!r}"
