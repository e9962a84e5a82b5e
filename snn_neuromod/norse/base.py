"""Cells and modules in Norse's form around the layers of `snn_neuromod.layers`; no equation stands here."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, ClassVar, NamedTuple

import torch
from norse.torch.module.snn import SNN, SNNCell, SNNRecurrent, SNNRecurrentCell
from torch import Tensor, nn
from torch.nn import functional

from snn_neuromod.layers import Layer
from snn_neuromod.norse.parameters import Recipe

DT = 0.001


class SRCRecurrentState(NamedTuple):
    """State of recurrent SRC and mSRC neurons.

    Attributes:
        z: Graded spikes.
        i: Synapse.
        h: Membrane.
        h_s: Slow variable.
    """

    z: Tensor
    i: Tensor
    h: Tensor
    h_s: Tensor


class BSRCRecurrentState(NamedTuple):
    """State of recurrent BSRC neurons.

    Attributes:
        z: Graded spikes.
        i: Synapse.
        h: Membrane.
        h_s: Slow variable.
        h_u: Ultra-slow variable.
    """

    z: Tensor
    i: Tensor
    h: Tensor
    h_s: Tensor
    h_u: Tensor


_RECURRENT_STATES: dict[str, Any] = {
    "src": SRCRecurrentState,
    "msrc": SRCRecurrentState,
    "bsrc": BSRCRecurrentState,
}


def step(
    input_tensor: Tensor, state: Any, p: Layer, dt: float, **inputs: Any
) -> tuple[Tensor, Any]:
    """One step of a neuron, in the form of Norse's functions.

    Args:
        input_tensor: Input current, (batch, ..., neuron).
        state: State of the step before.
        p: The layer that owns the parameters.
        dt: Time step in seconds; the layer's own.
        **inputs: Further inputs of this step, such as a modulation.

    Returns:
        spikes: (batch, ..., neuron).
        state: State after this step.
    """
    return p.step(input_tensor, state, **inputs)


def recurrent_step(
    input_tensor: Tensor,
    state: Any,
    input_weights: Tensor,
    recurrent_weights: Tensor,
    p: Layer,
    dt: float,
) -> tuple[Tensor, Any]:
    """One step of a recurrent neuron, in the form of Norse's functions.

    Args:
        input_tensor: Input spikes, (batch, ..., in).
        state: State of the step before, with its spikes in `z`.
        input_weights: (neuron, in).
        recurrent_weights: (neuron to, neuron from).
        p: The layer that owns the parameters.
        dt: Time step in seconds; the layer's own.

    Returns:
        spikes: (batch, ..., neuron).
        state: State after this step.
    """
    current = functional.linear(input_tensor, input_weights)
    feedback = functional.linear(state.z.to(recurrent_weights.dtype), recurrent_weights)
    spikes, after = p.step(current + feedback, _without_spikes(p, state))
    return spikes, _with_spikes(p, spikes, after)


def _without_spikes(p: Layer, state: Any) -> Any:
    state_class = p.dynamics.State
    return state if "z" in state_class._fields else state_class(*state[1:])


def _with_spikes(p: Layer, spikes: Tensor, state: Any) -> Any:
    if "z" in p.dynamics.State._fields:
        return state
    return _RECURRENT_STATES[p.dynamics_name](spikes, *state)


def _dense(input_tensor: Tensor) -> Tensor:
    """Floating point and dense, which the layers need; Norse takes Boolean and sparse spikes."""
    dense = input_tensor.to_dense() if input_tensor.is_sparse else input_tensor
    return dense if dense.is_floating_point() else dense.to(torch.get_default_dtype())


def _like(spikes: Tensor, input_tensor: Tensor) -> Tensor:
    return spikes.to_sparse() if input_tensor.is_sparse else spikes


def _leaf(state: Any) -> Any:
    """Let membrane and synapse require a gradient, so that a network without parameters has a backward pass."""
    if torch.is_grad_enabled() and not torch.compiler.is_compiling():
        for name in {"v", "h", "i"} & set(state._fields):
            getattr(state, name).requires_grad_()
    return state


def _stack(states: list[Any]) -> Any:
    return type(states[0])(*(torch.stack(field) for field in zip(*states, strict=True)))


class _Timed:
    """The time step in seconds, which the layer keeps in ms."""

    recipe: ClassVar[Recipe]
    p: Any

    @property
    def dt(self) -> float:
        return self.p.dt / 1000 if self.recipe.timed else 1.0

    @dt.setter
    def dt(self, dt: float) -> None:
        if self.recipe.timed:
            if not dt > 0:
                raise ValueError(f"{type(self).__name__}: dt must be > 0 (s), got {dt}")
            self.p.dt = 1000 * dt
        elif dt != 1.0:
            raise TypeError(
                f"{type(self).__name__}: dt cannot be set: one step is its unit of time"
            )

    def extra_repr(self) -> str:
        """The time step; the parameters stand in the layer's own line."""
        return f"dt={self.dt:g}" if self.recipe.timed else ""

    def _make(
        self,
        p: Any,
        num_neurons: int | None,
        learn: Collection[str],
        dt: float | None,
        options: Any,
    ) -> dict[str, Any]:
        who = type(self).__name__
        default = DT if self.recipe.timed else 1.0
        layer = self.recipe.build(who, p, num_neurons, learn, options)
        return {"p": layer, "dt": default if dt is None else dt}


