"""The name of a file in what the system says of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["naming"]


@contextmanager
def naming(path: str | os.PathLike[str]) -> Iterator[None]:
    """Name a file in an `OSError`, such as that of a disk that fails in its middle: only `open` does so itself."""
    try:
        yield
    except OSError as error:
        if error.errno is not None and error.filename is None:
            error.filename = os.fspath(path)
        raise
