"""Base class of the neuron layers."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Generic

import torch
from torch import Tensor, nn
from typing_extensions import TypeVar

from snn_neuromod import dynamics
from snn_neuromod._setting import constant_in_graphs
from snn_neuromod.dynamics.parameter import Range
from snn_neuromod.dynamics.parameter import ranges as stated_ranges
from snn_neuromod.errors import ConfigError, KindError
from snn_neuromod.kernels import operator
from snn_neuromod.kernels.backends import Backend, checked
from snn_neuromod.kernels.call import Paths
from snn_neuromod.kernels.neurons import Neuron, describe
from snn_neuromod.kernels.synapses import Delays
from snn_neuromod.layers.delays import Delay, checked_delay
from snn_neuromod.layers.fixed import Fixed
from snn_neuromod.layers.parameters import Value, initialise, positive_integer, register
from snn_neuromod.learning.rules import BPTT, Rule

HALF = (torch.float16, torch.bfloat16)
_BPTT, _INSTANT = BPTT(), Paths(0, ())

S = TypeVar("S", bound=tuple[Any, ...], default=Any)
"""The `State` of a neuron."""
P = TypeVar("P", bound=tuple[Any, ...], default=Any)
"""The `Params` of a neuron."""


class Layer(Fixed, nn.Module, Generic[S, P]):
    """A population of neurons, each driven by a current of its own.

    Subclasses own the parameters; the equations stay in `snn_neuromod.dynamics`. What `step_options` returns is the one
    truth about the options: `step`, `forward` and every gradient follow it, also when an attribute is changed later.

    Args:
        num_neurons: Number of neurons, the last axis of the input; None for inputs of any shape.
        values: Parameters by name.
        learn: Names of the parameters that are learned.
        ranges: Ranges of this layer that differ from those that its equations state.
        delay: Delay of the spikes that a `Recurrent` around the layer feeds back, in steps, >= 1: one number or one per
            neuron.
        backend: What runs sequences: "auto", "reference", "eager" or "c", which raises where it cannot serve; None: as
            asked for by `kernels.use` or the environment, else "auto".

    Raises:
        ValueError: If a parameter or the delay is outside its range or of a wrong shape, or `learn` names an unknown
            parameter.
        AttributeError: If `num_neurons` or `delay` is changed later.
    """

    dynamics_name: ClassVar[str]
    dynamics: Any
    """The neuron's module in `snn_neuromod.dynamics`."""
    fixed: ClassVar[frozenset[str]] = frozenset({"num_neurons", "delay"})

    def __init__(
        self,
        num_neurons: int | None,
        values: Mapping[str, Value],
        learn: Collection[str],
        *,
        ranges: Mapping[str, Range] | None = None,
        delay: Delay = 1,
        backend: Backend | None = None,
    ) -> None:
        super().__init__()
        self._ranges = {**stated_ranges(self.dynamics), **(ranges or {})}
        who = type(self).__name__
        if num_neurons is not None:
            num_neurons = positive_integer(who, "num_neurons", num_neurons)
        if isinstance(learn, str):
            learn = (learn,)
        unknown = set(learn) - set(values)
        if unknown:
            raise ConfigError(
                f"{who}: learn must name parameters among {', '.join(values)}, got {', '.join(sorted(unknown))}"
            )
        self.num_neurons = num_neurons
        self.backend = backend
        self.delay = checked_delay(who, delay, num_neurons, by_synapse=False)
        for name, value in values.items():
            register(
                self,
                name,
                value,
                self._ranges.get(name, Range()),
                num_neurons=num_neurons,
                learn=name in learn,
            )
        self.learned = tuple(name for name in values if name in learn)
        self._known: Neuron | None = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "dynamics_name" in cls.__dict__:
            cls.dynamics = getattr(dynamics, cls.dynamics_name)

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, self._checked(name, value))
        if name != "_known" and "_known" in self.__dict__:
            self._known = None  # an option may have changed

    def _checked(self, name: str, value: Any) -> Any:
        """The value of an attribute that is set, by the constructor too.

        Raises:
            ValueError: If it is outside its range.
        """
        return checked(type(self).__name__, value) if name == "backend" else value

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Give all parameters the values again that the constructor was given, for instance after `to_empty`.

        What was drawn from a distribution is drawn anew.
        """
        initialise(self)

    def _know(self) -> str:
        """The neuron as operators can take it, from the options of its step; kept until an attribute is set."""
        if torch.compiler.is_compiling():
            key: str = self._traced_key()
            return key
        self._known = self._described()
        return self._known.key

    @constant_in_graphs
    def _traced_key(self) -> str:
        known = self.__dict__["_traced"] = self._described()  # a graph holds no more than the key
        return known.key

    def _described(self) -> Neuron:
        return describe(self.dynamics, self.step_options())

    def params(self, dtype: torch.dtype | None = None) -> P:
        """Parameters of the neuron's equations, each in its range.

        Args:
            dtype: Type of the result; None keeps the layer's own.

        Returns:
            The `Params` of the neuron's module in `snn_neuromod.dynamics`, as tensors.
        """
        values, dt = {}, getattr(self, "dt", 1.0)
        for name, stated in self.dynamics.PARAMETERS.items():
            value = self.value(name, dtype)
            values[stated.symbol] = torch.exp(-dt / value) if stated.decay else value
        made: P = self.dynamics.Params(**values)
        return made

    def value(self, name: str, dtype: torch.dtype | None = None) -> Tensor:
        """One parameter, in its range.

        Args:
            name: Name of the parameter, as in the constructor.
            dtype: Type of the result; None keeps the layer's own.

        Returns:
            A scalar or one value per neuron.

        Raises:
            TypeError: If it was replaced by a tensor that is not of a floating-point type.
        """
        tensor: Tensor = getattr(self, name)
        if not tensor.is_floating_point():
            raise KindError(
                f"{type(self).__name__}: {name} must be a floating-point tensor, got {tensor.dtype}"
            )
        if name in self.learned:
            tensor = self._ranges.get(name, Range()).keep(tensor)
        return tensor if dtype is None else tensor.to(dtype)

    def initial_state(self, current: Tensor) -> S:
        """State before the first step.

        Args:
            current: Input of one step, (batch, ..., neuron): its shape, device and dtype are used; states of half
                precision inputs are float32.

        Returns:
            The `State` of the neuron's module in `snn_neuromod.dynamics`.
        """
        single = current.float() if current.dtype in HALF else current
        rest: S = self.dynamics.initial_state(single)
        return rest

    def step_options(self) -> dict[str, Any]:
        """Options of the neuron's `step`."""
        return {}

    def step(self, current: Tensor, state: S | None = None) -> tuple[Tensor, S]:
        """Advance by one time step.

        Args:
            current: Input of this step, (batch, ..., neuron).
            state: State after the step before; None: at rest.

        Returns:
            spikes: (batch, ..., neuron).
            state: State after this step.

        Raises:
            ValueError: If `current` has no batch axis or another number of neurons, or `state` does not fit it.
            TypeError: If `current` is not of a floating-point type.
        """
        return self._step(current, state, {})

    def _step(
        self, current: Tensor, state: Any, overrides: Mapping[str, Tensor]
    ) -> tuple[Tensor, Any]:
        single, state = self._inputs(current, state, 1)
        params: Any = self.params(single.dtype)
        params = params._replace(**overrides)
        spikes, state = self.dynamics.step(params, state, single, **self.step_options())
        return spikes.to(current.dtype), state

    def forward(self, current: Tensor, state: S | None = None) -> tuple[Tensor, S]:
        """Run the neurons over a sequence.

        Args:
            current: Input, time first, (T, batch, ..., neuron), T >= 1.
            state: State after an earlier sequence; None: at rest.

        Returns:
            spikes: (T, batch, ..., neuron).
            state: State after the last step.

        Raises:
            ValueError: If `current` has no time axis, no steps or another number of neurons, or `state` does not fit
                it.
            TypeError: If `current` is not of a floating-point type.
        """
        return self._forward(current, state, {})

    if TYPE_CHECKING:
        __call__ = forward

    def _forward(
        self,
        current: Tensor,
        state: Any,
        overrides: Mapping[str, Tensor],
        **recurrence: Any,
    ) -> tuple[Tensor, Any]:
        current, state = self._inputs(current, state, 2)
        params: Any = self.params(torch.float32 if current.dtype in HALF else current.dtype)
        spikes, new = operator.run(
            self._known.key if self._known is not None else self._know(),
            current,
            params._replace(**overrides) if overrides else params,
            state,
            backend=self.backend,
            **recurrence,
        )
        return spikes.to(current.dtype), type(state)(*new)

    def forward_recurrent(
        self,
        current: Tensor,
        state: S,
        w_rec: Tensor,
        spikes: Tensor,
        *,
        rule: Rule = _BPTT,
        below: Tensor | None = None,
        modulation: Tensor | None = None,
        delays: Delays | None = None,
        params: Mapping[str, Tensor] | None = None,
    ) -> tuple[Tensor, S]:
        """Run the neurons over a sequence with weights among them; `layers.Recurrent` is the layer to use.

        Args:
            current: Input, time first, (T, batch, ..., neuron), T >= 1.
            state: State before the first step.
            w_rec: Recurrent weights (neuron to, neuron from).
            spikes: Spikes before the first step, (longest delay, batch, ..., neuron), oldest first; for a delay of
                one step also (batch, ..., neuron).
            rule: Which part of the gradient is followed.
            below: The same input as `current`, where what passes to the layer below is not the gradient of `current`
                but that of the same instant alone: `learning.rules.Rule.weigh` makes both. None: what `current` gets.
            modulation: Replaces the modulation of an mSRC or BSRC step by step; broadcastable to `current`.
            delays: Delays of the recurrent weights, `kernels.synapses.grouped`; None: one step.
            params: Values that replace the layer's own in the neuron's `Params`.

        Returns:
            spikes: (T, batch, ..., neuron).
            state: State after the last step.

        Raises:
            TypeError: If `modulation` is given to a neuron that has none.

        Warns:
            UserWarning: If hooks are registered on the neurons, which do not fire here.
        """
        _warn_of_hooks(self)
        for name, tensor in (("w_rec", w_rec), ("spikes before the first step", spikes)):
            if not tensor.is_floating_point():
                raise KindError(
                    f"{type(self).__name__}: {name} must be a floating-point tensor, got {tensor.dtype}"
                )
        num = current.shape[-1]
        if tuple(w_rec.shape) != (num, num):
            raise ConfigError(
                f"{type(self).__name__}: w_rec must have shape ({num}, {num}), got {tuple(w_rec.shape)}"
            )
        dtype = working_dtype(current)
        w_rec, spikes = w_rec.to(dtype), spikes.to(dtype)
        given = dict(params or {})
        if modulation is not None:
            given |= self._override(modulation, current)
        delays = delays or Delays()
        out, after = self._forward(
            current, state, given, w_rec=w_rec, spikes=spikes, delays=delays, paths=rule.paths(self.dynamics)
        )  # fmt: skip
        if below is None:
            return out, after
        own: Any = self.params(w_rec.dtype)
        held = {name: p.detach() for name, p in {**own._asdict(), **given}.items()}
        seen, _ = self._forward(
            below, state, held, w_rec=w_rec.detach(), spikes=spikes.detach(), delays=delays, paths=_INSTANT
        )  # fmt: skip
        return out + (seen - seen.detach()), after

    def _override(self, modulation: Tensor | None, current: Tensor) -> dict[str, Tensor]:
        """Parameters that a modulation in the call replaces."""
        if modulation is not None:
            raise KindError(
                f"{type(self).__name__}: modulation must be None, only MSRC and BSRC have one"
            )
        return {}

    def _inputs(self, current: Tensor, state: Any, ndim: int) -> tuple[Tensor, Any]:
        """Input and state, checked; a state of None is at rest, and one step as the equations take it."""
        who, axes = type(self).__name__, "(T, batch, " if ndim == 2 else "(batch, "
        if not isinstance(current, Tensor) or not current.is_floating_point():
            got = current.dtype if isinstance(current, Tensor) else type(current).__name__
            raise KindError(
                f"{who}: current must be a floating-point tensor, got {got}; convert spikes with .float()"
            )
        shape = current.shape
        wrong = self.num_neurons is not None and shape[-1:] != (self.num_neurons,)
        if len(shape) < ndim or wrong or (ndim == 2 and shape[0] == 0):
            last = "neuron" if self.num_neurons is None else self.num_neurons
            raise ConfigError(
                f"{who}: current must have shape {axes}{last}) with at least one step, got {tuple(shape)}"
            )
        one_step = current[0] if ndim == 2 else current
        one_step = one_step.float() if current.dtype in HALF else one_step
        given = current if ndim == 2 else one_step
        if state is None:
            return given, self.initial_state(one_step)
        return given, self._checked_state(state, one_step)

    def _checked_state(self, state: Any, current: Tensor) -> Any:
        """The state before a step with the input `current`."""
        kind, who = self.dynamics.State, type(self).__name__
        if not isinstance(state, tuple | list) or len(state) != len(kind._fields):
            got = f"{len(state)} elements" if isinstance(state, tuple | list) else type(state)
            raise ConfigError(f"{who}: state must hold {', '.join(kind._fields)}, got {got}")
        fields = getattr(state, "_fields", kind._fields)
        if set(fields) != set(kind._fields):  # another neuron's, of which there may be as many
            named = f"{', '.join(kind._fields)}, got {', '.join(fields)}"
            raise ConfigError(f"{who}: state must hold {named}, as of another neuron")
        if fields != kind._fields:
            state = [getattr(state, name) for name in kind._fields]
        for name, tensor in zip(kind._fields, state, strict=True):
            if not isinstance(tensor, Tensor):
                raise KindError(
                    f"{who}: state {name} must be a tensor, got {type(tensor).__name__}"
                )
            fits = tensor.shape == current.shape and tensor.dtype == current.dtype
            if not fits or tensor.device != current.device:
                raise ConfigError(
                    f"{who}: state {name} must have shape {tuple(current.shape)} and dtype {current.dtype} on "
                    f"{current.device} to fit the input, got {tuple(tensor.shape)} and {tensor.dtype} on "
                    f"{tensor.device}"
                )
        return kind(*state)

    def extra_repr(self) -> str:
        """Number of neurons, fixed scalar parameters, options, and the names of the learned parameters."""
        parts = [] if self.num_neurons is None else [str(self.num_neurons)]
        for name, buffer in self.named_buffers(recurse=False):
            if buffer.ndim == 0 and not buffer.is_meta:
                parts.append(f"{name}={buffer.item():.4g}")
        options = {**({"dt": self.dt} if hasattr(self, "dt") else {}), **self.step_options()}
        parts += [f"{name}={value!r}" for name, value in options.items() if name != "spike_fn"]
        for name in ("psi", "straight_through"):  # what spike_fn is made of
            if hasattr(self, name) and getattr(self, name) != _default(type(self), name):
                parts.append(f"{name}={getattr(self, name)!r}")
        if not (isinstance(self.delay, int) and self.delay == 1):
            parts.append(
                f"delay={self.delay if isinstance(self.delay, int) else self.delay.tolist()}"
            )
        if self.backend:
            parts.append(f"backend={self.backend!r}")
        if self.learned:
            parts.append(f"learn={self.learned}")
        return ", ".join(parts)


