"""One loop over the step for many neurons at once: a grid of currents and parameters is one batch."""

from __future__ import annotations

import sys
import warnings
from collections import namedtuple
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from snn_neuromod.analysis.source import Neuron, Source, neuron
from snn_neuromod.errors import ConfigError

Array = NDArray[np.float64]
M = TypeVar("M")
CHUNK = 16384
"""Neurons that are stepped together: their state then stays in the processor's cache."""
_BLOCK = 50
"""Steps whose spikes are counted together."""


def prepared(source: Source, parameters: Mapping[str, Any], synapse: float | None = None) -> Neuron:
    """The neuron with other parameters, behind a synapse if one is asked for."""
    found = neuron(source, **parameters)
    return found if synapse is None else with_synapse(found, synapse)


def with_synapse(found: Neuron, alpha: float) -> Neuron:
    r"""The neuron behind an exponential synapse $i_t = \alpha\, i_{t-1} + I_t$, not normalised.

    A neuron of the SRC family has that synapse, and its own `alpha` is set; any other reads i in the place of I. A
    constant current I drives a neuron with $I / (1 - \alpha)$ in the long run.

    Args:
        found: The neuron.
        alpha: Decay of the synapse per step, in [0, 1).

    Returns:
        The neuron; of one outside the SRC family the state has the synapse as its last field, `synapse`.

    Raises:
        ValueError: If `alpha` is outside [0, 1).

    Examples:
        >>> from snn_neuromod.dynamics import alif
        >>> with_synapse(neuron(alif), 0.5).initial_state(torch.zeros(1))._fields
        ('v', 'a', 'z', 'held', 'synapse')
    """
    if not 0 <= alpha < 1:
        raise ConfigError(f"with_synapse: alpha must lie in [0, 1), got {alpha}")
    inner = type(found.initial_state(torch.zeros(1, 1, dtype=torch.float64)))
    if "i" in inner._fields and "alpha" in found.params._fields:
        return neuron(found, alpha=alpha)
    make: Any = namedtuple  # its fields are known only now
    kind = make("State", [*inner._fields, "synapse"])

    def initial_state(current: Tensor) -> Any:
        return kind(*found.initial_state(current), torch.zeros_like(current))

    def step(params: Any, state: Any, current: Tensor) -> tuple[Tensor, Any]:
        i = alpha * state.synapse + current
        spikes, after = found.step(params, inner(*state[:-1]), i)
        return spikes, kind(*after, i)

    return found._replace(initial_state=initial_state, step=step)


class Run(NamedTuple):
    """What `run` counted, each of the shape of the batch.

    Attributes:
        spikes: Spikes after the discarded steps; NaN where the state left the finite numbers.
        rate: Spikes per step after them: one over the mean interval where firing fills them, spikes over steps where it
            begins or ends in them (silence at an end is longer than 1.5 intervals); NaN likewise.
        first: Step of the first spike, counted from 0; the number of steps where there was none.
        state: State after the last step.
        raster: Spikes of the steps after the discarded ones, (steps, ...), if recorded.
    """

    spikes: Tensor
    rate: Tensor
    first: Tensor
    state: Any
    raster: Tensor | None


def run(
    found: Neuron,
    state: Any,
    current: Tensor,
    num_steps: int,
    *,
    discard: int = 0,
    record: bool = False,
    until_first: bool = False,
    tick: Callable[[int], None] = lambda steps: None,
) -> Run:
    """Drive neurons with a constant current.

    Args:
        found: The neurons; array parameters broadcast against `current`.
        state: State before the first step, each of the shape of `current`.
        current: Constant current, any shape.
        num_steps: Steps whose spikes are counted.
        discard: Steps before them.
        record: Keep the raster.
        until_first: Stop once every neuron has spiked.
        tick: Called with the number of steps made since the last call.

    Returns:
        The counts.
    """
    total, threshold = discard + num_steps, found.threshold
    counts = _Counts.none(current, total)
    raster = torch.empty((num_steps, *current.shape), dtype=torch.bool) if record else None
    block = torch.empty((min(total, _BLOCK), *current.shape), dtype=torch.bool)
    above = None if threshold is None else getattr(state, found.membrane) > threshold
    for start in range(0, total, _BLOCK):
        fired = block[: total - start]
        for row in fired.unbind(0):
            output, state = found.step(found.params, state, current)
            if above is None:
                torch.gt(output, 0, out=row)
            else:
                before, above = above, getattr(state, found.membrane) > threshold
                torch.gt(above, before, out=row)
        counts = counts.after(start, fired, discard)
        if raster is not None and start + len(fired) > discard:
            kept = fired[max(discard - start, 0) :]
            end = start + len(fired) - discard
            raster[end - len(kept) : end] = kept
        tick(len(fired))
        if until_first and bool((counts.first < total).all()):
            break
    finite = torch.isfinite(getattr(state, found.membrane))
    counted = torch.where(finite, counts.spikes.double(), torch.nan)
    rate = _rate(counted, counts.earliest - discard, counts.latest - discard, num_steps)
    return Run(counted, rate, counts.first, state, raster)


