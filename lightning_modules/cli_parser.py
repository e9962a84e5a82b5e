"""The parser of configurations: errors of what it makes keep their class."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any

from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning.cli import LightningArgumentParser

from lightning_modules.monitor import Mode
from snn_neuromod.errors import ConfigError, SnnNeuromodError

__all__ = ["MERGED", "Parser", "add_options", "refusals"]

MERGED = "{the merged configurations: }"
"""Stands on the command line for configurations that are read and merged already."""

_OPTIONS = {
    "monitor": "Keep the weights with the best value of this metric too, such as val/accuracy, and report those.",
    "monitor_mode": "Which value is best; the tasks of this package know it of their metrics.",
    "output": "CSV file to write; for classes of frames the folder of label files.",
    "input": "Folder of PNG images or wav files to predict for, in the place of the test data.",
}
_OURS = ("snn_neuromod", "lightning_modules")
# What classes of other packages say to their arguments.
_COMPLAINTS = (ValueError, TypeError, RuntimeError, ArithmeticError, AssertionError)
_failures: ContextVar[list[tuple[bool, Exception]] | None] = ContextVar("failures", default=None)


class Parser(LightningArgumentParser):
    """Lightning's parser, from which a constructor's error comes as it was raised.

    jsonargparse itself makes one ValueError of the errors of all types that a value might have. What a class of another
    package, or of the user, says to its arguments becomes a `ConfigError`, also where the object is made later, as
    optimisers are. Classes of this package raise such errors themselves: another one is a fault of theirs.

    Args:
        *args: As for Lightning's.
        merged: What `--config` with the value `MERGED` stands for.
        **kwargs: As for Lightning's.
    """

    def __init__(self, *args: Any, merged: Mapping[str, Any] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._merged = dict(merged or {})

    def parse_string(self, cfg_str: str, *args: Any, **kwargs: Any) -> Any:
        if cfg_str != MERGED:
            return super().parse_string(cfg_str, *args, **kwargs)
        kwargs.pop("_fail_no_subcommand", None)  # not for objects
        return self.parse_object(self._merged, *args, **kwargs)

    def instantiate_classes(self, cfg: Any, **kwargs: Any) -> Any:
        with warnings.catch_warnings():  # what replaces it is not in all versions that serve
            warnings.filterwarnings("ignore", category=DeprecationWarning)
            self.add_instantiator(_make, object)
        failures: list[tuple[bool, Exception]] = []
        token = _failures.set(failures)
        try:
            return super().instantiate_classes(cfg, **kwargs)
        except Exception as error:
            # A type of a union that was only tried may have failed too; the last error stands for the value itself.
            found = sorted(failures, key=lambda failure: failure[0])
            raise found[-1][1] if found else error  # noqa: B904
        finally:
            _failures.reset(token)


def add_options(parser: LightningArgumentParser, *names: str) -> None:
    """Add some options of this package to the parser of a command."""
    for name in names:
        kind: Any = Mode | None if name == "monitor_mode" else str | None
        parser.add_argument(f"--{name}", type=kind, default=None, help=_OPTIONS[name])


def _make(kind: Any, *args: Any, **kwargs: Any) -> Any:
    ours = kind.__module__.partition(".")[0] in _OURS
    try:
        with nullcontext() if ours else refusals(kind.__name__):
            return kind(*args, **kwargs)
    except Exception as error:
        failures = _failures.get()
        if failures is not None and _fits(kind, args, kwargs):
            failures.append((ours, error))
        raise


def _fits(kind: Any, args: Any, kwargs: Any) -> bool:
    """Whether a class has the arguments that are given; one of a union that is only tried may not."""
    try:
        inspect.signature(kind).bind(*args, **kwargs)
    except (TypeError, ValueError) as error:
        return isinstance(error, ValueError)  # it does not say which it has
    return True


@contextmanager
def refusals(who: str) -> Iterator[None]:
    """Turn what a class of another package, or of the user, says to its arguments into a `ConfigError`."""
    try:
        yield
    except (SnnNeuromodError, MisconfigurationException):
        raise
    except _COMPLAINTS as error:
        raise ConfigError(f"{who}: {error}") from error
