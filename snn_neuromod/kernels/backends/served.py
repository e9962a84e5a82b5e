"""How a backend serves one kind of call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple


class Served(NamedTuple):
    """What a backend has for one kind of call.

    Attributes:
        unable: Why it cannot serve a call, None if it can.
        forward: Runs a call.
        backward: Runs its reverse, for a sequence.
        kept: What `forward` would keep for `backward`, empty, by name.
        reads: Whether `backward` reads the input of a sequence, and not its shape alone.
        narrow: Whether it takes an input of half precision, beside states of float32.
        hop: What takes a gradient through the recurrent weights, `gradients.hop` where it has none of its own.
        weights: What gives the gradients of these, else `gradients.weights`.
        prepare: What has the others for all calls that look like one, so that more is decided once; None: this has
            them.
    """

    unable: Callable[[Any], str | None]
    forward: Callable[..., Any] | None = None
    backward: Callable[..., Any] | None = None
    kept: Callable[[Any], Any] | None = None
    reads: Callable[[Any], bool] | None = None
    narrow: bool = False
    hop: Callable[..., Any] | None = None
    weights: Callable[..., Any] | None = None
    prepare: Callable[[Any], Any] | None = None


def always(call: Any) -> None:
    """For what serves any call of its kind."""
