"""Sequences of a neuron whose step can be printed: what is kept, the forward pass, and the derivatives of segments."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from snn_neuromod.kernels.backends.eager.forward import Forward
from snn_neuromod.kernels.backends.eager.known import Known, Reads, general, known, made
from snn_neuromod.kernels.backends.eager.linearisation import Linearisation
from snn_neuromod.kernels.backends.eager.reverse import Reverse
from snn_neuromod.kernels.backends.eager.segments import received, segment_length, whole_input
from snn_neuromod.kernels.call import Call
from snn_neuromod.kernels.fusion.graph import Node
from snn_neuromod.kernels.fusion.jacobian import NotLinear, flow
from snn_neuromod.kernels.fusion.trace import NotElementwise, Step, apart, trace

__all__ = ["Derivatives", "forward", "new_tracks", "reads_input", "unable"]


def unable(call: Call) -> str | None:
    """Why a step cannot be printed, None if it can."""
    found = _found(call)["step"]
    return found if isinstance(found, str) else None


def _found(call: Call) -> dict[Any, Any]:
    """What was traced and printed of the neuron for tensors of this type: "step", or why there is none, and more."""
    kernels = call.neuron.kernels
    found: dict[Any, Any] = kernels.setdefault(("eager", call.current.dtype), {})
    made(found, "step", lambda: _traced(call))
    return found


def _traced(call: Call) -> Step | str:
    module = call.neuron.module
    step = partial(module.step, **call.neuron.step_options())
    try:
        found = trace(step, module.Params, module.State, dtype=call.current.dtype)
        flow(found, found.params)
    except (NotElementwise, NotLinear) as error:
        return str(error)
    return found


def _known(call: Call) -> Known:
    found = _found(call)
    return known(found["step"], call, found)


def _needed(call: Call) -> tuple[str, ...]:
    names = call.neuron.module.Params._fields
    return tuple(name for name, need in zip(names, call.needed, strict=True) if need)


def _reads(call: Call) -> Reads:
    """What the reverse pass reads; where a graph is traced that does not depend on values of parameters."""
    if call.plain:
        return _known(call).reads(_needed(call), call.paths.states)
    found = _found(call)
    return general(found["step"], call, found).reads(_needed(call), call.paths.states)


def _saved(call: Call, step: Known) -> tuple[Node, ...]:
    """Nodes of the step that are kept."""
    saved = _reads(call).saved
    return saved if call.plain else tuple(apart(lambda: step.image(saved)))


def reads_input(call: Call) -> bool:
    """Whether the derivatives read the input."""
    return _reads(call).current


def new_tracks(call: Call) -> dict[str, Tensor]:
    """Empty tracks: states "s0", (T + 1, batch, neuron), saved results "c0", (T, batch, neuron)."""
    reads, shape = _reads(call), call.current.shape
    sizes = {f"s{k}": (shape[0] + 1, *shape[1:]) for k in reads.states}
    sizes |= {f"c{j}": tuple(shape) for j in range(len(reads.saved))}
    return {name: call.current.new_empty(size) for name, size in sizes.items()}


def _params(call: Call) -> dict[str, Tensor]:
    """Parameters by "p0", "p1", ..., with an axis of steps only where they change."""
    ndim = call.current.ndim
    return {
        f"p{k}": p[0] if p.ndim == ndim and p.shape[0] == 1 else p
        for k, p in enumerate(call.params)
    }


def forward(call: Call, spikes: Tensor, tracks: dict[str, Tensor]) -> list[Tensor]:
    """Run a sequence; writes spikes and tracks, returns the last state."""
    step, recurrent, bits = _known(call), bool(call.recurrent), call.current.device.type == "cpu"
    saved = _saved(call, step) if call.keep else ()
    run: Forward = made(
        step.cache,
        ("forward", saved, recurrent, bits),
        lambda: Forward(step, saved, recurrent=recurrent, bits=bits),
    )
    for name, track in tracks.items():
        if name[0] == "s":
            track[0] = call.state[int(name[1:])]
    arriving = partial(received, call, spikes) if recurrent else None
    longest = segment_length(call.current)
    with torch.no_grad():
        return run(
            call.current,
            _params(call),
            call.state,
            spikes,
            tracks,
            longest=longest,
            received=arriving,
        )


class Derivatives:
    """Derivatives of a sequence, segment by segment.

    Args:
        call: The sequence.
        grad_state: Gradients of the last state, None where it has none.
        spikes: Of the forward pass.
        tracks: What it kept.

    Attributes:
        states: Names of the states among the variables.
    """

    def __init__(
        self,
        call: Call,
        grad_state: Sequence[Tensor | None],
        spikes: Tensor,
        tracks: Sequence[Tensor],
    ) -> None:
        step, reads, needed, paths = _known(call), _reads(call), _needed(call), call.paths
        saved = _saved(call, step)
        bits = spikes.device.type == "cpu"
        self._call, self._spikes, self._step, self.states = call, spikes, step, step.names
        names = [*(f"s{k}" for k in reads.states), *(f"c{j}" for j in range(len(reads.saved)))]
        self._tracks = dict(zip(names, tracks, strict=True))
        seeded = tuple(k for k, grad in enumerate(grad_state) if grad is not None)
        reverse: Reverse = made(
            step.cache,
            ("reverse", reads.states, saved, needed, paths.states, seeded, bits),
            lambda: Reverse(step, reads.states, saved, needed, paths.states, seeded, bits=bits),
        )
        self._params = _params(call)
        fixed = {f"s{k}": s for k, s in enumerate(call.state) if k not in step.moving}
        self._linearise = reverse.bind(spikes[0], fixed | self._params)

    def segment(self, start: int, stop: int) -> Linearisation:
        """Derivatives of the steps from `start` up to `stop`."""
        return self._linearise(
            self._spikes[start:stop], lambda name: self._value(name, start, stop)
        )

    def _value(self, name: str, start: int, stop: int) -> Tensor:
        """What the derivatives read, at these steps."""
        if name == "x":
            return whole_input(self._call, self._spikes, start, stop)
        if name == "z":
            return self._spikes[start:stop]
        if name[0] == "p":
            return self._params[name][start:stop].expand_as(self._spikes[start:stop])
        if name[0] == "n":
            return self._tracks[f"s{name[1:]}"][start + 1 : stop + 1]
        if name in self._tracks:
            return self._tracks[name][start:stop]
        if start:  # the state that holds the spikes
            return self._spikes[start - 1 : stop - 1]
        return torch.cat([self._call.state[int(name[1:])][None], self._spikes[: stop - 1]])
