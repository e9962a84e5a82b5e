"""What is to be known of a neuron beside its equations and parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from torch import Tensor
from typing_extensions import TypeVar

S = TypeVar("S", bound=tuple[Any, ...], default=tuple[Tensor, ...])
"""The `State` of a neuron of one's own; tensors where it is told by the name of its module alone."""
P = TypeVar("P", bound=tuple[Any, ...], default=tuple[Tensor, ...])
"""Its `Params`."""
_P = TypeVar("_P", bound=tuple[Any, ...], contravariant=True)


class Dynamics(Protocol[_P, S]):
    """The equations of a neuron, a module or an object; `snn_neuromod.Custom` asks for `Params` and `State` too."""

    def initial_state(self, current: Tensor, /) -> S:
        """State before the first step, shaped as the current."""
        ...

    def step(
        self, params: _P, state: S, current: Tensor, /, *args: Any, **options: Any
    ) -> tuple[Tensor, S]:
        """Spikes, and the state after the step."""
        ...


class Traits(NamedTuple):
    """Traits of a neuron, from its module or class; in brackets what is taken where it does not say.

    Attributes:
        membrane: `MEMBRANE`: the states that lead from the input to the spikes, the membrane last; the others are
            adaptation and reset. (The first state.)
        slow: `SLOW`: the state on the other axis of a phase portrait, or None. (The state after the membrane.)
        spike_level: `SPIKE_LEVEL`: spikes are graded, and in one the membrane rises through this level. (None: an
            output above 0 is a spike.)
        direct: `DIRECT`: parameters with which the current acts on the membrane as it is. (None.)
        rest: `REST`: arguments of `initial_state` that give the rest without input. (None.)
    """

    membrane: tuple[str, ...]
    slow: str | None
    spike_level: float | None
    direct: Mapping[str, float]
    rest: Mapping[str, float]


def traits(dynamics: Any, fields: tuple[str, ...] = ()) -> Traits:
    """Traits of a neuron.

    Args:
        dynamics: A module of `snn_neuromod.dynamics`, or a neuron of one's own (see `snn_neuromod.Custom`).
        fields: Names of its states, for a neuron without a `State`.

    Examples:
        >>> from snn_neuromod.dynamics import alif
        >>> traits(alif)
        Traits(membrane=('v',), slow='a', spike_level=None, direct={}, rest={})
    """
    fields = fields or dynamics.State._fields
    membrane = tuple(getattr(dynamics, "MEMBRANE", fields[:1]))
    after = fields[fields.index(membrane[-1]) + 1 :]
    slow = getattr(dynamics, "SLOW", after[0] if after else None)
    level = getattr(dynamics, "SPIKE_LEVEL", None)
    direct, rest = getattr(dynamics, "DIRECT", {}), getattr(dynamics, "REST", {})
    return Traits(membrane, slow, level, direct, rest)
