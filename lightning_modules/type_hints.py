"""What the annotations of a class or function say about its arguments and its result."""

from __future__ import annotations

import collections.abc
import inspect
from datetime import timedelta
from enum import Enum
from functools import cache
from numbers import Number
from pathlib import PurePath
from types import NoneType, UnionType
from typing import Any, Literal, NamedTuple, TypeVar, Union, get_args, get_origin, get_type_hints

__all__ = ["Wanted", "parameter_hint", "return_hint", "takes_none", "wanted"]

_PLAIN = (Number, str, bytes, NoneType, PurePath, Enum, timedelta, dict, list, tuple, set)


class Wanted(NamedTuple):
    """What may stand at some place of a configuration.

    Attributes:
        classes: Classes (or protocols) of which one is wanted; those of a callable are the ones that it returns.
        untyped: Whether anything else may stand there too, for all that the annotation says.
        named: Whether a dotted name there means a class or function.
    """

    classes: tuple[type, ...] = ()
    untyped: bool = False
    named: bool = False

    def fits(self, found: type) -> bool:
        """Whether a class is, or has all methods of, one of those wanted."""
        return any(_is_a(found, kind) for kind in self.classes)

    def __or__(self, other: Wanted) -> Wanted:
        return Wanted(
            self.classes + other.classes, self.untyped or other.untyped, self.named or other.named
        )


def wanted(hint: Any) -> Wanted:
    """Read an annotation.

    Examples:
        >>> wanted(collections.abc.Callable[[int], ArithmeticError] | None).classes
        (<class 'ArithmeticError'>,)
        >>> wanted(int | str), wanted(Any).untyped
        (Wanted(classes=(), untyped=False, named=False), True)
    """
    if hint is None or get_origin(hint) is Literal:
        return Wanted()
    if hint in (Any, object):
        return Wanted(untyped=True)
    if isinstance(hint, TypeVar):
        return wanted(hint.__bound__ or Any)
    arguments = get_args(hint)
    if collections.abc.Callable in (hint, get_origin(hint)):
        return Wanted(named=True) | wanted(arguments[-1] if arguments else Any)
    found = Wanted()
    for argument in arguments:
        found |= Wanted() if argument is Ellipsis else wanted(argument)
    if arguments:
        return found
    if not inspect.isclass(hint):
        return Wanted(untyped=True, named=True)
    return Wanted() if issubclass(hint, _PLAIN) else Wanted((hint,), named=True)


def parameter_hint(made: Any, name: str) -> Any:
    """Annotation of an argument of a class, or of a class that it hands further arguments on to, or of a function."""
    return next((_hints(maker)[name] for maker in _makers(made) if name in _hints(maker)), Any)


def takes_none(made: Any, name: str) -> bool:
    """Whether an argument may be None by its annotation, if it has one, or is None by default."""
    maker = next((maker for maker in _makers(made) if name in _hints(maker)), None)
    if maker is None or inspect.signature(maker).parameters[name].default is None:
        return True
    hint = _hints(maker)[name]
    return any(
        kind in (Any, object, NoneType) or isinstance(kind, TypeVar) for kind in _kinds(hint)
    )


def _makers(made: Any) -> list[Any]:
    """The functions that may name an argument of a class, in the order in which they hand it on; or a function."""
    own = [vars(k) for k in made.__mro__] if inspect.isclass(made) else [{"__init__": made}]
    return [names["__init__"] for names in own if "__init__" in names]


def _kinds(hint: Any) -> tuple[Any, ...]:
    """The alternatives of an annotation."""
    return get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)


def return_hint(function: Any) -> Any:
    """What a function is declared to return; Any if it is not."""
    return _hints(function).get("return", Any)


@cache
def _hints(function: Any) -> dict[str, Any]:
    try:
        return get_type_hints(function)
    except Exception:  # names that exist for the type checker only, or no annotations at all
        return {}


def _is_a(found: type, kind: type) -> bool:
    if getattr(kind, "_is_protocol", False):
        protocols = [vars(c) for c in kind.__mro__ if getattr(c, "_is_protocol", False)]
        methods = [m for c in protocols for m, what in c.items() if inspect.isfunction(what)]
        public = [m for m in methods if m == "__call__" or not m.startswith("_")]
        return bool(public) and all(hasattr(found, m) for m in public)
    return issubclass(found, kind)
