"""What a run says: warnings that no user can act on are left out."""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lightning_modules.findings import FindingsWarning

__all__ = ["quiet"]

_FORMAT = warnings.formatwarning
_LOGGERS = (
    "pytorch_lightning.utilities.rank_zero",
    "lightning_fabric.utilities.seed",
    "lightning_fabric.utilities.distributed",
)
# Warnings of Lightning that no user of a configuration can act on.
_QUIET = (
    ".*does not have many workers",
    ".*number of training batches .* is smaller than the logging interval",
    ".*LeafSpec",
    "Total length of `list` across ranks is zero",  # val_fraction: 0
    # Names that jsonargparse deprecates and Lightning calls.
    "(?s).*(``instantiate_classes`` was|skip_none parameter was|JsonargparseDeprecationWarning per type)",
    "Be aware that when using `ckpt_path`",
    "The dirpath has changed",
    "It is recommended to use `self.log",  # sums over processes are made before
    "Using `DistributedSampler` with the dataloaders",
    "Experiment logs directory .* exists",
    "Checkpoint directory .* exists",
    r"(?s)\s*Unable to serialize instance",  # left out of config.yaml
)


def _plain(message: Any, category: type[Warning], *where: Any, **more: Any) -> str:
    """Text of a warning; findings stand without the line of the source that says them."""
    if issubclass(category, FindingsWarning):
        return f"snn-neuromod: warning: {message}\n"
    return _FORMAT(message, category, *where, **more)


@contextmanager
def quiet() -> Iterator[None]:
    """Silence what no user can act on, for the time of a run."""
    before = threading.excepthook

    def of_a_thread(end: Any) -> None:
        # Of a full disk TensorBoard's thread speaks again, where the run waits for it.
        if not isinstance(end.exc_value, OSError):
            before(end)

    levels = {logger: logger.level for logger in map(logging.getLogger, _LOGGERS)}
    with warnings.catch_warnings():
        for message in _QUIET:
            warnings.filterwarnings("ignore", message=message)
        warnings.filterwarnings("always", category=FindingsWarning)
        warnings.formatwarning, threading.excepthook = _plain, of_a_thread
        for logger in levels:
            logger.setLevel(logging.WARNING)
        try:
            yield
        finally:
            warnings.formatwarning, threading.excepthook = _FORMAT, before
            for logger, level in levels.items():
                logger.setLevel(level)
