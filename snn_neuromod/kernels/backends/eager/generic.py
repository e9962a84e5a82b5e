r"""Any neuron's step as it is, and its derivatives by automatic differentiation of that step alone.

A step is elementwise: neuron j of sample b reads its own state and input only. The gradient of the sum of one of its
results, for all steps, samples and neurons at once, therefore holds the derivatives of each element by its own inputs,
and one reverse pass per result gives the whole Jacobian.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from snn_neuromod.kernels.backends.eager.linearisation import (
    Coefficient,
    Edge,
    Linearisation,
    holds,
)
from snn_neuromod.kernels.backends.eager.segments import parameters, received, whole_input
from snn_neuromod.kernels.call import Call

__all__ = ["Derivatives", "forward", "linearise", "new_tracks", "reads_input"]


def reads_input(call: Call) -> bool:
    """It does."""
    return True


def new_tracks(call: Call) -> dict[str, Tensor]:
    """Empty tracks of all states, each (T + 1, batch, neuron)."""
    size = (len(call.current) + 1, *call.current.shape[1:])
    return {name: call.current.new_empty(size) for name in call.neuron.module.State._fields}


def forward(call: Call, spikes: Tensor, tracks: dict[str, Tensor]) -> list[Tensor]:
    """Run a sequence step by step; writes spikes and tracks, returns the last state."""
    module, ndim, num_steps = call.neuron.module, call.current.ndim, len(call.current)
    step, state = partial(module.step, **call.neuron.step_options()), module.State(*call.state)
    for name, track in tracks.items():
        track[0] = getattr(state, name)
    inputs: Iterable[Tensor] = call.current.unbind(0)
    if call.recurrent:
        inputs = received(call, spikes, 0, num_steps)
    for t, current in enumerate(inputs):
        at = parameters(call.params, ndim, t, t + 1)
        spikes_t, state = step(
            module.Params(*(p[0] if p.ndim == ndim else p for p in at)), state, current
        )
        spikes[t] = spikes_t
        for name, track in tracks.items():
            track[t + 1] = getattr(state, name)
    return [*state]


class Derivatives:
    """Derivatives of a sequence, segment by segment; arguments and attributes as of `printed.Derivatives`."""

    def __init__(
        self,
        call: Call,
        grad_state: Sequence[Tensor | None],
        spikes: Tensor,
        tracks: Sequence[Tensor],
    ) -> None:
        self._call, self._spikes, self._tracks = call, spikes, tracks
        self._step = partial(call.neuron.module.step, **call.neuron.step_options())
        fields = call.neuron.module.State._fields
        self.states = [f"state {name}" for name in fields]
        followed = call.paths.states
        self._followed = {
            name for k, name in enumerate(self.states) if followed is None or k in followed
        }

    def segment(self, start: int, stop: int) -> Linearisation:
        """Derivatives of the steps from `start` up to `stop`."""
        call, module = self._call, self._call.neuron.module
        needed = [
            name for name, need in zip(module.Params._fields, call.needed, strict=True) if need
        ]
        found = linearise(
            self._step,
            module.Params(*parameters(call.params, self._spikes.ndim, start, stop)),
            module.State(*(track[start:stop] for track in self._tracks)),
            whole_input(call, self._spikes, start, stop),
            needed,
        )
        lagged = {(y, x): c for (y, x), c in found.lagged.items() if x in self._followed}
        return found._replace(lagged=lagged)


def linearise(
    step: Callable[..., tuple[Tensor, Any]],
    params: Any,
    before: Any,
    current: Tensor,
    needed: Sequence[str],
) -> Linearisation:
    """Derivatives of a step at every step of a segment.

    Args:
        step: `step(params, state, current) -> (spikes, state)`, elementwise.
        params: Neuron parameters, a NamedTuple of tensors, each broadcastable to `current`.
        before: States before each step of the segment, a NamedTuple of tensors (steps, batch, neuron).
        current: Whole input of each step, (steps, batch, neuron).
        needed: Parameters whose derivatives are asked for.

    Returns:
        The derivatives, without those that are zero throughout the segment; a state called v is the variable "state v".
    """
    states = [f"state {name}" for name in before._fields]

    def results(*inputs: Tensor) -> tuple[Tensor, ...]:
        spikes, state = step(params, type(before)(*inputs[1:]), inputs[0])
        return spikes, *state

    def results_by_params(*inputs: Tensor) -> tuple[Tensor, ...]:
        given = dict(zip(needed, inputs, strict=True))
        spikes, state = step(params._replace(**given), before, current)
        return spikes, *state

    lagged: dict[Edge, Coefficient] = {}
    within: dict[Edge, Coefficient] = {}
    for y, row in zip(("z", *states), _jacobian(results, (current, *before)), strict=True):
        if y == "z" and row[0] is None:  # spikes and input stay in one block of the sweep
            row[0] = torch.zeros_like(current)
        if row[0] is not None:
            within[(y, "I")] = row[0]
        lagged |= {(y, x): d for x, d in zip(states, row[1:], strict=True) if d is not None}
    columns: dict[str, dict[str, Coefficient]] = {name: {} for name in needed}
    if needed:
        expanded = tuple(getattr(params, name).expand(current.shape) for name in needed)
        for y, row in zip(("z", *states), _jacobian(results_by_params, expanded), strict=True):
            for name, derivative in zip(needed, row, strict=True):
                if derivative is not None:
                    columns[name][y] = derivative
    return Linearisation(lagged, within, columns)


def _jacobian(
    results: Callable[..., tuple[Tensor, ...]], inputs: tuple[Tensor, ...]
) -> list[list[Tensor | None]]:
    """Derivative of each result by each input, elementwise; None where it is zero.

    One forward pass, and one reverse pass for each result over its own part of the graph. Inside `torch.func.vjp`
    automatic differentiation works in an operator's kernel too, where autograd itself is switched off.
    """
    places: list[list[int | None]] = []

    def differentiate(*tensors: Tensor) -> tuple[Tensor, list[Tensor]]:
        found: list[Tensor] = []
        rows: dict[int, list[int | None]] = {}
        values = results(*tensors)
        for value in values:
            if id(value) not in rows:  # spikes are often a state as well
                rows[id(value)] = _collect(value, tensors, found)
            places.append(rows[id(value)])
        return values[0], found

    outcome: Any = torch.func.vjp(differentiate, *inputs, has_aux=True)
    *_, found = outcome
    kept = [derivative if holds(derivative.any(), otherwise=True) else None for derivative in found]
    return [[None if k is None else kept[k] for k in row] for row in places]


def _collect(value: Tensor, inputs: tuple[Tensor, ...], found: list[Tensor]) -> list[int | None]:
    """Append the derivatives of a value to `found` and tell where they are."""
    if not value.requires_grad:
        return [None] * len(inputs)
    ones = torch.ones_like(value)
    gradients = torch.autograd.grad(value, inputs, ones, retain_graph=True, allow_unused=True)
    row: list[int | None] = []
    for gradient in gradients:
        row.append(None if gradient is None else len(found))
        found += [] if gradient is None else [gradient]
    return row
