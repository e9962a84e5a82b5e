"""What a misspelt key or class of a configuration probably meant."""

from __future__ import annotations

import difflib
import inspect
import sys
from collections.abc import Hashable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, cast

import pytorch_lightning as pl
import torch
from jsonargparse import ArgumentParser

from lightning_modules.class_paths import ROOTS
from lightning_modules.command_line import options
from lightning_modules.config_files import arguments, merge
from lightning_modules.pictures import Pictures
from lightning_modules.type_hints import parameter_hint, wanted

__all__ = ["suggestions"]

_TOP = ("trainer", "model", "data", "pictures", "seed_everything", "monitor", "monitor_mode", "ckpt_path", "output",
        "weights_only", "verbose", "config", "print_config", "return_predictions", "help")  # fmt: skip
_ROOTS = {**ROOTS, "pictures": Pictures}
_PASSED = ("init_args", "dict_kwargs", "class_path")


def suggestions(config: Mapping[str, Any], args: Sequence[str]) -> str:
    """A question about each key or class that is not there and resembles one that is.

    Args:
        config: The configuration.
        args: Further arguments of the command line.

    Returns:
        Text to stand behind a message, empty if nothing resembles.

    Examples:
        >>> suggestions({"trainer": {"max_epoch": 3}}, ["--modle.x=3"])
        '; did you mean trainer.max_epochs, model?'
    """
    tree = _plain(config)
    for key, value, _ in options(args):
        parts = [part for part in key.lstrip("-").rstrip("+").split(".") if part not in _PASSED]
        inner: Any = value if parts else {}
        for part in reversed(parts):
            inner = {part: inner}
        tree = merge(tree, inner)
    meant = list(dict.fromkeys(text for text in _meant(tree, None, ()) if text))
    return f"; did you mean {', '.join(meant[:3])}?" if meant else ""


def _plain(node: Any) -> Any:
    """A part of a configuration, the arguments of each class beside its path."""
    if isinstance(node, list):
        return [_plain(item) for item in node]
    if not isinstance(node, Mapping):
        return node
    made = {"class_path": node["class_path"]} if "class_path" in node else {}
    return {**made, **{str(key): _plain(value) for key, value in arguments(node)}}


def _meant(node: Any, made: Any, path: tuple[str, ...]) -> Iterator[str | None]:
    """Keys and names that were meant in a part of a configuration, whose class is `made` where it names none."""
    if isinstance(node, str):
        yield _name(node)
    elif isinstance(node, list):
        for item in node:
            yield from _meant(item, made, path)
    elif isinstance(node, dict):
        name = node.pop("class_path", "")
        yield _name(name)
        made = _known(str(name)) or made
        own = _names(cast(Hashable, made)) if inspect.isclass(made) else None
        known = own if path else _TOP
        for key, value in node.items():
            if known is None or key in known:
                hint = parameter_hint(made, key) if path else _ROOTS.get(key, Any)
                inner = next(iter(wanted(hint).classes), None)
                yield from _meant(value, inner, (*path, key))
            elif close := difflib.get_close_matches(key, known, n=1, cutoff=0.6):
                yield ".".join((*path, close[0]))


@cache
def _names(made: Any) -> list[str] | None:
    """Names of the arguments of a class, those that it hands on among them; None if it takes any."""
    try:
        names: list[str] = ArgumentParser().add_class_arguments(made, fail_untyped=False)
    except Exception:  # what it says of its arguments cannot be read
        return None
    return names


def _name(value: Any) -> str | None:
    """The class that was meant by a name, if there is none of that name."""
    if not isinstance(value, str) or not value.replace(".", "").isidentifier():
        return None
    if "." not in value:
        known = [*pl.callbacks.__all__, *torch.optim.__all__, *torch.optim.lr_scheduler.__all__]
        close = difflib.get_close_matches(value, known, n=1, cutoff=0.85)
        return close[0] if close and close[0] != value else None
    module, _, name = value.rpartition(".")
    parent = _known(module)
    if parent is None or hasattr(parent, name):
        return None
    close = difflib.get_close_matches(name, [n for n in dir(parent) if n[0].isupper()], n=1)
    return f"{module}.{close[0]}" if close else None


def _known(path: str) -> Any:
    """What a dotted path names, without importing anything."""
    module, _, name = path.rpartition(".")
    return sys.modules.get(path) or getattr(sys.modules.get(module), name, None)
