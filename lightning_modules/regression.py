"""Regression of signals over time as a Lightning module."""

from __future__ import annotations

import math
from typing import Any, ClassVar, NamedTuple

import torch
from pytorch_lightning.cli import OptimizerCallable
from torch import Tensor

from lightning_modules.losses import FiringRate, SquaredError, spike_counts
from lightning_modules.monitor import Mode
from lightning_modules.networks import FeedForward, NetworkOutput, is_graded
from lightning_modules.optimisation import Interval, Scheduler, optimisation
from lightning_modules.tally import layer_findings
from lightning_modules.task_base import Task
from lightning_modules.watch import StateWatch, layer_titles

__all__ = ["Signals", "SpikeRegression"]


class Signals(NamedTuple):
    """What `predict_step` returns.

    Attributes:
        outputs: (T, batch, output).
        targets: (T, batch, output), NaN where none counts.
    """

    outputs: Tensor
    targets: Tensor


class SpikeRegression(Task):
    r"""Train a network so that its readout follows given signals.

    A target that is NaN counts nowhere: not in the loss, the errors, nor in any gradient.

    Logs at the end of each epoch `<stage>/loss`; `<stage>/nmse`, $\sum (y - y^*)^2 / \sum (y^* - \bar y^*)^2$, which is
    1 for a readout that gives the mean; and `<stage>/spikes/<k>`, the spikes per neuron and sample of layer k, for the
    stages train, val and test.

    Args:
        network: Takes spikes (T, batch, input) and returns `NetworkOutput`; its `num_classes` is the number of signals.
        optimizer: Makes the optimiser from the parameters.
        scheduler: Learning-rate schedule, as in `optimisation.optimisation`; None keeps the rate constant.
        scheduler_interval: Whether `scheduler` advances every "epoch" or "step"; the named ones do every step.
        loss: Loss on outputs and targets.
        firing_rate: Penalty on firing rates.
        lr_factors: Factors of the learning rate for parameters of a given name.

    Attributes:
        findings: For each stage what makes the numbers of its last epoch doubtful, such as a layer without a spike.

    Raises:
        ValueError: When a run starts, if the network does not fit the data or `lr_factors` names no parameter.
    """

    metric_modes: ClassVar[dict[str, Mode]] = {"loss": "min", "nmse": "min"}
    byte_spikes = True

    def __init__(
        self,
        network: FeedForward,
        optimizer: OptimizerCallable = torch.optim.Adam,
        scheduler: Scheduler = None,
        scheduler_interval: Interval = "epoch",
        loss: SquaredError = SquaredError(),
        firing_rate: FiringRate = FiringRate(),
        lr_factors: dict[str, float] | None = None,
    ) -> None:
        super().__init__()
        self.save_hyperparameters(
            ignore=["network", "optimizer", "scheduler", "loss", "firing_rate"], logger=False
        )
        self.network = network
        self.optimizer, self.scheduler = optimizer, scheduler
        self.scheduler_interval = scheduler_interval
        self.loss, self.firing_rate = loss, firing_rate
        self.lr_factors = lr_factors or {}
        self._sums: dict[str, list[Tensor]] = {}
        self._states = StateWatch(network)
        self.findings: dict[str, list[str]] = {}

    def setup(self, stage: str) -> None:
        data = getattr(self.trainer, "datamodule", None)
        name = type(data).__name__
        for wanted, what, found in (
            (getattr(data, "num_inputs", None), "sizes must start with", self.network.sizes[0]),
            (getattr(data, "num_outputs", None), "num_classes must be", self.network.num_classes),
        ):
            if wanted is not None and wanted != found:
                raise ValueError(f"FeedForward: {what} {wanted} for {name}, got {found}")

    def forward(self, spikes: Tensor) -> NetworkOutput:
        """Run the network over spikes (T, batch, input)."""
        out: NetworkOutput = self.network(spikes)
        return out

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        return self._step(batch, "train")

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        self._step(batch, "val")

    def test_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        self._step(batch, "test")

    def predict_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Signals:
        spikes, targets = batch
        return Signals(self(spikes).outputs, targets)

    def _step(self, batch: tuple[Tensor, Tensor], stage: str) -> Tensor:
        x, targets = batch
        outputs, spikes = self(x)
        loss = self.loss(outputs, targets)
        if self.firing_rate.weight:
            loss = loss + self.firing_rate(spikes, layers=list(self.network.layers))
        spikes = [layer.detach() for layer in spikes]
        graded = [is_graded(neuron) for neuron in self.network.neurons]
        counts = [spike_counts(s, graded=g).mean() for s, g in zip(spikes, graded, strict=True)]
        activity = [(s > 0.5).float().mean() for s in spikes]
        # Picking out the targets that count would wait for the device.
        inside = ~targets.isnan()
        wanted = targets.where(inside, 0.0).double()
        error = (outputs.detach() - wanted).where(inside, 0.0)
        values = [
            inside.new_ones((), dtype=torch.float64), loss.detach(), *counts, *activity,
            *(~ok for ok in self._states.finite),
            inside.sum(), wanted.sum(), wanted.square().sum(), error.square().sum(),
        ]  # fmt: skip
        self._sums.setdefault(stage, []).append(torch.stack([v.double() for v in values]))
        return loss

    def on_train_epoch_end(self) -> None:
        self._log("train")

    def on_validation_epoch_end(self) -> None:
        self._log("val")

    def on_test_epoch_end(self) -> None:
        self._log("test")

    def _log(self, stage: str) -> None:
        found = self._sums.pop(stage, [])
        if not found:
            return
        total = self.trainer.strategy.reduce(torch.stack(found).sum(0), reduce_op="sum")
        batches, loss, *layers = total[:-4]
        titles = layer_titles(self.network)
        counts = layers[: len(titles)]
        number, first, second, error = total[-4:]
        nmse = error / (second - first.square() / number)
        shown = {"loss": loss / batches, "nmse": nmse}
        self.log_dict({f"{stage}/{k}": v.float() for k, v in shown.items()}, prog_bar=True)
        self.log_dict(
            {f"{stage}/spikes/{k}": (c / batches).float() for k, c in enumerate(counts, 1)}
        )
        activity, bad = torch.stack(layers[len(titles) :]).split(
            [len(titles), len(layers) - 2 * len(titles)]
        )
        self.findings[stage] = layer_findings(titles, (activity / batches).tolist(), bad.tolist())
        if not math.isfinite(mean := float(loss / batches)):
            self.findings[stage].append(f"the loss is {mean}")

    def configure_optimizers(self) -> Any:
        return optimisation(
            self,
            self.optimizer,
            self.scheduler,
            interval=self.scheduler_interval,
            lr_factors=self.lr_factors,
        )
