"""Completion of `snn-neuromod` by the tab key, from a description of its commands that shtab turns into a script."""

from __future__ import annotations

import argparse
import inspect

import pytorch_lightning as pl
import shtab

from lightning_modules.command_line import COMMANDS
from lightning_modules.config_files import available_configs, load_config, named
from lightning_modules.pictures import Pictures
from snn_neuromod.errors import ConfigError

__all__ = ["script"]

_FILES = ("--ckpt_path", "--output", "--input", "--data.root")
# The names of configurations, and files.
_PREAMBLE = {
    "bash": '_snn_neuromod_configs() {{ compgen -W "{names}" -- "$1"; compgen -f -X "!*.y*ml" -- "$1"; }}',
    "zsh": '_snn_neuromod_configs() {{ compadd -- {names}; _files -g "*.y(a|)ml"; }}',
}
_CONFIG = dict.fromkeys(_PREAMBLE, "_snn_neuromod_configs") | {"tcsh": "f:*.yaml"}


def script(shell: str) -> str:
    """A script for a shell's start-up file: `snn-neuromod completion bash >> ~/.bashrc`.

    jsonargparse can hand its own parser to shtab, but then goes through all classes that could stand anywhere, which
    takes minutes. This one knows the options of Lightning's trainer and those that the shipped configurations use.

    Args:
        shell: Such as "bash" or "zsh".

    Raises:
        ConfigError: If shtab knows no such shell.
    """
    if shell not in shtab.SUPPORTED_SHELLS:
        raise ConfigError(
            f"completion must be for {', '.join(shtab.SUPPORTED_SHELLS)}, got {shell}"
        )
    preamble = _PREAMBLE.get(shell, "").format(names=" ".join(available_configs()))
    text: str = shtab.complete(_parser(), shell=shell, preamble=preamble)
    return text.rstrip()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="snn-neuromod", description="Spiking neural networks")
    parser.add_argument("--version", action="store_true", help="version of the package")
    commands = parser.add_subparsers(dest="command")
    options = sorted(_options())
    for name in COMMANDS:
        more = {"fit": ["--seeds"], "predict": ["--input", "--output"]}.get(name, [])
        command = commands.add_parser(name, help=name)
        command.add_argument("-c", "--config", help="configuration").complete = _CONFIG  # type: ignore[attr-defined]
        for option in [*more, *options]:
            argument = command.add_argument(option, help=option.removeprefix("--"))
            if option in _FILES:
                argument.complete = shtab.FILE  # type: ignore[attr-defined]
    export = commands.add_parser("export", help="the network of a run for other tools")
    export.add_argument("run", help="folder of a run").complete = shtab.FILE  # type: ignore[attr-defined]
    export.add_argument("--format", choices=("nir", "onnx"), help="format")
    commands.add_parser("list", help="all configurations")
    shells = commands.add_parser("completion", help="a script like this one")
    shells.add_argument("shell", choices=shtab.SUPPORTED_SHELLS)
    return parser


def _options() -> set[str]:
    """Options of the trainer and the pictures, of a run, and all that a shipped configuration sets."""
    found = {"--ckpt_path", "--monitor", "--monitor_mode", "--seed_everything", "--print_config"}
    for name, kind in (("trainer", pl.Trainer), ("pictures", Pictures)):
        found |= {f"--{name}.{key}" for key in inspect.signature(kind).parameters}
    for name in available_configs():
        found |= {f"--{key}" for key in named(load_config(name)) if "." in key}
    return found
