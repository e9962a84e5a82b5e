"""What is handed to a backend: one call of a layer, built once and checked once.

Nothing that can be passed to a layer, loaded into one or given to an operator reaches compiled code unchecked: sizes,
types, devices and delays are compared here, and what does not fit is an exception that names it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import islice
from typing import Any, NamedTuple

import torch
from torch import Tensor

from snn_neuromod.errors import ConfigError, KindError
from snn_neuromod.kernels.neurons import Neuron, decode
from snn_neuromod.kernels.synapses import Synapses

__all__ = ["Adjoint", "Call", "Outline", "Paths", "call_of", "paths", "summed"]


class Paths(NamedTuple):
    """Which paths the adjoint of a sequence keeps; `learning.rules` says which rule keeps which.

    Attributes:
        hops: How often a gradient passes through recurrent weights; None: without limit.
        states: Places in the neuron's `State` of those whose past it follows; None: all.
    """

    hops: int | None = None
    states: tuple[int, ...] | None = None

    def encode(self) -> str:
        """As one string, which operators can take: hops, then a colon and the states if they are not all."""
        hops = "inf" if self.hops is None else str(self.hops)
        return hops if self.states is None else f"{hops}:{','.join(map(str, self.states))}"


@cache
def paths(encoded: str) -> Paths:
    """The paths that `Paths.encode` wrote.

    Raises:
        ValueError: If it did not.
    """
    hops, colon, states = encoded.partition(":")
    numbers = [x for x in states.split(",") if x]
    if (hops != "inf" and not hops.isdecimal()) or not all(x.isdecimal() for x in numbers):
        raise ConfigError(
            f"sequence: rule must be a number of hops or inf, and perhaps states as in '0:0,1', got {encoded!r}"
        )
    return Paths(None if hops == "inf" else int(hops), tuple(map(int, numbers)) if colon else None)


class Call(NamedTuple):
    """A sequence of a population of neurons.

    Attributes:
        neuron: The neuron with its options.
        current: Input, (T, batch, ..., neuron), T >= 1.
        params: Parameters in the order of the neuron's `Params`; each broadcastable to (batch, ..., neuron), or with
            a leading axis of T or 1 steps and as many axes as `current`.
        state: State before the first step, in the order of its `State`, each (batch, ..., neuron).
        recurrent: Spikes before the first step, (longest delay, batch, ..., neuron), oldest first, and the recurrent
            weights of each delay, (neuron to, sources); or nothing.
        delays: The distinct delays in steps.
        sources: The neurons that send with each delay, or nothing: all.
        paths: Which paths the adjoint keeps.
        needed: Which parameters need a gradient.
        keep: Whether there will be a backward pass.
        plain: Whether no graph is traced, so that what is kept may depend on values of parameters.
    """

    neuron: Neuron
    current: Tensor
    params: Sequence[Tensor]
    state: Sequence[Tensor]
    recurrent: Sequence[Tensor] = ()
    delays: Sequence[int] = (1,)
    sources: Sequence[Tensor] = ()
    paths: Paths = Paths()
    needed: Sequence[bool] = ()
    keep: bool = False
    plain: bool = False

    @property
    def synapses(self) -> list[Synapses]:
        """The recurrent weights by delay."""
        by_delay: Sequence[Tensor | None] = self.sources or [None] * len(self.delays)
        return [
            Synapses(*group)
            for group in zip(self.recurrent[1:], self.delays, by_delay, strict=True)
        ]

    @property
    def tensors(self) -> list[Tensor]:
        """All of them: current, params, state, recurrent, sources."""
        return [self.current, *self.params, *self.state, *self.recurrent, *self.sources]

    @property
    def dtype(self) -> torch.dtype:
        """Type that is calculated in: float32 for half precision beside states of float32, else the input's."""
        given, state = self.current.dtype, self.state
        half = given in (torch.float16, torch.bfloat16)
        return torch.float32 if half and state and state[0].dtype == torch.float32 else given

    @property
    def wide(self) -> Call:
        """The same in the type that is calculated in; where the input is of another one it has no values."""
        if self.dtype == self.current.dtype:
            return self
        empty = self.current.new_empty((), dtype=self.dtype)
        return self._replace(current=empty.expand(self.current.shape))

    def brought(self, *, narrow: bool) -> Call:
        """The same for a backend that takes an input of half precision, or else in the type that is calculated in."""
        same = narrow or self.dtype == self.current.dtype
        return self if same else self._replace(current=self.current.to(self.dtype))

    @property
    def per_step(self) -> tuple[bool, ...]:
        """Which parameters change from step to step."""
        ndim = self.current.ndim
        return tuple(p.ndim == ndim and p.shape[0] > 1 for p in self.params)

    @property
    def trimmed(self) -> list[Tensor]:
        """Parameters, with an axis of steps only where they change."""
        ndim = self.current.ndim
        return [p[0] if p.ndim == ndim and p.shape[0] == 1 else p for p in self.params]

    def whole_input(self, spikes: Tensor) -> Tensor:
        """Input of all steps with what comes through recurrent weights; all spikes are known."""
        if not self.recurrent:
            return self.current
        past, total = self.recurrent[0], torch.zeros_like(spikes)
        sent = torch.cat([past, spikes])
        for group in self.synapses:
            total += group.select(sent[len(past) - group.delay :][: len(spikes)]) @ group.weights.T
        return self.current + total

    def check(self) -> None:
        """Compare everything with the input.

        Raises:
            ValueError: If a size, a number of things or a delay does not fit.
            TypeError: If a type or a device does not fit.
        """
        current, neuron, who = self.current, self.neuron, self.neuron.name
        if current.ndim < 2 or not current.is_floating_point() or current.shape[0] == 0:
            raise ConfigError(
                f"{who}: current must be floating point, (T, batch, ..., neuron) with at least one step, "
                f"got {current.dtype} of shape {tuple(current.shape)}"
            )
        shape, ndim, count = current.shape[1:], current.ndim, len(self.params)
        fields, names = neuron.module.Params._fields, neuron.module.State._fields
        if not count == len(self.needed) == len(fields):
            raise ConfigError(
                f"{who}: params must be {', '.join(fields)} with one flag each of what is needed, "
                f"got {count} and {len(self.needed)} flags"
            )
        for name, p in zip(fields, self.params, strict=True):
            fit(who, name, p, current, p.shape)
            if p.ndim and not _broadcasts(p.shape, current.shape if p.ndim == ndim else shape):
                raise ConfigError(
                    f"{who}: parameter {name} must be a number or broadcast to {tuple(shape)} of the input's steps, "
                    f"got shape {tuple(p.shape)}"
                )
        if len(self.state) != len(names):
            raise ConfigError(
                f"{who}: state must hold {', '.join(names)}, got {len(self.state)} tensors"
            )
        for name, s in zip(names, self.state, strict=True):
            fit(who, f"state {name}", s, current, shape)
        real = not torch.compiler.is_compiling()  # a compiler knows such views, and cannot be asked
        if real and any(x.is_neg() for x in self.tensors):  # its sign is not in its memory
            raise KindError(
                f"{who}: tensors must not be negated views, got one, such as the imaginary part of a conjugate; "
                "call its .resolve_neg()"
            )
        if self.paths.states is not None and not set(self.paths.states) <= set(range(len(names))):
            raise ConfigError(
                f"{who}: rule must follow states 0 ... {len(names) - 1}, got {self.paths.states}"
            )
        if self.recurrent or self.sources:
            self._check_synapses(shape)
            self.check_senders()

    def _check_synapses(self, shape: torch.Size) -> None:
        """Spikes before the first step, weights, delays and senders."""
        who, current, delays = self.neuron.name, self.current, list(self.delays)
        if len(self.recurrent) != 1 + len(delays) or not delays:
            raise ConfigError(
                f"{who}: recurrent must hold the spikes before the first step and one matrix for each of the delays "
                f"{delays}, got {len(self.recurrent)} tensors"
            )
        past, *weights = self.recurrent
        longest = past.shape[0] if past.ndim else 1
        fit(who, "spikes before the first step", past, current, (longest, *shape))
        if not 1 <= min(delays) <= max(delays) <= longest:
            raise ConfigError(
                f"{who}: delays must lie in 1 ... {longest}, the steps of spikes before the first, got {delays}"
            )
        if self.sources and len(self.sources) != len(weights):
            raise ConfigError(
                f"{who}: sources must be given for each of {len(weights)} delays or not at all, "
                f"got {len(self.sources)}"
            )
        for source in self.sources:
            if source.dtype != torch.int64 or source.ndim != 1 or source.device != current.device:
                raise KindError(
                    f"{who}: sources must be one row of int64 on {current.device}, "
                    f"got {source.dtype} of shape {tuple(source.shape)} on {source.device}"
                )
        senders = [len(source) for source in self.sources] or [shape[-1]] * len(weights)
        for w, count in zip(weights, senders, strict=True):
            fit(who, "recurrent weights (neuron to, neuron from)", w, current, (shape[-1], count))

    def check_senders(self) -> None:
        """Look at the numbers of the senders, which no shape tells; elsewhere than on a CPU the device looks itself.

        Raises:
            ValueError: If there is no neuron of such a number.
        """
        num = self.current.shape[-1]
        for source in self.sources:
            if source.device.type == "cpu" and source.numel() and not is_fake(source):
                low, high = (int(x) for x in source.aminmax())
                if low < 0 or high >= num:
                    raise ConfigError(
                        f"{self.neuron.name}: sources must lie in 0 ... {num - 1}, got {low} to {high}"
                    )


