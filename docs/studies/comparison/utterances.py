"""Errors of each test utterance, for intervals over utterances."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl

__all__ = ["UtteranceErrors"]


class UtteranceErrors(pl.Callback):
    """Log how many frames of each test utterance count and are wrong, `test/frames/<k>` and `test/wrong/<k>`.

    Utterances are counted in the order of the test data, which is the same for all runs on a corpus. A frame of which
    several classes have the highest score is wrong in part, as in `test/error`.
    """

    def on_test_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._counts: list[tuple[float, float]] = []

    def on_test_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        found: Any = pl_module.predict_step(batch, batch_idx)
        counted = found.labels >= 0
        wrong = ((1 - found.right) * counted).sum(0)
        self._counts += zip(wrong.tolist(), counted.sum(0).tolist(), strict=True)

    def on_test_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        for k, (wrong, frames) in enumerate(self._counts):
            pl_module.log_dict({f"test/wrong/{k}": wrong, f"test/frames/{k}": frames})
