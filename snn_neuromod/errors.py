"""Errors of this package, sorted by class rather than by what their messages say.

Each is also the built-in exception that fits, so `except ValueError` goes on to work. Messages name what is wrong,
what it must be and what it is.
"""

from __future__ import annotations

from os import PathLike

__all__ = [
    "ConfigError",
    "DataError",
    "KindError",
    "MissingConfigError",
    "RunError",
    "SnnNeuromodError",
    "StorageError",
]


class SnnNeuromodError(Exception):
    """Base of all errors that a user of this package can mend."""


class ConfigError(SnnNeuromodError, ValueError):
    """A setting, an argument or a configuration that cannot be meant."""


class KindError(ConfigError, TypeError):
    """An argument of another kind than can be meant: another class, a tensor of another dtype or device."""


class MissingConfigError(ConfigError, FileNotFoundError):
    """A configuration that is not there."""


class RunError(SnnNeuromodError, RuntimeError):
    """A run that cannot start, go on or be resumed."""


class StorageError(SnnNeuromodError, OSError):
    """A file that cannot be written: a full disk, a read-only folder."""


class DataError(SnnNeuromodError, ValueError):
    """A file that is damaged, or holds something else than it should.

    It can be made from its message alone and pickled, as a process that loads data needs it.

    Args:
        message: What is wrong.
        path: The file; the message begins with it, unless it names it already.

    Attributes:
        path: The file, or None.

    Examples:
        >>> print(DataError("must be a multiple of 5 bytes long, got 7", "digits/00002.bin"))
        digits/00002.bin: must be a multiple of 5 bytes long, got 7
    """

    def __init__(self, message: str, path: str | PathLike[str] | None = None) -> None:
        named = path is None or str(path) in message
        super().__init__(message if named else f"{path}: {message}")
        self.path = path
