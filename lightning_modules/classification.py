"""Classification of spike trains as a Lightning module."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

from torch import Tensor, nn

from lightning_modules.losses import CrossEntropy, final_labels
from lightning_modules.monitor import Mode
from lightning_modules.tally import Tally, error_rate
from lightning_modules.task_base import Task

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
        loss: Loss on the network's outputs, which also reads the class.
        **options: As of `Task`.

    Attributes:
        findings: For each stage what makes the numbers of its last epoch doubtful, such as a layer without a spike.

    Raises:
        ValueError: When a run starts, if the network does not fit the data or `lr_factors` names no parameter.
    """

    metric_modes: ClassVar[dict[str, Mode]] = {"loss": "min", "accuracy": "max"}
    tally = Tally
    byte_spikes = True  # its network takes spikes as the loaders give them

    def __init__(
        self, network: nn.Module, *, loss: CrossEntropy = CrossEntropy(), **options: Any
    ) -> None:
        super().__init__(network, **options)
        self.loss = loss

    def predict_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Prediction:
        spikes, labels = batch
        scores = self.loss.scores(self(spikes).outputs, labels)
        return Prediction(scores.argmax(dim=1), scores, final_labels(labels))

    def _tallied(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        return self.loss.scores(outputs, targets), final_labels(targets)

    def _metrics(self, tally: Tally) -> dict[str, Tensor]:
        return {"accuracy": 1 - error_rate(tally.confusion)}
