"""Which classes and functions a configuration may name: checked before anything is called.

A configuration, the `config.yaml` of a run and the hyper-parameters in a checkpoint name classes to be made with
arguments of their choice. Whoever passes such a file on could name `os.system` as well. So each name must be a subclass
of what stands there, or a function declared to return one.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import Logger
from pytorch_lightning.profilers import Profiler

from lightning_modules.config_files import arguments
from lightning_modules.type_hints import Wanted, parameter_hint, return_hint, takes_none, wanted
from snn_neuromod.errors import ConfigError

__all__ = ["ROOTS", "check_class_paths", "check_hyper_parameters"]

# Modules that load code from files or networks; nothing in them is ever what a configuration asks for.
_LOADERS = (
    "torch.hub", "torch.jit", "torch.load", "torch.package", "torch.serialization", "torch.utils.cpp_extension",
    "dill", "cloudpickle", "joblib", "pip", "setuptools", "pkg_resources", "jsonargparse", "numpy.ctypeslib",
)  # fmt: skip
# What may stand where no type is declared.
_USUAL = (torch.nn.Module, torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler, pl.Callback,
          pl.LightningDataModule, Logger, Profiler)  # fmt: skip
_OURS = ("snn_neuromod", "lightning_modules")
ROOTS: dict[str, Any] = {
    "trainer": pl.Trainer, "model": pl.LightningModule, "data": pl.LightningDataModule,
}  # fmt: skip
"""What the sections of a configuration make."""
_DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")


class _Place(NamedTuple):
    """Where a value stands: its key, and what is wanted there."""

    key: str
    wanted: Wanted


def check_class_paths(config: Mapping[str, Any]) -> None:
    """Check every class and function that a configuration names, and call none.

    Modules are imported to look at what they define, except those of the standard library, which are refused by name.

    Args:
        config: The configuration, with the keys `model`, `data`, `trainer` and those of callbacks; names may be
            resolved to classes and functions already.

    Raises:
        ConfigError: If a name is not a subclass of what stands there, nor a function declared to return one, if an
            argument is null that cannot be None, or if `weights_only` is false.

    Examples:
        >>> check_class_paths({"model": {"class_path": "os.system", "init_args": {"command": "true"}}})
        Traceback (most recent call last):
            ...
        snn_neuromod.errors.ConfigError: model.class_path must name LightningModule or a subclass, ...
    """
    if config.get("weights_only", True) is not True:
        raise ConfigError(
            "weights_only must be true, got false in a configuration: a checkpoint could then run any code"
        )
    for key, value in config.items():
        _check(value, _Place(key, wanted(ROOTS.get(key, Any))))


def check_hyper_parameters(parameters: Mapping[str, Any]) -> None:
    """Check the hyper-parameters in a checkpoint, from which Lightning rebuilds a task; as `check_class_paths`."""
    arguments = {name: value for name, value in parameters.items() if not name.startswith("_")}
    made = {"class_path": parameters["_class_path"]} if "_class_path" in parameters else {}
    check_class_paths({"model": {**made, "init_args": arguments}})


def _check(value: Any, place: _Place) -> None:
    if hasattr(value, "as_dict"):  # the parser's own mapping
        value = value.as_dict()
    if isinstance(value, Mapping):
        path, made = value.get("class_path"), next(iter(place.wanted.classes), None)
        if isinstance(path, str):
            made = _permitted(path, place._replace(key=f"{place.key}.class_path"))
        for name, argument in arguments(value):
            hint = Any if made is None else parameter_hint(made, str(name))
            if argument is None and made is not None and not takes_none(made, str(name)):
                raise ConfigError(
                    f"{place.key}.{name} must not be null; leave it out for its default"
                )
            _check(argument, _Place(f"{place.key}.{name}", wanted(hint)))
    elif isinstance(value, list | tuple):
        for item in value:
            _check(item, place)
    elif isinstance(value, str):
        file = value.endswith((".yaml", ".yml", ".json"))  # the parser reads it; checked behind it
        if place.wanted.named and _DOTTED.fullmatch(value) and not file:
            _permitted(value, place)
    elif inspect.isclass(value) or inspect.isroutine(value):
        name = f"{value.__module__}.{value.__qualname__}"
        _refuse_by_name(name, place)
        _refuse_by_type(value, name, place)


def _permitted(path: str, place: _Place) -> Any:
    """The class or function of a dotted path if it may stand there; None for a short name, which is resolved later."""
    if "." not in path:
        return None
    _refuse_by_name(path, place)
    found = _resolve(path)
    if found is not None:  # else the parser says what is wrong with it
        _refuse_by_type(found, path, place)
    return found


def _refuse_by_name(path: str, place: _Place) -> None:
    """Refuse what must not even be imported."""
    parts = path.split(".")
    standard = parts[0] in sys.stdlib_module_names or parts[0] == "builtins"
    loader = any(path == name or path.startswith(f"{name}.") for name in _LOADERS)
    if standard or loader or any(part.startswith("__") for part in parts):
        _refuse(path, place)


def _resolve(path: str) -> Any:
    """What a dotted path names, its module imported; None if there is no such thing."""
    module, _, name = path.rpartition(".")
    if not module:
        return None
    try:
        return getattr(import_module(module), name, None)
    except ModuleNotFoundError:
        return getattr(_resolve(module), name, None)


def _refuse_by_type(found: Any, path: str, place: _Place) -> None:
    """Refuse a class or function that is not what stands there."""
    result = found if inspect.isclass(found) else return_hint(found)
    kind = result if inspect.isclass(result) else None
    fits = kind is not None and place.wanted.fits(kind)
    if not fits and not (place.wanted.untyped and _is_usual(found, kind)):
        _refuse(path, place)


def _is_usual(found: Any, result: type | None) -> bool:
    """Whether something may stand where no type is declared: the usual kinds, or the user's own functions."""
    if result is not None and (
        issubclass(result, _USUAL) or result.__module__.split(".")[0] in _OURS
    ):
        return True
    try:
        file = Path(inspect.getfile(found)).resolve()
    except TypeError:  # built in
        return False
    site = any(part in ("site-packages", "dist-packages") for part in file.parts)
    return inspect.isfunction(found) and not site and file.is_relative_to(Path.cwd())


def _refuse(path: str, place: _Place) -> None:
    names = " or ".join(sorted({c.__name__ for c in place.wanted.classes})) or "a known class"
    raise ConfigError(
        f"{place.key} must name {names} or a subclass, or a function declared to return one, got {path}; "
        "nothing of it was called"
    )
