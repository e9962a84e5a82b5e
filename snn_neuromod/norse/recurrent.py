"""Cells and modules in Norse's form with recurrent weights."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any, Generic

import torch
from norse.torch.module.snn import SNNRecurrent, SNNRecurrentCell
from torch import Tensor, nn
from torch.nn import functional
from typing_extensions import Unpack

from snn_neuromod.errors import ConfigError
from snn_neuromod.layers import Recurrent
from snn_neuromod.layers.base import S
from snn_neuromod.layers.delays import Delay, SynapticDelays
from snn_neuromod.layers.recurrent import Mask
from snn_neuromod.learning.rules import LearningRule, in_force, resolve
from snn_neuromod.norse.base import Timed
from snn_neuromod.norse.functional import first, later, like, past, recurrent_step, stack, to_dense
from snn_neuromod.norse.recipes import Options
from snn_neuromod.norse.states import of_layer, recurrent


class _Weighted(Timed):
    """Input and recurrent weights of the recurrent forms, their masks and delays, and the learning rule."""

    input_weights: nn.Parameter
    recurrent_weights: nn.Parameter
    diagonal: Tensor
    mask_in: Tensor | None
    mask_rec: Tensor | None
    delays: SynapticDelays

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
                raise ConfigError(f"{who}: {name} must be >= 1, got {size}")
        shapes = {
            "input_weights": (hidden_size, input_size),
            "recurrent_weights": (hidden_size,) * 2,
        }
        weights = {"input_weights": input_weights, "recurrent_weights": recurrent_weights}
        for name, weight in weights.items():
            if weight is not None and tuple(weight.shape) != shapes[name]:
                raise ConfigError(
                    f"{who}: {name} must have shape {shapes[name]}, got {tuple(weight.shape)}"
                )
            if weight is not None and not isinstance(weight, nn.Parameter):
                weights[name] = nn.Parameter(weight.detach().clone())
        # Norse's own way to forbid self-connections is a hook, which copies and pickles lose
        sizes = {"input_size": input_size, "hidden_size": hidden_size, "autapses": True}
        return self._make(p, hidden_size, learn, dt, options) | weights | sizes

    def _finish(
        self: Any,
        sizes: tuple[int, int],
        autapses: bool,
        learning_rule: Any,
        mask_in: Mask | None,
        mask_rec: Mask | None,
        delay: Delay | Callable[[int], Tensor],
    ) -> None:
        self.input_size, self.hidden_size = sizes
        self.autapses, self.learning_rule = autapses, learning_rule
        with torch.random.fork_rng(devices=[], enabled=mask_in is None and mask_rec is None):
            made = Recurrent(
                self.p, self.input_size, learning_rule=learning_rule, mask_in=mask_in, mask_rec=mask_rec, delay=delay
            )  # fmt: skip
        self.delays = made.delays
        self.register_buffer("mask_in", made.mask_in)
        self.register_buffer("mask_rec", _with_diagonal(made.mask_rec, mask_rec, autapses))
        diagonal = torch.zeros(self.hidden_size, self.hidden_size, dtype=torch.bool)
        self.register_buffer(
            "diagonal", diagonal if autapses else diagonal.fill_diagonal_(True), persistent=False
        )
        with torch.no_grad():
            w_in, w_rec = self._acting()
            self.input_weights.copy_(w_in)
            self.recurrent_weights.copy_(w_rec)

    def _acting(self) -> tuple[Tensor, Tensor]:
        """Weights without forbidden and absent synapses, and without gradient to them."""
        w_in: Tensor = self.input_weights
        w_in = w_in if self.mask_in is None else w_in.masked_fill(~self.mask_in, 0.0)
        absent = self.diagonal if self.mask_rec is None else self.diagonal | ~self.mask_rec
        return w_in, self.recurrent_weights.masked_fill(absent, 0.0)

    def _rest(self, input_tensor: Tensor) -> Any:
        hidden = input_tensor.new_zeros((*input_tensor.shape[:-1], self.recurrent_weights.shape[0]))
        state = self.p.initial_state(hidden)
        spikes = torch.zeros_like(state[0])
        more = self.delays.steps[-1] - 1
        earlier = spikes.repeat(more, *[1] * spikes.ndim) if more else None
        return recurrent(self.p, spikes, state, earlier)

    def _step(
        self: Any, dense: Tensor, state: Any, acting: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, Any]:
        spikes, after = self.activation(
            dense, state, *acting, self.p, self.dt, delays=self.delays.groups, learning_rule=self.learning_rule
        )  # fmt: skip
        return spikes, after

    def extra_repr(self: Any) -> str:
        parts = [f"{self.input_size}, {self.hidden_size}", super().extra_repr()]
        if self.learning_rule != "bptt":
            parts.append(f"learning_rule={self.learning_rule!r}")
        return ", ".join(part for part in parts if part)


def _check_steps(who: str, learning_rule: LearningRule) -> None:
    """Refuse rules that need more than one step at a time."""
    rule = resolve(who, learning_rule)
    if not rule.serves_steps or rule.follows != "all":
        raise ConfigError(
            f"{who}: learning_rule must be 'bptt' or 'eprop' where steps are called one by one, got {learning_rule!r}; "
            f"use {who.removesuffix('Cell')} without record_states, which sees whole sequences"
        )


def _with_diagonal(mask: Tensor | None, given: Mask | None, autapses: bool) -> Tensor | None:
    """`Recurrent` takes self-connections out of a mask; with autapses they are as the mask says, or there."""
    if mask is None or not autapses:
        return mask
    asked = given.to(torch.bool) if isinstance(given, Tensor) else torch.ones_like(mask)
    eye = torch.eye(len(mask), dtype=torch.bool)
    return mask | (eye & asked)


class RecurrentCell(_Weighted, SNNRecurrentCell, Generic[S]):
    """One step of neurons with input and recurrent weights, a `norse.torch.module.snn.SNNRecurrentCell`.

    Args:
        input_size: Number of inputs.
        hidden_size: Number of neurons.
        p: Parameters, see `Cell`.
        input_weights: (hidden_size, input_size); None: drawn as in Norse. A tensor becomes a parameter.
        recurrent_weights: (hidden_size, hidden_size), row: to, column: from; None: drawn as in Norse.
        autapses: Allow self-connections.
        learning_rule: How the weights learn, as of `snn_neuromod.Recurrent`.
        mask_in: Which input synapses are there, (hidden_size, input_size), as of `snn_neuromod.Recurrent`.
        mask_rec: Which recurrent synapses are there, (hidden_size, hidden_size).
        delay: Delay of the recurrent spikes in steps, as of `snn_neuromod.Recurrent`.
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
        p: object = None,
        *,
        input_weights: Tensor | None = None,
        recurrent_weights: Tensor | None = None,
        autapses: bool = False,
        learning_rule: LearningRule = "bptt",
        mask_in: Mask | None = None,
        mask_rec: Mask | None = None,
        delay: Delay | Callable[[int], Tensor] = 1,
        learn: Collection[str] = (),
        dt: float | None = None,
        **options: Unpack[Options],
    ) -> None:
        _check_steps(type(self).__name__, learning_rule)
        made = self._make_recurrent(
            input_size, hidden_size, p, input_weights, recurrent_weights, learn, dt, options
        )
        super().__init__(activation=recurrent_step, state_fallback=self.initial_state, **made)
        sizes = (input_size, hidden_size)
        self._finish(sizes, autapses, learning_rule, mask_in, mask_rec, delay)

    def initial_state(self, input_tensor: Tensor) -> Any:
        """State at rest for inputs like `input_tensor`, (batch, ..., input_size)."""
        return self._rest(to_dense(input_tensor))

    def forward(self, input_tensor: Tensor, state: S | None = None) -> tuple[Tensor, S]:
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
        spikes, state = self._step(dense, state, self._acting())
        return like(spikes, input_tensor), state

    if TYPE_CHECKING:
        __call__ = forward


