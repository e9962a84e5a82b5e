"""What the command line accepts beyond plain LightningCLI: short names, bases, run folders, checkpoints by folder."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from lightning_modules.class_paths import check_class_paths
from lightning_modules.cli_parser import MERGED
from lightning_modules.command_line import options
from lightning_modules.config_files import config_root, find_config, load_config, merge
from lightning_modules.run_folder import versions
from snn_neuromod.errors import ConfigError

__all__ = ["Arguments", "checkpoint_of", "folder_of", "prepare", "take"]


class Arguments(NamedTuple):
    """A command line made ready for LightningCLI.

    Attributes:
        args: The arguments; `MERGED` of `cli_parser` stands for the configurations.
        name: Name of the experiment, which names its folder.
        root: Folder of all runs.
        config: The configuration.
        rest: The arguments besides.
    """

    args: list[str]
    name: str
    root: Path
    config: dict[str, Any]
    rest: list[str]


def prepare(args: Sequence[str]) -> Arguments:
    """Resolve the configurations of a command line and its checkpoint.

    Args:
        args: Arguments behind the name of the program, one of `command_line.COMMANDS` first.

    Returns:
        The arguments for LightningCLI and the name of the experiment.

    Raises:
        ConfigError: If a configuration or a checkpoint is not there, or a configuration cannot be read or names a
            class that must not stand there.
    """
    command, rest = args[0], list(args[1:])
    rest, configs = take(rest, ("-c", "--config"))
    rest, checkpoints = take(rest, ("--ckpt_path",))
    if checkpoints and not configs:
        configs = [_config_of(checkpoints[-1])]
    merged: dict[str, Any] = {}
    for config in configs:
        merged = merge(merged, load_config(config))
    root = _root(merged, rest)
    name = _experiment_name(configs[0], root) if configs else ""
    checkpoint = _checkpoint(checkpoints[-1], root, name) if checkpoints else None
    if command != "fit" and checkpoint is None and not _asks_only(rest):
        raise ConfigError(
            f"{command}: --ckpt_path must be given, for instance --ckpt_path "
            f"{root / (name or 'quickstart')}/version_0; without it the network would be untrained"
        )
    rest = _swap(merged, rest)
    check_class_paths(merged)
    _refuse_overlay(command, merged, configs, rest)
    ready = [command]
    if configs:
        ready += ["--config", MERGED]
    if checkpoint is not None:
        ready += ["--ckpt_path", str(checkpoint)]
    return Arguments([*ready, *rest], name or "unnamed", root, merged, rest)


def _root(config: dict[str, Any], args: list[str]) -> Path:
    """Folder of all runs, by the command line, else by the configuration."""
    _, given = take(args, ("--trainer.default_root_dir",))
    roots = [config.get("trainer", {}).get("default_root_dir"), *given]
    root = str(next((r for r in reversed(roots) if r not in (None, "null")), "runs"))
    if "\0" in root:
        raise ConfigError(f"trainer.default_root_dir must be a path, got {root!r}")
    return Path(root)


def _refuse_overlay(
    command: str, config: dict[str, Any], configs: list[str], rest: list[str]
) -> None:
    """Say in words what is missing of a configuration that is no run of its own."""
    missing = [
        key for key in ("data", "model")
        if key not in config and not any(arg.startswith(f"--{key}") for arg in rest)
    ]  # fmt: skip
    if not missing or _asks_only(rest):
        return
    if configs:
        raise ConfigError(
            f"{configs[-1]} is only an overlay, without {' and '.join(missing)}: lay it over a configuration, for "
            f"instance snn-neuromod {command} -c quickstart -c {configs[-1]}"
        )
    raise ConfigError(
        f"{command}: -c CONFIG must be given, for instance -c quickstart; required: {', '.join(missing)}"
    )


def _swap(config: dict[str, Any], args: list[str]) -> list[str]:
    """Let another class given for a key of the configuration start with fresh arguments, as it does in a file.

    Returns the arguments besides.
    """
    rest = []
    for key, value, given in options(args):
        plain = key.startswith("--") and not key.endswith("+")
        if not (plain and _another_class(config, key[2:].split("."), value)):
            rest += given
    return rest


def _another_class(config: dict[str, Any], key: list[str], value: str) -> bool:
    """Put another class, or a name in the place of one, into a configuration; False if the key holds none."""
    if not value.replace(".", "").isidentifier() or value in ("null", "true", "false", "None"):
        return False
    *above, last = [part for part in key if part not in ("init_args", "class_path")] or [""]
    node: Any = config
    for part in above:
        node = _holder(node, part).get(part)
    at = _holder(node, last)
    path = at[last].get("class_path") if isinstance(at.get(last), dict) else None
    if not isinstance(path, str) or path == value or path.endswith(f".{value}"):
        return False
    at[last] = value
    return True


def _holder(node: Any, part: str) -> dict[str, Any]:
    """The mapping in which a key stands: a part of a configuration, or the arguments of the class there."""
    node = node if isinstance(node, dict) else {}
    arguments = node.get("init_args")
    return arguments if part not in node and isinstance(arguments, dict) else node


def _experiment_name(config: str, root: Path) -> str:
    """Name of an experiment: the short name of its configuration, or the stem of a file of one's own."""
    path = find_config(config).resolve()
    # `resolve` raises where links lead in a circle, of which the system speaks when the folder is made.
    for folder in (config_root().resolve(), Path(os.path.realpath(root))):
        if path.is_relative_to(folder):
            inside = path.relative_to(folder).with_suffix("")
            return (inside.parents[1] if path.name == "config.yaml" else inside).as_posix()
    of_a_run = path.name == "config.yaml" and path.parent in versions(path.parents[1])
    return path.parents[1].name if of_a_run else path.stem