class _Counts(NamedTuple):
    """Spikes so far: how many behind the discarded steps, the first and the last of those, and the first of all."""

    spikes: Tensor
    earliest: Tensor
    latest: Tensor
    first: Tensor

    @classmethod
    def none(cls, current: Tensor, total: int) -> _Counts:
        zero = torch.zeros(current.shape, dtype=torch.int32)
        return cls(zero, zero + total, zero, zero + total)

    def after(self, start: int, fired: Tensor, discard: int) -> _Counts:
        """With the spikes of the steps from `start` on, (steps, ...): together they cost less than each alone."""
        first = torch.minimum(self.first, _first(fired, start))
        late = fired[max(discard - start, 0) :]
        if not len(late):
            return self._replace(first=first)
        end = start + len(fired)
        last = end - 1 - _first(late.flip(0), 0)
        return _Counts(
            self.spikes + late.sum(0, dtype=torch.int32),
            torch.minimum(self.earliest, _first(late, end - len(late))),
            torch.where(late.any(0), last, self.latest),
            first,
        )


def _first(fired: Tensor, start: int) -> Tensor:
    """Step of the first spike of each neuron, counted from `start`; a later one than all where there is none."""
    step = fired.byte().argmax(0).int() + start
    return torch.where(fired.any(0), step, torch.iinfo(torch.int32).max)


def _rate(spikes: Tensor, earliest: Tensor, latest: Tensor, num_steps: int) -> Tensor:
    """Spikes per step, free of the grain 1 / num_steps where firing goes on throughout."""
    span = (latest - earliest).clamp(min=1)
    between = (spikes - 1) / span
    silent = torch.maximum(earliest, num_steps - 1 - latest)
    throughout = (spikes > 1) & (silent * between <= 1.5)
    return torch.where(throughout, between, spikes / num_steps)


class Batch(NamedTuple):
    """Neurons side by side, flattened.

    Attributes:
        neuron: The neurons, array parameters of shape (n,).
        current: Current of each, (n,).
        state: Rest, each (n,).
        shape: Shape of the grid that was flattened.
    """

    neuron: Neuron
    current: Tensor
    state: Any
    shape: tuple[int, ...]

    def run(self, num_steps: int, **options: Any) -> Run:
        """Drive the neurons; options as of `run`."""
        return run(self.neuron, self.state, self.current, num_steps, **options)

    def parts(self, size: int = CHUNK) -> Iterator[tuple[slice, Batch]]:
        """The batch in pieces of `size` neurons at most, with the place of each."""
        n = len(self.current)
        for start in range(0, n, size):
            where = slice(start, min(start + size, n))
            params = _map(self.neuron.params, _taken(where))
            state = type(self.state)(*(s[where] for s in self.state))
            piece = Batch(
                self.neuron._replace(params=params), self.current[where], state, self.shape
            )
            yield where, piece


def batch(found: Neuron, currents: Array) -> Batch:
    """Neurons with their currents, both broadcast against one another and flattened.

    Args:
        found: The neurons.
        currents: Currents, any shape that broadcasts against the array parameters.

    Returns:
        The batch.

    Raises:
        ValueError: If the shapes do not fit.
    """
    shape = broadcast(found, currents.shape)
    current = torch.tensor(currents, dtype=torch.float64).broadcast_to(shape).contiguous()
    rest = found.initial_state(current)
    state = type(rest)(*(s.broadcast_to(shape).flatten() for s in rest))
    params = _map(found.params, lambda p: p.broadcast_to(shape).flatten())
    return Batch(found._replace(params=params), current.flatten(), state, shape)