class RecurrentModule(_Weighted, SNNRecurrent, Generic[S]):
    """Recurrent neurons over whole sequences, time first, a `norse.torch.module.snn.SNNRecurrent`.

    Args:
        input_size: Number of inputs.
        hidden_size: Number of neurons.
        p: Parameters, see `Cell`.
        input_weights: (hidden_size, input_size); None: drawn as in Norse. A tensor becomes a parameter.
        recurrent_weights: (hidden_size, hidden_size), row: to, column: from; None: drawn as in Norse.
        autapses: Allow self-connections.
        learning_rule: How the weights learn, as of `snn_neuromod.Recurrent`.
        mask_in: Which input synapses are there, (hidden_size, input_size), as of `snn_neuromod.Recurrent`.
        mask_rec: Which recurrent synapses are there, (hidden_size, hidden_size).
        delay: Delay of the recurrent spikes in steps, as of `snn_neuromod.Recurrent`.
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
        p: object = None,
        *,
        input_weights: Tensor | None = None,
        recurrent_weights: Tensor | None = None,
        autapses: bool = False,
        learning_rule: LearningRule = "bptt",
        mask_in: Mask | None = None,
        mask_rec: Mask | None = None,
        delay: Delay | Callable[[int], Tensor] = 1,
        learn: Collection[str] = (),
        dt: float | None = None,
        record_states: bool = False,
        **options: Unpack[Options],
    ) -> None:
        if record_states:
            _check_steps(type(self).__name__, learning_rule)
        made = self._make_recurrent(
            input_size, hidden_size, p, input_weights, recurrent_weights, learn, dt, options
        )
        super().__init__(
            activation=recurrent_step,
            state_fallback=self.initial_state,
            record_states=record_states,
            **made,
        )
        sizes = (input_size, hidden_size)
        self._finish(sizes, autapses, learning_rule, mask_in, mask_rec, delay)

    def initial_state(self, input_tensor: Tensor) -> Any:
        """State at rest for inputs like `input_tensor`, (T, batch, ..., input_size)."""
        return self._rest(first(type(self).__name__, input_tensor))

    def forward(self, input_tensor: Tensor, state: S | None = None) -> tuple[Tensor, S]:
        """Run over a sequence.

        Args:
            input_tensor: Input spikes, (T, batch, ..., input_size), T >= 1.
            state: State after an earlier sequence; None: at rest.

        Returns:
            spikes: (T, batch, ..., hidden_size), sparse where the input is.
            state: State after the last step, or of all steps with `record_states`.
        """
        dense, acting = to_dense(input_tensor), self._acting()
        state = self.state_fallback(dense) if state is None else state
        if not self.record_states:
            rule = in_force(resolve(type(self).__name__, self.learning_rule))
            current, below = rule.weigh(dense, acting[0], functional.linear)
            before = past(state)
            spikes, after = self.p.forward_recurrent(
                current,
                of_layer(self.p, state),
                acting[1],
                before,
                rule=rule,
                below=below,
                delays=self.delays.groups,
            )
            after = recurrent(self.p, spikes[-1], after, later(before, spikes))
            return like(spikes, input_tensor), after
        emitted, states = [], []
        for x in dense.unbind(0):
            spikes, state = self._step(x, state, acting)
            emitted.append(spikes)
            states.append(state)
        return like(torch.stack(emitted), input_tensor), stack(states)

    if TYPE_CHECKING:
        __call__ = forward