class Adjoint(NamedTuple):
    """What the backward pass of a call is given.

    Attributes:
        grad_spikes: Gradient of the spikes, (T, batch, ..., neuron).
        grad_state: Gradient of the last state, None where it is zero.
        spikes: What the forward pass returned.
        tracks: What it kept.
    """

    grad_spikes: Tensor
    grad_state: Sequence[Tensor | None]
    spikes: Tensor
    tracks: Sequence[Tensor]


class Outline(NamedTuple):
    """What there is to know of a call besides its tensors, which autograd keeps.

    Attributes:
        bare: The call without them.
        counts: How many parameters, states, recurrent tensors and senders it has.
    """

    bare: Call
    counts: tuple[int, int, int, int]

    @staticmethod
    def of(call: Call) -> Outline:
        """That of a call."""
        counts = (len(call.params), len(call.state), len(call.recurrent), len(call.sources))
        none = call.current.new_empty(0)
        bare = call._replace(current=none, params=(), state=(), recurrent=(), sources=())
        return Outline(bare, counts)

    def filled(self, tensors: Sequence[Tensor]) -> tuple[Call, list[Tensor]]:
        """The call with its `Call.tensors`, and what else is among these."""
        rest = iter(tensors)
        current, parts = next(rest), [[*islice(rest, count)] for count in self.counts]
        params, state, recurrent, sources = parts
        call = self.bare._replace(
            current=current, params=params, state=state, recurrent=recurrent, sources=sources
        )
        return call, [*rest]


