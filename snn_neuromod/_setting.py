"""Settings for a while, in one thread or task alone, that `torch.compile` can read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Generic, TypeVar

import torch

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


def constant_in_graphs(function: F) -> F:
    """As `torch.compiler.assume_constant_result`, which imports the whole compiler, a second, to set this attribute."""
    function._dynamo_marked_constant = True  # type: ignore[attr-defined]
    return function


class Setting(Generic[T]):
    """A context variable. A compiled graph keeps what was set where it was traced, and is traced again after `using`.

    Args:
        name: Name of the variable.
        default: Value where nothing was set.
    """

    def __init__(self, name: str, default: T) -> None:
        self._variable: ContextVar[T] = ContextVar(name, default=default)
        self.here = self._variable.get  # the value here, where no graph is traced
        self._last = default  # set last, in whatever thread: an attribute can guard a graph, a context variable cannot

    def get(self) -> T:
        """The value here."""
        if torch.compiler.is_compiling():
            traced: T = self._traced(self._last)
            return traced
        return self._variable.get()

    @constant_in_graphs
    def _traced(self, last: T) -> T:
        return self._variable.get()

    @contextmanager
    def using(self, value: T) -> Iterator[None]:
        """Set the value for a `with` block, in this thread or task."""
        token, before = self._variable.set(value), self._last
        self._last = value
        try:
            yield
        finally:
            self._variable.reset(token)
            self._last = before
