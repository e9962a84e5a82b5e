"""What a misspelt key or class of a configuration probably meant."""

from __future__ import annotations

import difflib
import inspect
import sys
from collections.abc import Hashable, Iterable, Iterator, Mapping
from functools import cache
from importlib import import_module
from typing import Any, cast

import pytorch_lightning as pl
import torch
from jsonargparse import ArgumentParser

from lightning_modules.config_files import inside
from lightning_modules.pictures import Pictures
from lightning_modules.type_hints import parameter_hint, wanted

__all__ = ["suggestions"]

_TOP = ("trainer", "model", "data", "pictures", "seed_everything", "monitor", "monitor_mode", "ckpt_path", "output",
        "weights_only", "verbose", "config", "print_config", "return_predictions", "help")  # fmt: skip
_MADE = {"trainer": pl.Trainer, "model": pl.LightningModule, "data": pl.LightningDataModule,
         "pictures": Pictures}  # fmt: skip
_PASSED = ("init_args", "dict_kwargs", "class_path")


def suggestions(config: Mapping[str, Any], args: Iterable[str]) -> str:
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
    given = list(_flat(config))
    for arg in args:
        if arg.startswith("--"):
            key, _, value = arg[2:].partition("=")
            given.append((tuple(key.rstrip("+").split(".")), value))
        else:
            given.append(((), arg))
    found = [*(_key(config, key) for key, _ in given), *(_name(value) for _, value in given)]
    meant = list(dict.fromkeys(text for text in found if text))
    return f"; did you mean {', '.join(meant[:3])}?" if meant else ""


def _flat(config: Any, key: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(config, Mapping):
        for name, value in config.items():
            yield from _flat(value, (*key, str(name)))
    elif isinstance(config, list):
        for value in config:
            yield from ((key, leaf) for _, leaf in _flat(value))
    else:
        yield key, config


def _key(config: Any, key: tuple[str, ...]) -> str | None:
    """The key that was meant, if this is none."""
    made: Any = None
    names: list[str] | None = list(_TOP)
    node, path = config, list[str]()
    for part in key:
        if part in _PASSED:
            node = node.get(part, {}) if isinstance(node, Mapping) else {}
            continue
        if names is None:
            return None
        if part not in names:
            close = difflib.get_close_matches(part, names, n=1, cutoff=0.6)
            return ".".join([*path, close[0]]) if close else None
        hint = _MADE.get(part, Any) if not path else parameter_hint(made, part)
        path.append(part)
        node = inside(node, part)
        made = _made(node, hint)
        names = _names(cast(Hashable, made)) if inspect.isclass(made) else None
    return None


def _made(node: Any, hint: Any) -> Any:
    """The class that a part of a configuration makes."""
    path = node.get("class_path") if isinstance(node, Mapping) else node
    found = _resolve(path) if isinstance(path, str) and "." in path else None
    return found if found is not None else next(iter(wanted(hint).classes), None)


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
    parent = _resolve(module)
    if parent is None or hasattr(parent, name):
        return None
    close = difflib.get_close_matches(name, [n for n in dir(parent) if n[0].isupper()], n=1)
    return f"{module}.{close[0]}" if close else None


def _resolve(path: str) -> Any:
    """What a dotted path names, without importing anything new."""
    if path in sys.modules:
        return sys.modules[path]
    module, _, name = path.rpartition(".")
    found = getattr(sys.modules.get(module), name, None)
    if found is None and path.startswith(("snn_neuromod.", "lightning_modules.", "torch.optim.")):
        try:
            return import_module(path)
        except ImportError:
            return None
    return found
