"""Cells and modules in Norse's form around the layers of `snn_neuromod.layers`; no equation stands here."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any, ClassVar, Generic

import torch
from norse.torch.module.snn import SNN, SNNCell
from torch import Tensor
from typing_extensions import Unpack

from snn_neuromod.errors import ConfigError, KindError
from snn_neuromod.layers.base import S
from snn_neuromod.norse.functional import DT, first, leaf, like, stack, step, to_dense
from snn_neuromod.norse.recipes import Options, Recipe
from snn_neuromod.norse.states import alone


class Timed:
    """The time step in seconds, which the layer keeps in ms."""

    recipe: ClassVar[Recipe]
    p: Any

    @property
    def dt(self) -> float:
        return float(self.p.dt / self.p.tau_inv) if self.recipe.timed else 1.0

    @dt.setter
    def dt(self, dt: float) -> None:
        if self.recipe.timed:
            if not dt > 0:
                raise ConfigError(f"{type(self).__name__}: dt must be > 0 (s), got {dt}")
            self.p.dt = self.p.tau_inv * dt
        elif dt != 1.0:
            raise KindError(
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


class Cell(Timed, SNNCell, Generic[S]):
    """One step of neurons without recurrence, a `norse.torch.module.snn.SNNCell`.

    Args:
        p: Parameters, see the neuron, or Norse's, see `from_norse`; None: the defaults. A `Parameter` in it is the
            module's own too, in its unit; any other tensor that requires a gradient is read as it is.
        num_neurons: Number of neurons; None: as many as a parameter per neuron has, else for inputs of any shape.
        learn: Names of parameters in `p` that are learned.
        dt: Time step in seconds, > 0; None: 0.001. Neurons whose unit of time is the step take none.
        **options: Options of the neuron's layer in `snn_neuromod.layers`.

    Attributes:
        p: The layer that holds the parameters by their names in `p`, visible in `.parameters()`, `.to()` and
            `state_dict`.

    Raises:
        TypeError: If `p` is of another neuron or library, or an option is unknown.
        ValueError: If a parameter is outside its range.
    """

    def __init__(
        self,
        p: object = None,
        *,
        num_neurons: int | None = None,
        learn: Collection[str] = (),
        dt: float | None = None,
        **options: Unpack[Options],
    ) -> None:
        made = self._make(p, num_neurons, learn, dt, options)
        super().__init__(activation=step, state_fallback=self.initial_state, **made)

    def initial_state(self, input_tensor: Tensor) -> Any:
        """State at rest for inputs like `input_tensor`, (batch, ..., neuron); a leaf of the graph, as in Norse."""
        return leaf(alone(self.p, self.p.initial_state(to_dense(input_tensor))))

    def forward(self, input_tensor: Tensor, state: S | None = None) -> tuple[Tensor, S]:
        """Advance by one time step.

        Args:
            input_tensor: Input current, (batch, ..., neuron); Boolean and sparse tensors are taken as well.
            state: State after the step before; None: at rest.

        Returns:
            spikes: (batch, ..., neuron), sparse where the input is.
            state: State after this step, a NamedTuple.
        """
        return self._advance(input_tensor, state)

    if TYPE_CHECKING:
        __call__ = forward

    def _advance(self, input_tensor: Tensor, state: Any, **inputs: Any) -> tuple[Tensor, Any]:
        dense = to_dense(input_tensor)
        state = self.state_fallback(dense) if state is None else state
        spikes, state = self.activation(dense, state, self.p, self.dt, **inputs)
        return like(spikes, input_tensor), state


class Module(Timed, SNN, Generic[S]):
    """Neurons over whole sequences, time first, a `norse.torch.module.snn.SNN`; runs the fast sequence layers.

    Args:
        p: Parameters, see `Cell`.
        num_neurons: Number of neurons, see `Cell`.
        learn: Names of parameters in `p` that are learned.
        dt: Time step in seconds, see `Cell`.
        record_states: Return the states of all steps, (T, batch, ..., neuron), in the place of the last.
        **options: Options of the neuron's layer in `snn_neuromod.layers`.

    Attributes:
        p: The layer that holds the parameters by their names in `p`.

    Raises:
        TypeError: If `p` is of another neuron or library, or an option is unknown.
        ValueError: If a parameter is outside its range.
    """

    def __init__(
        self,
        p: object = None,
        *,
        num_neurons: int | None = None,
        learn: Collection[str] = (),
        dt: float | None = None,
        record_states: bool = False,
        **options: Unpack[Options],
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
        return leaf(alone(self.p, self.p.initial_state(first(type(self).__name__, input_tensor))))

    def forward(self, input_tensor: Tensor, state: S | None = None) -> tuple[Tensor, S]:
        """Run over a sequence.

        Args:
            input_tensor: Input current, (T, batch, ..., neuron), T >= 1.
            state: State after an earlier sequence; None: at rest.

        Returns:
            spikes: (T, batch, ..., neuron), sparse where the input is.
            state: State after the last step, or of all steps with `record_states`.
        """
        return self._run(input_tensor, state)

    if TYPE_CHECKING:
        __call__ = forward

    def _run(self, input_tensor: Tensor, state: Any, **inputs: Any) -> tuple[Tensor, Any]:
        dense = to_dense(input_tensor)
        state = self.state_fallback(dense) if state is None else state
        if not self.record_states:
            spikes, state = self.p(dense, state, **inputs)
            return like(spikes, input_tensor), alone(self.p, state)
        emitted, states = [], []
        per_step = {name: value.expand(dense.shape).unbind(0) for name, value in inputs.items()}
        for t, current in enumerate(dense.unbind(0)):  # not dense[t]: its backward is O(T^2)
            here = {name: values[t] for name, values in per_step.items()}
            spikes, state = self.activation(current, state, self.p, self.dt, **here)
            emitted.append(spikes)
            states.append(state)
        return like(torch.stack(emitted), input_tensor), stack(states)


class ModulatedCell(Cell[S]):
    """A cell whose modulation may be given at each step."""

    def forward(
        self, input_tensor: Tensor, state: S | None = None, *, modulation: Tensor | None = None
    ) -> tuple[Tensor, S]:
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

    if TYPE_CHECKING:
        __call__ = forward


class ModulatedModule(Module[S]):
    """A module whose modulation may be given step by step."""

    def forward(
        self, input_tensor: Tensor, state: S | None = None, *, modulation: Tensor | None = None
    ) -> tuple[Tensor, S]:
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

    if TYPE_CHECKING:
        __call__ = forward
