"""Classification of spike trains as a Lightning module."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import torch
from pytorch_lightning.cli import OptimizerCallable
from torch import Tensor, nn

from lightning_modules.any_network import AnyNetwork
from lightning_modules.losses import CrossEntropy, FiringRate, final_labels, spike_counts
from lightning_modules.monitor import Mode
from lightning_modules.networks import FeedForward, NetworkOutput, is_graded
from lightning_modules.optimisation import Interval, Scheduler, optimisation
from lightning_modules.tally import Tally, error_rate
from lightning_modules.task_base import Task
from lightning_modules.watch import StateWatch, layer_titles

__all__ = ["Prediction", "SpikeClassification"]


class Prediction(NamedTuple):
    """What `predict_step` returns.

    Attributes:
        classes: int64, (batch,).
        scores: Class scores, (batch, class).
        labels: int64, (batch,).
    """

    classes: Tensor
    scores: Tensor
    labels: Tensor


class SpikeClassification(Task):
    """Train a network to classify spike trains.

    A label is the class of a whole sample, or there is one for every step, of which the last is tested.

    Logs at the end of each epoch `<stage>/loss`, `<stage>/accuracy` and `<stage>/spikes/<k>`, the spikes per neuron and
    sample of layer k, for the stages train, val and test. Gradients come from `loss.backward()` alone, so clipping,
    accumulation, mixed precision and distribution are the trainer's.

    Where several classes have the highest score, each counts in part (`lightning_modules.tally.Tally`); a prediction
    takes the first of them.

    Args:
        network: A `FeedForward`, or any module that takes spikes (T, batch, ...) and returns outputs (T, batch, class),
            or outputs and spikes, as `any_network.AnyNetwork` calls it.
        optimizer: Makes the optimiser from the parameters.
        scheduler: Learning-rate schedule, "cosine", "one_cycle" or one made from the optimiser, as in
            `optimisation.optimisation`; None keeps the rate constant.
        scheduler_interval: Whether `scheduler` advances every "epoch" or "step"; the named ones do every step.
        loss: Loss on the network's outputs, which also reads the class.
        firing_rate: Penalty on firing rates.
        lr_factors: Factors of the learning rate for parameters of a given name, for instance `{"modulation": 10.0}`.

    Attributes:
        findings: For each stage what makes the numbers of its last epoch doubtful, such as a layer without a spike.

    Raises:
        ValueError: When a run starts, if the network does not fit the data or `lr_factors` names no parameter.
    """

    metric_modes: ClassVar[dict[str, Mode]] = {"loss": "min", "accuracy": "max"}
    byte_spikes = True  # its network takes spikes as the loaders give them

    def __init__(
        self,
        network: nn.Module,
        optimizer: OptimizerCallable = torch.optim.Adam,
        scheduler: Scheduler = None,
        scheduler_interval: Interval = "epoch",
        loss: CrossEntropy = CrossEntropy(),
        firing_rate: FiringRate = FiringRate(),
        lr_factors: dict[str, float] | None = None,
    ) -> None:
        super().__init__()
        self.save_hyperparameters(
            ignore=["network", "optimizer", "scheduler", "loss", "firing_rate"], logger=False
        )
        own = isinstance(network, FeedForward)
        self.network: Any = network if own else AnyNetwork(network)
        self.optimizer, self.scheduler = optimizer, scheduler
        self.scheduler_interval = scheduler_interval
        self.loss, self.firing_rate = loss, firing_rate
        self.lr_factors = lr_factors or {}
        self._tallies: dict[str, Tally] = {}
        self._count_classes(getattr(self.network, "num_classes", None))
        self._states = StateWatch(network)
        self.findings: dict[str, list[str]] = {}

    def setup(self, stage: str) -> None:
        data = getattr(self.trainer, "datamodule", None)
        name = type(data).__name__
        inputs, classes = (getattr(data, key, None) for key in ("num_inputs", "num_classes"))
        sizes = getattr(self.network, "sizes", None)
        if inputs is not None and sizes is not None and inputs != sizes[0]:
            raise ValueError(
                f"FeedForward: sizes must start with {inputs}, the number of inputs of {name}, got {self.network.sizes}"
            )
        if self.network.num_classes is None:
            self._count_classes(classes)
        elif classes is not None and classes != self.network.num_classes:
            raise ValueError(
                f"FeedForward: num_classes must be {classes} for {name}, got {self.network.num_classes}"
            )

    def _count_classes(self, number: int | None) -> None:
        if number is not None and not self._tallies:
            self._tallies = {stage: Tally(number) for stage in ("train", "val", "test")}

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

    def predict_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Prediction:
        spikes, labels = batch
        scores = self.loss.scores(self(spikes).outputs, labels)
        return Prediction(scores.argmax(dim=1), scores, final_labels(labels))

    def _step(self, batch: tuple[Tensor, Tensor], stage: str) -> Tensor:
        x, labels = batch
        outputs, spikes = self(x)
        loss = self.loss(outputs, labels)
        if self.firing_rate.weight:
            loss = loss + self.firing_rate(spikes, layers=list(self.network.layers))
        spikes = [layer.detach() for layer in spikes]
        neurons = self.network.neurons
        graded = [is_graded(neuron) for neuron in neurons]
        graded = graded if len(graded) == len(spikes) else [False] * len(spikes)
        self._tallies[stage].update(
            self.loss.scores(outputs, labels),
            final_labels(labels),
            loss,
            [spike_counts(s, graded=g).mean() for s, g in zip(spikes, graded, strict=True)],
            activity=[
                ((s > 0.5) if g else s).float().mean() for s, g in zip(spikes, graded, strict=True)
            ],
            finite=self._states.finite,
        )
        return loss

    def on_train_epoch_end(self) -> None:
        self._log("train")

    def on_validation_epoch_end(self) -> None:
        self._log("val")

    def on_test_epoch_end(self) -> None:
        self._log("test")

    def _log(self, stage: str) -> None:
        tally = self._tallies[stage]
        if tally.empty:
            return
        tally.reduce(lambda sums: self.trainer.strategy.reduce(sums, reduce_op="sum"))
        shown = {"loss": tally.loss, "accuracy": 1 - error_rate(tally.confusion)}
        self.log_dict({f"{stage}/{name}": value for name, value in shown.items()}, prog_bar=True)
        spikes = {f"{stage}/spikes/{k}": count for k, count in enumerate(tally.rates, 1)}
        self.log_dict(spikes)
        titles = layer_titles(self.network)
        number = len(tally.rates)
        titles = titles if len(titles) == number else [f"layer {k + 1}" for k in range(number)]
        self.findings[stage] = tally.findings(titles, "samples")
        tally.reset()

    def configure_optimizers(self) -> Any:
        return optimisation(
            self,
            self.optimizer,
            self.scheduler,
            interval=self.scheduler_interval,
            lr_factors=self.lr_factors,
        )
