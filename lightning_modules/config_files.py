"""The configuration files that come with the package, found by a short name."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from itertools import takewhile
from pathlib import Path
from typing import Any

_SECTIONS = ("trainer", "model", "data", "pictures")


def config_root() -> Path:
    """Folder of the configurations: inside an installed package, or `configs/` of a checkout."""
    package = Path(__file__).resolve().parent
    installed = package / "configs"
    return installed if installed.is_dir() else package.parent / "configs"


def available_configs() -> list[str]:
    """Short names of all configurations, sorted, such as `mnist/msrc`."""
    root = config_root()
    return sorted(
        path.relative_to(root).with_suffix("").as_posix() for path in root.rglob("*.yaml")
    )


def listing() -> str:
    """All configurations, each with a sentence and with what was measured."""
    rows = [(name, *_described(config_root() / f"{name}.yaml")) for name in available_configs()]
    width = max(len(name) for name, *_ in rows)
    lines = [
        f"{name:<{width}}  {text}{f'  [{result}]' if result else ''}" for name, text, result in rows
    ]
    return "\n".join(lines)


def _described(path: Path) -> tuple[str, str]:
    """First sentence of a configuration's header, and what stands behind "Measured:" in it."""
    lines = path.read_text(encoding="utf-8").splitlines()
    header = [
        line.removeprefix("#").strip() for line in takewhile(lambda s: s.startswith("#"), lines)
    ]
    measured = next((line for line in header if line.startswith("Measured: ")), "")
    words = " ".join(takewhile(bool, (line for line in header if line != measured)))
    sentence = re.split(r"(?<=[^.\s][^.\s])[.:;] |\.$", words, maxsplit=1)[0]
    return sentence, measured.removeprefix("Measured: ")


def find_config(name: str | Path) -> Path:
    """Find a configuration by its path or by its short name.

    Args:
        name: Path of an existing file, which is taken as it is, or the name of a configuration of
            this package, with or without `.yaml`, such as `quickstart` or `mnist/msrc`.

    Returns:
        Path of the configuration file.

    Raises:
        MissingConfigError: If there is neither such a file nor such a configuration; the message says which names
            come close. It is a FileNotFoundError too.

    Example:
        >>> find_config("quickstart").name
        'quickstart.yaml'
    """
    return _or_raise(look_up(name))


def look_up(name: str | Path) -> Path | str:
    """What `find_config` finds, or what to say of a name of neither a file nor a configuration; needs no torch."""
    path = Path(name)
    try:
        return path if path.is_file() else _shipped(path)
    except OSError:  # such as one that is too long
        return f"find_config: name must be a file, got {str(name)[:80]!r}"


def _shipped(name: Path) -> Path | str:
    """A configuration of this package by its short name, or what to say of another name."""
    short = (name.with_suffix("") if name.suffix == ".yaml" else name).as_posix()
    known = available_configs()
    if short in known:
        return config_root() / f"{short}.yaml"
    close = difflib.get_close_matches(short, known, n=3, cutoff=0.4)
    meant = f"did you mean {' or '.join(close)}? " if close else ""
    return (
        f"find_config: name must be an existing file or a configuration, got {str(name)!r}; {meant}"
        "snn-neuromod --help lists all"
    )


def load_config(name: str | Path) -> dict[str, Any]:
    """Read a configuration, on top of those that its key `base` names.

    `base` is one name or a list; a later one overrides an earlier one, and the file itself overrides all. A name is the
    path of a file seen from the folder of this one, with or without `.yaml`, or else the short name of a configuration
    of this package; the working folder does not matter. Mappings are merged key by key, except where the file names
    another `class_path`, whose arguments start afresh; everything else is replaced. A section without content
    (`trainer:`) changes nothing.

    Args:
        name: As in `find_config`.

    Returns:
        The merged configuration, without `base`.

    Raises:
        MissingConfigError: If a file is not there.
        ConfigError: If a file is not a mapping in YAML, holds a key twice, or a base leads back to itself.

    Example:
        >>> sorted(load_config("quickstart"))
        ['data', 'model', 'seed_everything', 'trainer']
    """
    return _load(find_config(name), (), {})