class Cell(_Timed, SNNCell):
    """One step of neurons without recurrence, a `norse.torch.module.snn.SNNCell`.

    Args:
        p: Parameters, see the neuron; None: the defaults. Tensors in it that require a gradient are copied into learned
            parameters of the module.
        num_neurons: Number of neurons, needed for one value per neuron; None for inputs of any shape.
        learn: Names of parameters in `p` that are learned.
        dt: Time step in seconds, > 0; None: 0.001. Neurons whose unit of time is the step take none.
        **options: Options of the neuron's layer in `snn_neuromod.layers`.

    Attributes:
        p: The layer that owns the parameters, visible in `.parameters()`, `.to()` and `state_dict`; times in ms.

    Raises:
        TypeError: If `p` is of another neuron or library, or an option is unknown.
        ValueError: If a parameter is outside its range.
    """

    def __init__(
        self,
        p: Any = None,
        *,
        num_neurons: int | None = None,
        learn: Collection[str] = (),
        dt: float | None = None,
        **options: Any,
    ) -> None:
        made = self._make(p, num_neurons, learn, dt, options)
        super().__init__(activation=step, state_fallback=self.initial_state, **made)

    def initial_state(self, input_tensor: Tensor) -> Any:
        """State at rest for inputs like `input_tensor`, (batch, ..., neuron); a leaf of the graph, as in Norse."""
        return _leaf(self.p.initial_state(_dense(input_tensor)))

    def forward(self, input_tensor: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """Advance by one time step.

        Args:
            input_tensor: Input current, (batch, ..., neuron); Boolean and sparse tensors are taken as well.
            state: State after the step before; None: at rest.

        Returns:
            spikes: (batch, ..., neuron), sparse where the input is.
            state: State after this step, a NamedTuple.
        """
        return self._advance(input_tensor, state)

    def _advance(self, input_tensor: Tensor, state: Any, **inputs: Any) -> tuple[Tensor, Any]:
        dense = _dense(input_tensor)
        state = self.state_fallback(dense) if state is None else state
        spikes, state = self.activation(dense, state, self.p, self.dt, **inputs)
        return _like(spikes, input_tensor), state


class Module(_Timed, SNN):
    """Neurons over whole sequences, time first, a `norse.torch.module.snn.SNN`; runs the fast sequence layers.

    Args:
        p: Parameters, see `Cell`.
        num_neurons: Number of neurons, needed for one value per neuron; None for inputs of any shape.
        learn: Names of parameters in `p` that are learned.
        dt: Time step in seconds, see `Cell`.
        record_states: Return the states of all steps, (T, batch, ..., neuron), in the place of the last.
        **options: Options of the neuron's layer in `snn_neuromod.layers`.

    Attributes:
        p: The layer that owns the parameters; times in ms.

    Raises:
        TypeError: If `p` is of another neuron or library, or an option is unknown.
        ValueError: If a parameter is outside its range.
    """

    def __init__(
        self,
        p: Any = None,
        *,
        num_neurons: int | None = None,
        learn: Collection[str] = (),
        dt: float | None = None,
        record_states: bool = False,
        **options: Any,
    ) -> None:
        made = self._make(p, num_neurons, learn, dt, options)
        super().__init__(
            activation=step,
            state_fallback=self.initial_state,
            record_states=record_states,
            **made,
        )

    def initial_state(self, input_tensor: Tensor) -> Any:
        """State at rest for inputs like `input_tensor`, (T, batch, ..., neuron); a leaf of the graph, as in Norse."""
        return _leaf(self.p.initial_state(_dense(input_tensor)[0]))

    def forward(self, input_tensor: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """Run over a sequence.

        Args:
            input_tensor: Input current, (T, batch, ..., neuron), T >= 1.
            state: State after an earlier sequence; None: at rest.

        Returns:
            spikes: (T, batch, ..., neuron), sparse where the input is.
            state: State after the last step, or of all steps with `record_states`.
        """
        return self._run(input_tensor, state)

    def _run(self, input_tensor: Tensor, state: Any, **inputs: Any) -> tuple[Tensor, Any]:
        dense = _dense(input_tensor)
        state = self.state_fallback(dense) if state is None else state
        if not self.record_states:
            spikes, state = self.p(dense, state, **inputs)
            return _like(spikes, input_tensor), state
        emitted, states = [], []
        per_step = {name: value.expand(dense.shape).unbind(0) for name, value in inputs.items()}
        for t, current in enumerate(dense.unbind(0)):  # not dense[t]: its backward is O(T^2)
            here = {name: values[t] for name, values in per_step.items()}
            spikes, state = self.activation(current, state, self.p, self.dt, **here)
            emitted.append(spikes)
            states.append(state)
        return _like(torch.stack(emitted), input_tensor), _stack(states)


class ModulatedCell(Cell):
    """A cell whose modulation may be given at each step."""

    def forward(
        self, input_tensor: Tensor, state: Any = None, *, modulation: Tensor | None = None
    ) -> tuple[Tensor, Any]:
        """Advance by one time step.

        Args:
            input_tensor: Weighted input, (batch, ..., neuron).
            state: State after the step before; None: at rest.
            modulation: Replaces the neuron's modulation at this step; broadcastable to the input.

        Returns:
            spikes: Graded, (batch, ..., neuron).
            state: State after this step.
        """
        inputs = {} if modulation is None else {"modulation": modulation}
        return self._advance(input_tensor, state, **inputs)


class ModulatedModule(Module):
    """A module whose modulation may be given step by step."""

    def forward(
        self, input_tensor: Tensor, state: Any = None, *, modulation: Tensor | None = None
    ) -> tuple[Tensor, Any]:
        """Run over a sequence.

        Args:
            input_tensor: Weighted input, (T, batch, ..., neuron), T >= 1.
            state: State after an earlier sequence; None: at rest.
            modulation: Replaces the neuron's modulation; broadcastable to the input, for instance (T, batch, 1).

        Returns:
            spikes: Graded, (T, batch, ..., neuron).
            state: State after the last step, or of all steps with `record_states`.
        """
        inputs = {} if modulation is None else {"modulation": modulation}
        return self._run(input_tensor, state, **inputs)


class _Weighted(_Timed):
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
        return _with_spikes(self.p, torch.zeros_like(state[0]), state)


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
        return self._rest(_dense(input_tensor))

    def forward(self, input_tensor: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """Advance by one time step.

        Args:
            input_tensor: Input spikes, (batch, ..., input_size); Boolean and sparse tensors are taken as well.
            state: State after the step before; None: at rest.

        Returns:
            spikes: (batch, ..., hidden_size), sparse where the input is.
            state: State after this step, a NamedTuple with the spikes in `z`.
        """
        dense = _dense(input_tensor)
        state = self.state_fallback(dense) if state is None else state
        spikes, state = self.activation(
            dense, state, self.input_weights, self._connected(), self.p, self.dt
        )
        return _like(spikes, input_tensor), state


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
        return self._rest(_dense(input_tensor)[0])

    def forward(self, input_tensor: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """Run over a sequence.

        Args:
            input_tensor: Input spikes, (T, batch, ..., input_size), T >= 1.
            state: State after an earlier sequence; None: at rest.

        Returns:
            spikes: (T, batch, ..., hidden_size), sparse where the input is.
            state: State after the last step, or of all steps with `record_states`.
        """
        dense, w_rec = _dense(input_tensor), self._connected()
        state = self.state_fallback(dense) if state is None else state
        if not self.record_states:
            current = functional.linear(dense, self.input_weights)
            spikes, after = self.p.forward_recurrent(
                current, _without_spikes(self.p, state), w_rec, state.z, through_time=True
            )
            return _like(spikes, input_tensor), _with_spikes(self.p, spikes[-1], after)
        emitted, states = [], []
        for x in dense.unbind(0):
            spikes, state = self.activation(x, state, self.input_weights, w_rec, self.p, self.dt)
            emitted.append(spikes)
            states.append(state)
        return _like(torch.stack(emitted), input_tensor), _stack(states)