def _asks_only(rest: list[str]) -> bool:
    return any(arg in ("-h", "--help") or arg.startswith("--print_config") for arg in rest)


def take(args: Sequence[str], keys: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """Split off the values of some options: (the other arguments, the values)."""
    others, values = list[str](), list[str]()
    for key, value, given in options(args):
        if key not in keys:
            others += given
        elif value:
            values.append(value)
        else:
            raise ConfigError(f"{key} must be followed by a value, got nothing")
    return others, values


def _checkpoint(given: str, root: Path, name: str) -> Path:
    """The checkpoint file that `--ckpt_path` means."""
    if given == "last":
        runs = [path / "checkpoints" / "last.ckpt" for path in versions(root / name)]
        runs = [path for path in runs if path.is_file()]
        if not runs:
            raise ConfigError(
                f"--ckpt_path last must find a run in {root / name}, got none; start one without --ckpt_path"
            )
        return runs[-1]
    return checkpoint_of(given, "--ckpt_path")


def checkpoint_of(given: str, who: str) -> Path:
    """The checkpoint file that the folder of a run, or a checkpoint, means."""
    path = Path(given)
    if path.is_dir():
        path = path / "checkpoints" / "last.ckpt"
    if not path.is_file():
        raise ConfigError(
            f"{who} must be a checkpoint or the folder of a run, got {given}: no such file"
        )
    return path


def folder_of(checkpoint: Path) -> Path:
    """Folder of the run of a checkpoint; the working folder for a checkpoint that lies elsewhere."""
    place = checkpoint.resolve().parent
    in_a_run = place.name == "checkpoints" and (place.parent / "config.yaml").is_file()
    return Path(os.path.relpath(place.parent)) if in_a_run else Path()


def _config_of(given: str) -> str:
    """Configuration of the run that a checkpoint belongs to."""
    if given == "last":
        raise ConfigError("--ckpt_path last must come with a configuration: add -c NAME")
    checkpoint = checkpoint_of(given, "--ckpt_path")
    config = checkpoint.resolve().parents[1] / "config.yaml"
    if not config.is_file():
        raise ConfigError(
            f"--ckpt_path must lie in the folder of a run with its config.yaml, got {checkpoint}; or add -c NAME"
        )
    return str(config)
