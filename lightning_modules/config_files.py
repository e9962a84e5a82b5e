"""The configuration files that come with the package, found by a short name."""

from __future__ import annotations

from pathlib import Path


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
        FileNotFoundError: If there is neither such a file nor such a configuration; the message
            lists the names that exist.

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
    names = ", ".join(known)
    raise FileNotFoundError(
        f"find_config: name must be an existing file or one of {names}, got {str(name)!r}"
    )
