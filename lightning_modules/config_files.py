"""The configuration files that come with the package, found by a short name."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any


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


def find_config(name: str | Path) -> Path:
    """Find a configuration by its path or by its short name.

    Args:
        name: Path of an existing file, which is taken as it is, or the name of a configuration of
            this package, with or without `.yaml`, such as `quickstart` or `mnist/msrc`.

    Returns:
        Path of the configuration file.

    Raises:
        FileNotFoundError: If there is neither such a file nor such a configuration; the message says which names come
            close.

    Example:
        >>> find_config("quickstart").name
        'quickstart.yaml'
    """
    path = Path(name)
    if path.is_file():
        return path
    short = path.with_suffix("") if path.suffix == ".yaml" else path
    known = available_configs()
    if short.as_posix() in known:
        return config_root() / f"{short.as_posix()}.yaml"
    close = difflib.get_close_matches(short.as_posix(), known, n=3, cutoff=0.4)
    meant = f"did you mean {' or '.join(close)}? " if close else ""
    raise FileNotFoundError(
        f"find_config: name must be an existing file or a configuration, got {str(name)!r}; {meant}"
        "snn-neuromod --help lists all"
    )


def load_config(name: str | Path) -> dict[str, Any]:
    """Read a configuration, on top of those that its key `base` names.

    `base` is one name or a list; a later one overrides an earlier one, and the file itself overrides all. A name is a
    file beside this one, or as in `find_config`. Mappings are merged key by key, except where the file names another
    `class_path`, whose arguments start afresh; everything else is replaced.

    Args:
        name: As in `find_config`.

    Returns:
        The merged configuration, without `base`.

    Raises:
        FileNotFoundError: If a file is not there.
        ValueError: If a file is not a mapping in YAML, or a base leads back to itself.

    Example:
        >>> sorted(load_config("quickstart"))
        ['data', 'model', 'seed_everything', 'trainer']
    """
    return _load(find_config(name), ())


def _load(path: Path, above: tuple[Path, ...]) -> dict[str, Any]:
    import yaml

    path = path.resolve()
    if path in above:
        raise ValueError(f"load_config: base must not lead back to the file itself, got {path}")
    try:
        own = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(
            f"load_config: {path} must be YAML, got: {' '.join(str(error).split())}"
        ) from error
    if not isinstance(own, dict):
        raise ValueError(f"load_config: {path} must hold a mapping, got {type(own).__name__}")
    bases = own.pop("base", [])
    merged: dict[str, Any] = {}
    for base in [bases] if isinstance(bases, str) else bases:
        beside = path.parent / f"{base}.yaml"
        found = beside if beside.is_file() else find_config(base)
        merged = merge(merged, _load(found, (*above, path)))
    return merge(merged, own)


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