def _warn_of_hooks(layer: nn.Module) -> None:
    """Warn of hooks that a call of the module would run."""
    kinds = (
        layer._forward_hooks,
        layer._forward_pre_hooks,
        layer._backward_hooks,
        layer._backward_pre_hooks,
    )
    if any(kinds):
        warnings.warn(
            f"{type(layer).__name__}: hooks of neurons do not fire inside a recurrent layer, which runs neurons and "
            "weights as one; register them on the recurrent layer, which returns the same spikes and state",
            stacklevel=4,
        )


def _default(layer: type, name: str) -> Any:
    """Default of a constructor's argument; None where a subclass takes no such argument."""
    parameter = inspect.signature(layer).parameters.get(name)
    return None if parameter is None else parameter.default


def spike_function(who: str, psi: Any) -> Any:
    """The pseudo-derivative or spike function of a neuron with a threshold.

    Raises:
        TypeError: If it is no function.
    """
    if isinstance(psi, type) or not callable(psi):
        raise KindError(
            f"{who}: psi must be a Psi such as Psi('triangular') or a spike function, got {psi!r}"
        )
    return psi


def working_dtype(current: Tensor) -> torch.dtype:
    """Type that a layer computes in: float32 for inputs of half precision, else the input's own."""
    return torch.float32 if current.dtype in HALF else current.dtype
