"""What all tasks share: a network, how it is optimised, and what is counted and said of an epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import pytorch_lightning as pl
import torch
from pytorch_lightning.cli import OptimizerCallable
from torch import Tensor, nn
from typing_extensions import Self

from lightning_modules.any_network import AnyNetwork, layer_titles, named_layers
from lightning_modules.checkpoints import read_checkpoint
from lightning_modules.class_paths import check_hyper_parameters
from lightning_modules.findings import StateWatch
from lightning_modules.losses import FiringRate, mean_rates, spike_counts
from lightning_modules.monitor import Mode
from lightning_modules.networks import FeedForward, NetworkOutput, is_graded
from lightning_modules.optimisation import Interval, Scheduler, optimisation
from lightning_modules.resume import Resume
from snn_neuromod.errors import ConfigError, RunError

__all__ = ["STAGES", "Task"]

STAGES = ("train", "val", "test")

_TALLY = "snn_neuromod_tally"  # in checkpoints: what the epoch has counted so far


class Task(pl.LightningModule):
    """Train a network; what a batch costs and what is logged of it is for the classes below this one.

    They define `loss(outputs, targets)`, what is counted of these, `_tallied`, and `_metrics(tally)`; or, where a batch
    is no pair of inputs and targets, `_step(batch, stage)`, which counts it in `_tallies[stage]` and returns its loss,
    and all that is logged of an epoch, `_results(tally, stage)`: values for the progress bar, and others. Gradients
    come from `loss.backward()` alone, so clipping, accumulation, mixed precision and distribution are the trainer's. A
    checkpoint makes only what belongs into the task when it is rebuilt from it.

    Args:
        network: One of the class's `networks`, or any module, as `any_network.AnyNetwork` calls it.
        optimizer: Makes the optimiser from the parameters.
        scheduler: Learning-rate schedule, "cosine", "one_cycle" or one made from the optimiser, as in
            `optimisation.optimisation`; None keeps the rate constant.
        scheduler_interval: Whether `scheduler` advances every "epoch" or "step"; the named ones do every step.
        firing_rate: Penalty on firing rates; called with the spikes of each layer and which of their steps count.
        lr_factors: Factors of the learning rate for parameters of a given name, for instance `{"modulation": 10.0}`.

    Attributes:
        metric_modes: For each metric whether the smallest or the largest value is best.
        findings: For each stage what makes the numbers of its last epoch doubtful, such as a layer without a spike.

    Raises:
        ConfigError: When a run starts, if the network does not fit the data or `lr_factors` names no parameter.
    """

    metric_modes: ClassVar[dict[str, Mode]]
    tally: ClassVar[type[Any]]  # counts what `_step` gives it
    networks: ClassVar[tuple[type[nn.Module], ...]] = (
        FeedForward,
    )  # all others become `AnyNetwork`
    data_outputs: ClassVar[str] = "num_classes"  # what a data module calls those of the network
    counted: ClassVar[str] = "samples"
    loss: Any  # of outputs and targets

    def __init__(
        self,
        network: nn.Module,
        optimizer: OptimizerCallable = torch.optim.Adam,
        scheduler: Scheduler = None,
        scheduler_interval: Interval = "epoch",
        firing_rate: FiringRate = FiringRate(),
        lr_factors: dict[str, float] | None = None,
    ) -> None:
        super().__init__()
        network = network if isinstance(network, self.networks) else AnyNetwork(network)
        objects = ["network", "optimizer", "scheduler", "loss", "firing_rate", "l2"]
        self.save_hyperparameters(ignore=objects, logger=False)
        self.network: Any = network
        self.optimizer, self.scheduler = optimizer, scheduler
        self.scheduler_interval = scheduler_interval
        self.firing_rate, self.lr_factors = firing_rate, lr_factors or {}
        self.findings: dict[str, list[str]] = {}
        self._tallies = {stage: self.tally() for stage in STAGES}
        self._resume = Resume()
        self._counted: dict[str, Any] | None = None
        self._states = StateWatch(network)

    def setup(self, stage: str) -> None:
        data = getattr(self.trainer, "datamodule", None)
        name = type(data).__name__
        who = type(getattr(self.network, "module", self.network)).__name__
        inputs = getattr(data, "num_inputs", None)
        sizes = getattr(self.network, "sizes", None)
        if inputs is not None and sizes is not None and inputs != sizes[0]:
            raise ConfigError(
                f"{who}: the number of inputs must be {inputs} for {name}, got {sizes[0]}; it is the first of sizes, "
                "or num_inputs"
            )
        outputs = getattr(data, self.data_outputs, None)
        found = getattr(self.network, "num_classes", None)
        if outputs is not None and found is not None and outputs != found:
            raise ConfigError(f"{who}: num_classes must be {outputs} for {name}, got {found}")
        if isinstance(self.network, AnyNetwork):
            self.network.num_classes = outputs if found is None else found

    def forward(self, x: Tensor) -> NetworkOutput:
        """Run the network over (T, batch, input)."""
        out: NetworkOutput = self.network(x)
        return out

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return self._step(batch, "train")

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self._step(batch, "val")

    def test_step(self, batch: Any, batch_idx: int) -> None:
        self._step(batch, "test")

    def _step(self, batch: Any, stage: str) -> Tensor:
        x, targets = batch
        outputs, spikes = self(x)
        loss = self._penalised(self.loss(outputs, targets), spikes)
        tallied = self._tallied(outputs, targets)
        self._tallies[stage].update(*tallied, loss, **self._activity(spikes))
        return loss

    def _tallied(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """What the tally of this task takes of a batch."""
        return outputs, targets

    def _results(self, tally: Any, stage: str) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        spikes = {f"spikes/{k}": count for k, count in enumerate(tally.rates, 1)}
        return {"loss": tally.loss, **self._metrics(tally)}, spikes

    def _metrics(self, tally: Any) -> dict[str, Tensor]:
        raise NotImplementedError

    def _penalised(
        self, loss: Tensor, spikes: Sequence[Tensor], inside: Tensor | None = None
    ) -> Tensor:
        """The loss with the penalty on firing rates."""
        if not (self.firing_rate.weight and spikes):
            return loss
        return loss + self.firing_rate(spikes, inside, layers=list(self.network.layers))

    def _activity(
        self, spikes: Sequence[Tensor], inside: Tensor | None = None
    ) -> dict[str, list[Tensor]]:
        """Rates, activity and finite states of each layer, as a tally counts them.

        Rates are spikes per neuron and sample; with `inside`, (T, batch), they are means of the output over the steps
        that count.
        """
        neurons = [neuron for _, neuron in named_layers(self.network, len(spikes))]
        graded = [neuron is not None and is_graded(neuron) for neuron in neurons]
        layers = [(s.detach(), g) for s, g in zip(spikes, graded, strict=True)]
        if inside is None:
            rates = [spike_counts(s, graded=g).mean() for s, g in layers]
            active = [(s > 0.5 if g else s).float().mean() for s, g in layers]
        else:
            rates = [mean_rates(s, inside).mean() for s, _ in layers]
            active = [
                mean_rates((s > 0.5).to(rate), inside).mean() if g else rate
                for (s, g), rate in zip(layers, rates, strict=True)
            ]
        return {"rates": rates, "activity": active, "finite": self._states.finite}

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
        shown, others = self._results(tally, stage)
        self.log_dict({f"{stage}/{name}": value for name, value in shown.items()}, prog_bar=True)
        self.log_dict({f"{stage}/{name}": value for name, value in others.items()})
        titles = layer_titles(self.network, len(tally.rates))
        self.findings[stage] = tally.findings(titles, self.counted)
        tally.reset()

    def configure_optimizers(self) -> Any:
        made = optimisation(
            self,
            self.optimizer,
            self.scheduler,
            interval=self.scheduler_interval,
            lr_factors=self.lr_factors,
        )
        self._resume.note(made)
        return made

    def configure_callbacks(self) -> list[pl.Callback]:
        return [self._resume]

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        tally = self._tallies["train"]
        # Of several processes each has counts of its own, and one saves.
        if not tally.empty and self._trainer is not None and self.trainer.world_size == 1:
            checkpoint[_TALLY] = tally.state()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        if self._trainer is not None and self.trainer.state.fn == "fit":
            self._resume.read(checkpoint, self.trainer)
            self._counted = checkpoint.get(_TALLY) if self.trainer.world_size == 1 else None

    def on_train_start(self) -> None:
        """Let the metrics of an epoch in which the run was stopped be those of all its batches."""
        if self._counted is not None:
            self._tallies["train"].load(self._counted, self.device)
        self._counted = None

    def load_state_dict(self, state_dict: Mapping[str, Any], *args: Any, **kwargs: Any) -> Any:
        try:
            return super().load_state_dict(state_dict, *args, **kwargs)
        except RuntimeError as error:  # sizes and names that differ, all listed
            raise RunError(str(error)) from error

    @classmethod
    def load_from_checkpoint(cls, checkpoint_path: Any, *args: Any, **kwargs: Any) -> Self:
        """Rebuild a task from a checkpoint, as in Lightning.

        Raises:
            ConfigError: If the hyper-parameters in the checkpoint name something that is no part of a task.
            DataError: If the checkpoint is damaged, or something else.
        """
        found = read_checkpoint(checkpoint_path)
        if hasattr(checkpoint_path, "seek"):
            checkpoint_path.seek(0)
        check_hyper_parameters(found.get("hyper_parameters", {}))
        return super().load_from_checkpoint(checkpoint_path, *args, **kwargs)
