"""Rewiring of sparse networks during training, as a callback."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl

from snn_neuromod.errors import ConfigError
from snn_neuromod.rewiring import DeepRewiring

__all__ = ["Rewiring"]


class Rewiring(pl.Callback):
    """Deep R after every step of the optimiser: synapses whose weights cross zero are replaced by others.

    For networks whose `Recurrent` layers have a mask; see `snn_neuromod.rewiring`. Logs `rewiring/moved`, the synapses
    replaced per step, and `rewiring/synapses`, their number. A resumed run goes on with the same signs and the same
    randomness.

    Args:
        l1: Pull of the weights towards zero, >= 0.
        temperature: Strength of the noise, >= 0.
        seed: Seed of signs, noise and growth.

    Raises:
        ValueError: When a run starts, if an argument is negative, no layer has a mask, or there are several optimisers.
    """

    def __init__(self, l1: float = 0.0, temperature: float = 0.0, seed: int = 0) -> None:
        self.options: dict[str, Any] = {"l1": l1, "temperature": temperature, "seed": seed}
        self.rewiring: DeepRewiring | None = None
        self._restored: dict[str, Any] | None = None
        self._last_step = 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if len(trainer.optimizers) != 1:
            raise ConfigError(
                f"Rewiring: the task must have one optimizer, got {len(trainer.optimizers)}"
            )
        self.rewiring = DeepRewiring(pl_module, trainer.optimizers[0], **self.options)
        if self._restored is not None:
            self.rewiring.load_state_dict(self._restored)
            self._restored = None
        self._last_step = trainer.global_step

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *args: Any
    ) -> None:
        if self.rewiring is None or trainer.global_step == self._last_step:
            return  # gradients are still being accumulated
        self._last_step = trainer.global_step
        moved, total = self.rewiring.step().counts.float()  # not read here
        found = {"rewiring/moved": moved, "rewiring/synapses": total}
        pl_module.log_dict(found, on_step=False, on_epoch=True, batch_size=1)

    def state_dict(self) -> dict[str, Any]:
        return {} if self.rewiring is None else self.rewiring.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._restored = state_dict or None
