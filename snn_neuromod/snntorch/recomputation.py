"""Activation checkpointing of neurons that keep their state.

`torch.utils.checkpoint` drops what a part of the forward pass computed and computes it again in the backward pass. A
neuron would then go on from the state after the whole forward pass, and gradients would be wrong without a word. With
`use_reentrant=False` the recomputation is found in the forward pass already and is made to start from the state that
was there. With `use_reentrant=True`, and wherever else a backward pass calls a neuron, nothing tells what that was, and
no gradient could pass through the state: the call is refused, unless the state was put to rest in the same part.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from torch.utils import checkpoint

from snn_neuromod.errors import RunError

_autograd = torch._C._autograd
_NONE: Mapping[str, Tensor | None] = MappingProxyType({})
_backward = torch._C._current_graph_task_id
_innermost = getattr(_autograd, "_top_saved_tensors_default_hooks", lambda _: None)
# Of backward passes that call neurons: the part of a pass in which a neuron's state is known, and the last pass in
# which it was called.
_known: WeakKeyDictionary[Any, tuple[int, int]] = WeakKeyDictionary()
_called: WeakKeyDictionary[Any, int] = WeakKeyDictionary()


def note(neuron: Any, states: Mapping[str, Tensor | None] = _NONE) -> None:
    """Note that the state which a neuron keeps is about to be read or changed.

    Args:
        neuron: A neuron in snnTorch's form.
        states: States of a call by name; None is what the neuron goes on from the kept state with.

    Raises:
        RuntimeError: If it would go on, in a backward pass, from another state than in the forward pass.
    """
    if torch.compiler.is_compiling():
        return
    if _innermost(True) is not None:
        _in_parts(neuron)
    if _backward() >= 0:
        _in_backward(neuron, states)


def starts_anew(neuron: Any) -> None:
    """Note that the state which a neuron keeps was put to rest."""
    if not torch.compiler.is_compiling() and _backward() >= 0:
        _known[neuron] = _part()


def _in_parts(neuron: Any) -> None:
    """Keep the neuron's state for the recomputation of each part that is running."""
    for frame in _frames():
        if not isinstance(frame.recompute_fn, _Recomputation):
            frame.recompute_fn = _Recomputation(frame.recompute_fn)
        if neuron not in frame.recompute_fn.starts:
            frame.recompute_fn.starts[neuron] = _again(neuron)


def _in_backward(neuron: Any, states: Mapping[str, Tensor | None]) -> None:
    """Refuse a state that is not the one of the forward pass, and let the kept one be as it was in the end."""
    if _known.get(neuron) == _part():
        return
    if torch.is_grad_enabled() and any(state is None for state in states.values()):
        raise RunError(
            f"{type(neuron).__name__}: a call in a backward pass must not go on from the state that the neuron keeps, "
            "which is that after the forward pass; with torch.utils.checkpoint set use_reentrant=False, or pass the "
            "state into the function and out of it (init_hidden=False), or call reset_mem() inside of it"
        )
    if _called.get(neuron) != _backward():
        _called[neuron], kept = _backward(), _state(neuron)
        torch.autograd.Variable._execution_engine.queue_callback(
            lambda: neuron._buffers.update(kept)
        )


class _Recomputation:
    """Computes a part of the forward pass again, from the states that neurons had before it."""

    def __init__(self, recompute: Callable[..., None]) -> None:
        self.recompute = recompute
        self.starts: dict[Any, dict[str, Tensor]] = {}

    def __call__(self, *args: Any) -> None:
        now = {neuron: (_state(neuron), _known.get(neuron)) for neuron in self.starts}
        try:
            for neuron, start in self.starts.items():
                neuron._buffers.update(start)
                _known[neuron] = _part()
            self.recompute(*args)
        finally:  # PyTorch ends a recomputation by an exception as soon as it has what it needs
            for neuron, (state, part) in now.items():
                neuron._buffers.update(state)
                _known[neuron] = part or (-1, -1)


def _state(neuron: Any) -> dict[str, Tensor]:
    return {name: neuron._buffers[name] for name in neuron.state_names}


def _again(neuron: Any) -> dict[str, Tensor]:
    """The state as a recomputation may start from it: off the graph, of which no part is needed twice."""
    return {
        name: state.detach().clone().requires_grad_(state.requires_grad)
        for name, state in _state(neuron).items()
    }


def _part() -> tuple[int, int]:
    """Which node of which backward pass is running; outside of one (-1, -1)."""
    node = torch._C._current_autograd_node()
    return _backward(), -1 if node is None else node._sequence_nr()


def _frames() -> Iterator[Any]:
    """The parts of the forward pass, one inside the other, that are running and will be computed again."""
    with _hooks() as hooks:
        cells = [cell for pack, _ in hooks for cell in getattr(pack, "__closure__", None) or ()]
    found = [cell.cell_contents for cell in cells]
    yield from (frame for frame in found if isinstance(frame, checkpoint._CheckpointFrame))


@contextmanager
def _hooks() -> Iterator[list[Any]]:
    """All hooks for saved tensors that are in force, which PyTorch shows one at a time."""
    taken = []
    while (hooks := _innermost(True)) is not None:
        taken.append(hooks)
        _autograd._pop_saved_tensors_default_hooks()
    try:
        yield taken
    finally:
        for pack, unpack in reversed(taken):
            _autograd._push_saved_tensors_default_hooks(pack, unpack)
