"""`snn-neuromod export`: the network of a run as a file for other tools, NIR or ONNX."""

from __future__ import annotations

import argparse
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import nir
import pytorch_lightning as pl
from torch import nn

from lightning_modules.checkpoints import read_checkpoint
from lightning_modules.class_paths import check_class_paths
from lightning_modules.cli_arguments import checkpoint_of
from lightning_modules.cli_parser import Parser
from lightning_modules.config_files import load_config
from lightning_modules.export_network import exportable
from lightning_modules.export_onnx import write_onnx
from snn_neuromod._storage import write_atomically
from snn_neuromod.errors import ConfigError, KindError, RunError
from snn_neuromod.nir import to_nir

__all__ = ["export", "network_of"]


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"export: {message}")


def export(args: Sequence[str]) -> None:
    """Write the network of a run.

    Args:
        args: Arguments behind `snn-neuromod export`: the folder of a run or a checkpoint in it, and options.

    Raises:
        ConfigError: If the arguments are wrong.
        RunError: If the network cannot be written in that format, or a package for it is missing.
        StorageError: If the file cannot be written; what was there is there still.
    """
    parser = _Parser(prog="snn-neuromod export", allow_abbrev=False)
    parser.add_argument("run", metavar="RUN", help="folder of a run, or a checkpoint in it")
    parser.add_argument("--format", choices=("nir", "onnx"), default="nir")
    parser.add_argument(
        "--output", type=Path, help="file to write; default: network.FORMAT in the run's folder"
    )
    parser.add_argument(
        "--dt", type=float, help="NIR: time step of the reader in ms; default: the network's own"
    )
    parser.add_argument(
        "--soft_reset", choices=("graph", "lif"), default="graph", help="NIR: see snn_neuromod.nir.to_nir"
    )  # fmt: skip
    given = parser.parse_args(list(args))
    checkpoint = checkpoint_of(given.run, "export: RUN")
    folder = checkpoint.resolve().parents[1]
    network = exportable(network_of(checkpoint))
    target = given.output or folder / f"network.{given.format}"
    if given.format == "onnx":
        write_onnx(network, target)
    else:
        try:
            graph = to_nir(network, dt=given.dt, soft_reset=given.soft_reset)
        except KindError as error:
            raise RunError(str(error)) from error
        whole = io.BytesIO()  # HDF5's library goes back and forth in its file
        nir.write(whole, graph)
        write_atomically(target, lambda file: file.write(whole.getbuffer()))
    print(f"{given.format} {target}", *network.notes, sep="\n")


def network_of(checkpoint: Path) -> nn.Module:
    """The trained network of a run.

    Args:
        checkpoint: A checkpoint in the folder of the run, beside whose folder its config.yaml lies.

    Raises:
        RunError: If the checkpoint does not fit the configuration.
    """
    config = load_config(str(checkpoint.resolve().parents[1] / "config.yaml"))
    check_class_paths(config)
    parser = Parser(exit_on_error=False)
    parser.add_lightning_class_args(pl.LightningModule, "model", subclass_mode=True)
    task: Any = parser.instantiate_classes(parser.parse_object({"model": config["model"]})).model
    try:
        task.load_state_dict(read_checkpoint(checkpoint)["state_dict"])
    except RunError as error:
        raise RunError(f"{checkpoint}: the checkpoint must fit config.yaml: {error}") from error
    network: nn.Module = task.network.eval()
    return network