def _load(path: Path, above: tuple[Path, ...], known: dict[Path, dict[str, Any]]) -> dict[str, Any]:
    """Read a file that those above it have as a base, once, however many do."""
    path = path.resolve()
    if path in known:
        return known[path]
    if path in above:
        raise _error(path, "base must not lead back to the file itself")
    own = _read(path)
    bases = own.pop("base", None) or []
    bases = bases if isinstance(bases, list) else [bases]
    merged: dict[str, Any] = {}
    for base in bases:
        if not isinstance(base, str):
            raise _error(path, f"base must be a name or a list of names, got {base!r}")
        merged = merge(merged, _load(_find_base(path, base), (*above, path), known))
    known[path] = merge(merged, own)
    return known[path]


def _read(path: Path) -> dict[str, Any]:
    """The mapping in a file, without sections that are empty."""
    import yaml

    from lightning_modules.yaml_text import parsed

    try:
        own = parsed(path.read_text(encoding="utf-8-sig")) or {}
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        raise _error(f"{path}{where}", f"must be YAML, got: {error.problem}") from error
    except OSError as error:
        raise _error(path, f"cannot be read ({error.strerror})") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # not text, a date of month 13
        raise _error(path, f"must be YAML, got: {' '.join(str(error).split())}") from error
    if not isinstance(own, dict):
        raise _error(path, f"must hold a mapping, got {type(own).__name__}")
    for section in _SECTIONS:
        value = own.get(section, {})
        if value is None:
            del own[section]
        elif not isinstance(value, dict) and section == "trainer":
            raise _error(path, f"{section} must be a mapping, got {value!r}")
    return own


def _find_base(path: Path, base: str) -> Path:
    """The file that `base` means in the file `path`."""
    for beside in (path.parent / base, path.parent / f"{base}.yaml"):
        if beside.is_file():
            return beside
    found = _shipped(Path(base))
    if isinstance(found, str):
        found = f"{path}: base must be a file beside it or a configuration: {found}"
    return _or_raise(found)


def _or_raise(found: Path | str) -> Path:
    """A file that was found, or else an error that says what was not."""
    if isinstance(found, Path):
        return found
    # Needs torch, which a command that asks for help does not wait for.
    from snn_neuromod.errors import MissingConfigError

    raise MissingConfigError(found)


def _error(where: object, what: str) -> Exception:
    from snn_neuromod.errors import ConfigError

    return ConfigError(f"load_config: {where}: {what}")


def arguments(node: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """What stands at the keys of a part of a configuration, or is an argument of the class there."""
    for key, value in node.items():
        if key in ("init_args", "dict_kwargs") and isinstance(value, Mapping):
            yield from value.items()
        elif key != "class_path":
            yield key, value


def named(config: Mapping[str, Any], *parts: str) -> dict[str, Any]:
    """Values by short names such as `model.network.neuron`, in which `class_path` and `init_args` leave no trace.

    Example:
        >>> named({"model": {"class_path": "a.Task", "init_args": {"sizes": [1, 2], "loss": None}}})
        {'model': 'Task', 'model.sizes': [1, 2], 'model.loss': None}
    """
    found: dict[str, Any] = {}
    if "class_path" in config:
        found[".".join(parts)] = str(config["class_path"]).rpartition(".")[2]
    for key, value in arguments(config):
        own = (*parts, key)
        found |= named(value, *own) if isinstance(value, Mapping) else {".".join(own): value}
    return found


def merge(low: dict[str, Any], high: dict[str, Any]) -> dict[str, Any]:
    """Lay one configuration over another, as described in `load_config`.

    Example:
        >>> merge({"a": {"b": 1, "c": 2}}, {"a": {"c": 3}})
        {'a': {'b': 1, 'c': 3}}
        >>> merge({"class_path": "A", "init_args": {"x": 1}}, {"class_path": "B"})
        {'class_path': 'B'}
    """
    if "class_path" in high and high["class_path"] != low.get("class_path"):
        return dict(high)
    merged = dict(low)
    for key, value in high.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = merge(merged[key], value) if both else value
    return merged
