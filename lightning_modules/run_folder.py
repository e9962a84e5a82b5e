"""The folder of a run: made for one run alone, taken back if the run does not start, and what is recorded in it."""

from __future__ import annotations

import csv
import io
import platform
import re
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import yaml
from lightning_fabric.loggers.logger import rank_zero_experiment
from pytorch_lightning.loggers import CSVLogger
from pytorch_lightning.loggers.csv_logs import ExperimentWriter

from snn_neuromod._provenance import commit, version
from snn_neuromod._storage import append_bytes, write_atomically, write_text_atomically
from snn_neuromod.errors import StorageError

__all__ = ["MetricsLogger", "RunFolder", "claim_version", "next_version", "versions"]

_PACKAGES = ("snn-neuromod", "torch", "pytorch-lightning", "jsonargparse", "numpy", "snntorch")
_TRIES = 100
"""More often than any folder is taken by another run that starts; less often than for ever."""
_UNSERIALISABLE = "Unable to serialize instance"


def _version_of(folder: Path) -> int:
    """Number N of a folder `version_<N>`, -1 for others."""
    match = re.fullmatch(r"version_(\d+)", folder.name)
    return int(match[1]) if match else -1


def versions(folder: Path) -> list[Path]:
    """The runs in the folder of an experiment, the oldest first."""
    found = (path for path in folder.glob("version_*") if _version_of(path) >= 0)
    return sorted(found, key=_version_of)


def next_version(folder: Path) -> Path:
    """First unused `version_<N>` in the folder of an experiment, after all that are there."""
    taken = versions(folder)
    return folder / f"version_{_version_of(taken[-1]) + 1 if taken else 0}"


def claim_version(folder: Path) -> Path:
    """Make the next `version_<N>`, which no other run gets, whenever it starts.

    Raises:
        StorageError: If the folder cannot be made.
    """
    for _ in range(_TRIES):
        path = next_version(folder)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            path.mkdir()
        except FileExistsError as error:
            if not folder.is_dir():
                raise StorageError(f"{folder}: must be a folder, got a file") from error
            continue  # another run was faster
        except FileNotFoundError:
            continue  # another run that did not start has taken the folder above back
        except OSError as error:
            raise StorageError(f"{path}: cannot be made ({error.strerror})") from error
        return path
    raise StorageError(f"{path}: cannot be made (no such place)")


class RunFolder(pl.Callback):
    """Announces the folder when training begins; knows whether there is anything in it to keep.

    Writes `config.yaml`, which repeats the run, and `run.yaml`, which says what ran, into it.

    Args:
        folder: The folder, or None where nothing is kept.
        root: Folder of all runs.
        resumed: The checkpoint that the run goes on from.
        config: The configuration.
        command: Arguments of the command line.

    Attributes:
        started: Whether a batch has been finished.
    """

    def __init__(
        self,
        folder: Path | None,
        root: Path,
        *,
        resumed: str | None = None,
        config: Mapping[str, Any] | None = None,
        command: Sequence[str] = (),
    ) -> None:
        self.folder, self.root, self.resumed = folder, root, resumed
        self.config, self.command = dict(config or {}), list(command)
        self.started = False

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        if self.folder is None or stage != "fit" or not trainer.is_global_zero:
            return
        ran = {"command": ["snn-neuromod", *self.command], **record()}
        for name, content in (("config.yaml", self.config), ("run.yaml", ran)):
            write_text_atomically(self.folder / name, yaml.safe_dump(content, sort_keys=False))

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.folder is not None and trainer.is_global_zero:
            more = f", resuming {self.resumed}" if self.resumed else ""
            print(f"run folder {self.folder}{more}", flush=True)

    def on_train_batch_end(self, *args: Any) -> None:
        self.started = True

    def on_test_batch_end(self, *args: Any) -> None:
        self.started = True  # also without any training

    def take_back(self) -> None:
        """Remove the folder of a run that did not start, and folders above it that are empty then."""
        if self.folder is None or self.started:
            return
        shutil.rmtree(self.folder, ignore_errors=True)
        folder = self.folder.parent
        while folder.is_relative_to(self.root) and folder != folder.parent:
            try:
                folder.rmdir()
            except OSError:  # not empty, or the working folder itself
                return
            folder = folder.parent


def without_unserialisable(config: Any, values: Any = None) -> Any:
    """Leave out values that YAML cannot hold, such as the device that a callback has by default.

    Args:
        config: What the parser has written.
        values: What it was written from; a text there is one, also where the parser looked for a function.
    """
    if isinstance(config, dict):
        inside = {key: values.get(key) if hasattr(values, "get") else None for key in config}
        kept = {key: without_unserialisable(value, inside[key]) for key, value in config.items()}
        return {key: v for key, v in kept.items() if not str(v).startswith(_UNSERIALISABLE)}
    if isinstance(config, list):
        of = values if isinstance(values, list) else [None] * len(config)
        return [without_unserialisable(v, value) for v, value in zip(config, of, strict=True)]
    lost = str(config).startswith(_UNSERIALISABLE) and isinstance(values, str)
    return values if lost else config


def record() -> dict[str, Any]:
    """What ran: when, on what, and the versions of everything that makes the numbers."""
    return {
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "commit": commit(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "versions": {name: version(name) for name in _PACKAGES},
    }


class MetricsLogger(CSVLogger):
    """Lightning's logger of `metrics.csv`, which a kill at any moment leaves readable.

    Values of single neurons stand behind all others.
    """

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        if self._experiment is None:
            self._experiment = _MetricsWriter(self.log_dir)
        return self._experiment


class _MetricsWriter(ExperimentWriter):
    _header: tuple[str, ...] = ()  # of the file, which may have had no place for another one

    def save(self) -> None:
        if not self.metrics:
            return
        self._record_new_keys()
        path = Path(self.metrics_file_path)
        lines = io.StringIO(newline="")
        writer = csv.DictWriter(lines, fieldnames=self.metrics_keys)
        if self._header != tuple(self.metrics_keys):  # the whole file again, with another one
            writer.writeheader()
            if path.is_file():
                with path.open(newline="", encoding="utf-8") as file:
                    writer.writerows(csv.DictReader(file))
            writer.writerows(self.metrics)
            write_atomically(path, lambda file: file.write(lines.getvalue().encode()))
            self._header = tuple(self.metrics_keys)
        else:
            writer.writerows(self.metrics)
            append_bytes(path, lines.getvalue().encode())  # whole lines at once
        self.metrics = []

    def _record_new_keys(self) -> set[str]:
        new: set[str] = super()._record_new_keys()
        self.metrics_keys.sort(key=lambda name: (name.startswith("modulation/"), name))
        return new