def broadcast(found: Neuron, *shapes: tuple[int, ...]) -> tuple[int, ...]:
    """Common shape of the array parameters and `shapes`."""
    arrays = {
        name: tuple(value.shape)
        for name, value in zip(found.params._fields, found.params, strict=True)
        if isinstance(value, Tensor) and value.ndim
    }
    try:
        return tuple(np.broadcast_shapes(*arrays.values(), *shapes))
    except ValueError as error:
        listed = ", ".join(f"{name} {shape}" for name, shape in arrays.items())
        raise ConfigError(
            f"analysis: parameters must broadcast against the currents' shape {shapes}, got {listed}; "
            "give them axes of length 1, such as values[:, None]"
        ) from error


def swept(
    who: str,
    label: str,
    pieces: Sequence[tuple[slice, Batch]],
    steps: int,
    measure: Callable[[Batch, Callable[[int], None]], M],
    *,
    progress: bool,
) -> Iterator[tuple[slice, M]]:
    """The place and the measure of each piece of a batch, one after the other; Ctrl-C ends it with a warning.

    Args:
        who: Function on whose behalf.
        label: What is computed.
        pieces: See `Batch.parts`.
        steps: Number of steps that a piece takes.
        measure: Called with a piece, and with what counts the steps made, the `tick` of `run`.
        progress: Whether to show how far it is.
    """
    with torch.inference_mode(), Progress(steps * len(pieces), label, progress) as tick:
        for done, (where, piece) in enumerate(pieces):
            try:
                found = measure(piece, tick)
            except KeyboardInterrupt:
                interrupted(who, done, len(pieces), stacklevel=4)
                return
            yield where, found


def _taken(where: slice) -> Callable[[Tensor], Tensor]:
    return lambda p: p[where]


def _map(params: Any, change: Callable[[Tensor], Tensor]) -> Any:
    return type(params)(*(change(p) if isinstance(p, Tensor) and p.ndim else p for p in params))


def grid(who: str, name: str, values: ArrayLike, *, increasing: bool = False) -> Array:
    """Checked values of one axis, or of any shape.

    Args:
        who: Function whose argument it is.
        name: Name of the argument.
        values: Its value.
        increasing: Whether it must be one axis of increasing values.

    Returns:
        The values as float64.

    Raises:
        ValueError: If they are empty or not finite, or not increasing where they must be.
    """
    found = np.asarray(values, dtype=np.float64)
    if not found.size or not np.isfinite(found).all():
        raise ConfigError(f"{who}: {name} must be finite numbers, at least one, got {values!r}")
    if increasing and (found.ndim != 1 or not (np.diff(found) > 0).all()):
        raise ConfigError(f"{who}: {name} must be one axis of increasing values, got {values!r}")
    return found


def check_steps(who: str, num_steps: int, discard: int = 0) -> None:
    """Refuse numbers of steps that are none."""
    for name, value, low in (("num_steps", num_steps, 1), ("discard", discard, 0)):
        if int(value) != value or not value >= low:
            raise ConfigError(f"{who}: {name} must be an integer >= {low}, got {value}")


def interrupted(who: str, done: int, total: int, stacklevel: int = 3) -> None:
    """Warn that a sweep was stopped by Ctrl-C; with nothing done the interruption goes on."""
    if not done:
        raise KeyboardInterrupt
    warnings.warn(
        f"{who}: interrupted after {done} of {total} parts; what was not computed is NaN",
        stacklevel=stacklevel,
    )


class Progress:
    """A bar of tqdm, or lines on standard error where it is not installed.

    Args:
        total: Number of steps to come.
        label: What is computed.
        enabled: Whether to show anything.
    """

    def __init__(self, total: int, label: str, enabled: bool) -> None:
        self.total, self.label, self.enabled = total, label, enabled
        self._done, self._shown, self._bar = 0, 0, None
        if enabled:
            try:
                from tqdm import tqdm
            except ImportError:
                return
            self._bar = tqdm(total=total, desc=label, unit="step", unit_scale=True)

    def __enter__(self) -> Callable[[int], None]:
        return self._tick

    def __exit__(self, *error: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def _tick(self, steps: int) -> None:
        if self._bar is not None:
            self._bar.update(steps)
        elif self.enabled:
            self._done += steps
            tenth = 10 * self._done // self.total
            if tenth > self._shown:
                self._shown = tenth
                sys.stderr.write(f"{self.label}: {10 * tenth} %\n")
