"""Cells and modules in Norse's form with recurrent weights."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import torch
from norse.torch.module.snn import SNNRecurrent, SNNRecurrentCell
from torch import Tensor, nn
from torch.nn import functional

from snn_neuromod.norse.base import Timed
from snn_neuromod.norse.functional import (
    like,
    recurrent_step,
    stack,
    to_dense,
    with_spikes,
    without_spikes,
)


class _Weighted(Timed):
    """Input and recurrent weights of the recurrent forms."""

    input_weights: nn.Parameter
    recurrent_weights: nn.Parameter
    diagonal: Tensor

    def _make_recurrent(
        self,
        input_size: int,
        hidden_size: int,
        p: Any,
        input_weights: Tensor | None,
        recurrent_weights: Tensor | None,
        learn: Collection[str],
        dt: float | None,
        options: Any,
    ) -> dict[str, Any]:
        who = type(self).__name__
        for name, size in (("input_size", input_size), ("hidden_size", hidden_size)):
            if not size >= 1:
                raise ValueError(f"{who}: {name} must be >= 1, got {size}")
        shapes = {
            "input_weights": (hidden_size, input_size),
            "recurrent_weights": (hidden_size,) * 2,
        }
        weights = {"input_weights": input_weights, "recurrent_weights": recurrent_weights}
        for name, weight in weights.items():
            if weight is not None and tuple(weight.shape) != shapes[name]:
                raise ValueError(
                    f"{who}: {name} must have shape {shapes[name]}, got {tuple(weight.shape)}"
                )
            if weight is not None and not isinstance(weight, nn.Parameter):
                weights[name] = nn.Parameter(weight.detach().clone())
        # Norse's own way to forbid self-connections is a hook, which copies and pickles lose
        sizes = {"input_size": input_size, "hidden_size": hidden_size, "autapses": True}
        return self._make(p, hidden_size, learn, dt, options) | weights | sizes

    def _finish(self: Any, input_size: int, hidden_size: int, autapses: bool) -> None:
        self.input_size, self.hidden_size, self.autapses = input_size, hidden_size, autapses
        diagonal = torch.zeros(hidden_size, hidden_size, dtype=torch.bool)
        if not autapses:
            diagonal.fill_diagonal_(True)
            with torch.no_grad():
                self.recurrent_weights.fill_diagonal_(0.0)
        self.register_buffer("diagonal", diagonal, persistent=False)

    def _connected(self) -> Tensor:
        """Recurrent weights without forbidden self-connections, and without gradient to them."""
        return self.recurrent_weights.masked_fill(self.diagonal, 0.0)

    def _rest(self, input_tensor: Tensor) -> Any:
        hidden = input_tensor.new_zeros((*input_tensor.shape[:-1], self.recurrent_weights.shape[0]))
        state = self.p.initial_state(hidden)
        return with_spikes(self.p, torch.zeros_like(state[0]), state)


class RecurrentCell(_Weighted, SNNRecurrentCell):
    """One step of neurons with input and recurrent weights, a `norse.torch.module.snn.SNNRecurrentCell`.

    Args:
        input_size: Number of inputs.
        hidden_size: Number of neurons.
        p: Parameters, see `Cell`.
        input_weights: (hidden_size, input_size); None: drawn as in Norse. A tensor becomes a parameter.
        recurrent_weights: (hidden_size, hidden_size), row: to, column: from; None: drawn as in Norse.
        autapses: Allow self-connections.
        learn: Names of parameters in `p` that are learned, one value per neuron.
        dt: Time step in seconds, see `Cell`.
        **options: Options of the neuron's layer in `snn_neuromod.layers`.

    Raises:
        TypeError: If `p` is of another neuron or library, or an option is unknown.
        ValueError: If a parameter is outside its range or weights have a wrong shape.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        p: Any = None,
        *,
        input_weights: Tensor | None = None,
        recurrent_weights: Tensor | None = None,
        autapses: bool = False,
        learn: Collection[str] = (),
        dt: float | None = None,
        **options: Any,
    ) -> None:
        made = self._make_recurrent(
            input_size, hidden_size, p, input_weights, recurrent_weights, learn, dt, options
        )
        super().__init__(activation=recurrent_step, state_fallback=self.initial_state, **made)
        self._finish(input_size, hidden_size, autapses)

    def initial_state(self, input_tensor: Tensor) -> Any:
        """State at rest for inputs like `input_tensor`, (batch, ..., input_size)."""
        return self._rest(to_dense(input_tensor))

    def forward(self, input_tensor: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """Advance by one time step.

        Args:
            input_tensor: Input spikes, (batch, ..., input_size); Boolean and sparse tensors are taken as well.
            state: State after the step before; None: at rest.

        Returns:
            spikes: (batch, ..., hidden_size), sparse where the input is.
            state: State after this step, a NamedTuple with the spikes in `z`.
        """
        dense = to_dense(input_tensor)
        state = self.state_fallback(dense) if state is None else state
        spikes, state = self.activation(
            dense, state, self.input_weights, self._connected(), self.p, self.dt
        )
        return like(spikes, input_tensor), state


class RecurrentModule(_Weighted, SNNRecurrent):
    """Recurrent neurons over whole sequences, time first, a `norse.torch.module.snn.SNNRecurrent`.

    Args:
        input_size: Number of inputs.
        hidden_size: Number of neurons.
        p: Parameters, see `Cell`.
        input_weights: (hidden_size, input_size); None: drawn as in Norse. A tensor becomes a parameter.
        recurrent_weights: (hidden_size, hidden_size), row: to, column: from; None: drawn as in Norse.
        autapses: Allow self-connections.
        learn: Names of parameters in `p` that are learned, one value per neuron.
        dt: Time step in seconds, see `Cell`.
        record_states: Return the states of all steps in the place of the last.
        **options: Options of the neuron's layer in `snn_neuromod.layers`.

    Raises:
        TypeError: If `p` is of another neuron or library, or an option is unknown.
        ValueError: If a parameter is outside its range or weights have a wrong shape.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        p: Any = None,
        *,
        input_weights: Tensor | None = None,
        recurrent_weights: Tensor | None = None,
        autapses: bool = False,
        learn: Collection[str] = (),
        dt: float | None = None,
        record_states: bool = False,
        **options: Any,
    ) -> None:
        made = self._make_recurrent(
            input_size, hidden_size, p, input_weights, recurrent_weights, learn, dt, options
        )
        super().__init__(
            activation=recurrent_step,
            state_fallback=self.initial_state,
            record_states=record_states,
            **made,
        )
        self._finish(input_size, hidden_size, autapses)

    def initial_state(self, input_tensor: Tensor) -> Any:
        """State at rest for inputs like `input_tensor`, (T, batch, ..., input_size)."""
        return self._rest(to_dense(input_tensor)[0])

    def forward(self, input_tensor: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """Run over a sequence.

        Args:
            input_tensor: Input spikes, (T, batch, ..., input_size), T >= 1.
            state: State after an earlier sequence; None: at rest.

        Returns:
            spikes: (T, batch, ..., hidden_size), sparse where the input is.
            state: State after the last step, or of all steps with `record_states`.
        """
        dense, w_rec = to_dense(input_tensor), self._connected()
        state = self.state_fallback(dense) if state is None else state
        if not self.record_states:
            current = functional.linear(dense, self.input_weights)
            spikes, after = self.p.forward_recurrent(
                current, without_spikes(self.p, state), w_rec, state.z, through_time=True
            )
            return like(spikes, input_tensor), with_spikes(self.p, spikes[-1], after)
        emitted, states = [], []
        for x in dense.unbind(0):
            spikes, state = self.activation(x, state, self.input_weights, w_rec, self.p, self.dt)
            emitted.append(spikes)
            states.append(state)
        return like(torch.stack(emitted), input_tensor), stack(states)
