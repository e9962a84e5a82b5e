"""What is made of a step once, when it is first needed, apart from what is on in the thread that needs it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

__all__ = ["Once", "apart"]

_T = TypeVar("_T")


def apart(work: Callable[[], _T]) -> _T:
    """Result of a function that runs in a thread of its own: no mode, no tracer of the caller is on there."""
    with ThreadPoolExecutor(1, "snn_neuromod: a step is read") as pool:
        return pool.submit(work).result()


class Once:
    """What is made when it is first asked for, by any key, in a thread of its own; what failed is not tried again."""

    def __init__(self) -> None:
        self._made: dict[Any, Any] = {}
        self._locks: dict[Any, threading.Lock] = {}

    def __call__(self, key: Any, make: Callable[[], _T]) -> _T:
        """What was made under this key.

        Raises:
            ValueError: As `make` did.
            RuntimeError: Likewise.
        """
        if key not in self._made:
            with self._locks.setdefault(key, threading.Lock()):
                if key not in self._made:
                    try:
                        self._made[key] = apart(make)
                    except (ValueError, RuntimeError) as error:
                        self._made[key] = _another(error)
                        raise
        found = self._made[key]
        if isinstance(found, Exception):
            raise _another(found)
        return found  # type: ignore[no-any-return]


def _another(error: Exception) -> Exception:
    """The same error without its traceback, whose frames would keep what the caller has, tensors too."""
    made = type(error).__new__(type(error), *error.args)
    made.__dict__.update(error.__dict__)
    made.__cause__ = error.__cause__
    return made