def summed(grad: Tensor, param: Tensor) -> Tensor:
    """Gradient of a parameter, from those of all neurons, samples and steps that share it."""
    return (grad if grad.ndim >= param.ndim else grad[None]).sum_to_size(param.shape)


def is_fake(tensor: Tensor) -> bool:
    """Whether a tensor has no values, as while a graph is traced."""
    return type(tensor) not in (Tensor, torch.nn.Parameter)


def fit(who: str, what: str, tensor: Tensor, like: Tensor, shape: Sequence[int]) -> None:
    """Hold a tensor to the type and device of another, and to a shape.

    Raises:
        ValueError: If it has another shape.
        TypeError: If it is of another type or on another device.
    """
    if tensor.device != like.device:
        raise KindError(
            f"{who}: {what} must be on the device of the input, {like.device}, got {tensor.device}; move the layer or "
            f"the state with .to({str(like.device)!r})"
        )
    if tensor.dtype != like.dtype:
        raise KindError(
            f"{who}: {what} must have the dtype of the input, {like.dtype}, got {tensor.dtype}"
        )
    if tuple(tensor.shape) != tuple(shape):
        raise ConfigError(
            f"{who}: {what} must have shape {tuple(shape)} to fit the input, got {tuple(tensor.shape)}"
        )


def _broadcasts(shape: Sequence[int], target: Sequence[int]) -> bool:
    if len(shape) > len(target):
        return False
    pairs = zip(reversed(shape), reversed(target), strict=False)
    return all(size in (1, wanted) for size, wanted in pairs)


def call_of(neuron: str, *given: Any) -> Call:
    """The call from what operators take, `registered.sequence` says what and in which order, checked.

    Raises:
        ValueError: If something does not fit.
        TypeError: If a type or a device does not fit.
    """
    *parts, rule, keep, needed = given
    call = Call(decode(neuron), *parts)._replace(paths=paths(rule), keep=keep, needed=needed)
    call.wide.check()
    return call
