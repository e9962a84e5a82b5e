"""Callbacks: interruption that loses nothing, progress for log files, modulation logged."""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from lightning_modules.networks import modulations

__all__ = ["Interrupt", "LogProgress", "ModulationLog"]


# Values beyond are in none of the intervals of a histogram of TensorBoard, which raises where all are.
_SHOWN = 1e20


class Interrupt(pl.Callback):
    """On Ctrl-C finish the batch and the step it belongs to, save, and stop; a second Ctrl-C stops at once.

    Lightning's own handling stops in the middle of a batch, perhaps of the optimiser's step, so that what it saves
    could not be resumed exactly. A run of one process does the same on SIGTERM, which schedulers of jobs send some
    time before they kill; one of several may wait there for a process that is gone.

    Args:
        checkpoint: File to save to.

    Attributes:
        interrupted: Whether such a signal came.
    """

    def __init__(self, checkpoint: Path) -> None:
        self.checkpoint = checkpoint
        self.interrupted = False
        self._previous: dict[int, Any] = {}

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._listen(signal.SIGINT)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if (
            trainer.world_size == 1
        ):  # Lightning's own handler, put in place just before, ends the epoch unsaved
            self._listen(signal.SIGTERM)

    def _listen(self, number: int) -> None:
        self._previous[number] = signal.signal(number, self._handle)

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: pl.LightningModule, out: Any, batch: Any, batch_idx: int
    ) -> None:
        # Gradients that are gathered for a step are in no checkpoint.
        stepped = (batch_idx + 1) % trainer.accumulate_grad_batches == 0 or trainer.is_last_batch
        if self.interrupted and stepped:
            trainer.save_checkpoint(self.checkpoint, weights_only=False)
            raise KeyboardInterrupt

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.restore()

    def restore(self) -> None:
        """Give the signals back to whoever had them."""
        for number, handler in self._previous.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._previous = {}

    def _handle(self, signum: int, frame: Any) -> None:
        self.interrupted = True
        self.restore()
        again = "; Ctrl-C again stops at once" if signum == signal.SIGINT else ""
        print(f"\nSaving after this batch{again}.", file=sys.stderr, flush=True)


class ModulationLog(pl.Callback):
    """Log the modulation of every neuron that learns it, before the first epoch and after each.

    TensorBoard gets a histogram `modulation/<k>` of each layer k, counted from 1; other loggers, such as the one of
    `metrics.csv`, get the value of each neuron, `modulation/<k>/<neuron>`. A resumed run logs none before
    its first epoch.
    """

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.current_epoch == 0 and trainer.global_step == 0:
            self._log(trainer, pl_module, {})

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._log(trainer, pl_module, {"epoch": float(trainer.current_epoch)})

    def _log(self, trainer: pl.Trainer, module: pl.LightningModule, when: dict[str, float]) -> None:
        found = modulations(module.network, learned=True)  # type: ignore[arg-type]
        values = {
            f"modulation/{k}/{i}": float(value)
            for k, layer in found.items()
            for i, value in enumerate(layer)
        }
        for logger in trainer.loggers if found else ():
            histogram = getattr(getattr(logger, "experiment", None), "add_histogram", None)
            if histogram is None:
                logger.log_metrics({**when, **values}, step=trainer.global_step)
                continue
            for k, layer in found.items():
                shown = layer[layer.abs() < _SHOWN]  # NaN is in no interval either
                if len(shown):
                    histogram(f"modulation/{k}", shown, trainer.global_step)


class LogProgress(pl.Callback):
    """One line per epoch, for output that is not a terminal."""

    def __init__(self) -> None:
        self._start = 0.0
        self._finished: str | None = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._start = time.monotonic()

    # A module's own hook at the end of an epoch runs after the callbacks', so the line waits for the next hook.
    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._report(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        total = f"/{trainer.max_epochs}" if (trainer.max_epochs or -1) > 0 else ""
        self._finished = f"{trainer.current_epoch + 1}{total}"

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._report(trainer)

    def _report(self, trainer: pl.Trainer) -> None:
        if not trainer.is_global_zero or self._finished is None:
            return
        metrics = sorted(trainer.callback_metrics.items())
        shown = [f"{k} {v:.4f}" for k, v in metrics if k.endswith(("/loss", "/accuracy"))]
        seconds = time.monotonic() - self._start
        print(f"epoch {self._finished}  {'  '.join(shown)}  {seconds:.0f} s", flush=True)
        self._finished = None
