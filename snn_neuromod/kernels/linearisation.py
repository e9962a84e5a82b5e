r"""First derivatives of a neuron's step along a trajectory: all that a learning rule needs to know of a neuron.

A step maps $(s_{t-1}, I_t)$ to $s_t$ and emits $z_t$. Neurons of a layer do not see one another within a step, so the
derivatives are one small matrix per neuron and step, most of whose entries are zero or constant. A closed form gives
the entries that are not zero.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeAlias

from torch import Tensor

Coefficient: TypeAlias = "float | Tensor"
"""A number, one per neuron, or one per step and neuron (steps, batch, neuron)."""


class Linearisation(NamedTuple):
    r"""Derivatives of the steps of one segment.

    Attributes:
        state: $\partial s_t / \partial s'_{t-1}$ at key (s, s'). The spike of step t-1 may be an s', as "z". A synapse
            that adds to the input may stand at key ("I", s'): the factor with which it does.
        current: $\partial s_t / \partial I_t$ at key s.
        spikes: $\partial z_t / \partial s_t$ at key s, the pseudo-derivative.
        params: For each parameter a function that gives $\partial s_t / \partial \theta$ at key s, and
            $\partial z_t / \partial \theta$ and $\partial I_t / \partial \theta$ at keys "z" and "I" where the
            parameter enters there.
    """

    state: Mapping[tuple[str, str], Coefficient]
    current: Mapping[str, Coefficient]
    spikes: Mapping[str, Coefficient]
    params: Mapping[str, Callable[[], Mapping[str, Coefficient]]]
