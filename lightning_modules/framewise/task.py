"""Classification of every frame of a sequence as a Lightning module."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal, NamedTuple

from torch import Tensor, nn
from torch.nn import functional

from lightning_modules.any_network import named_layers
from lightning_modules.arguments import check
from lightning_modules.framewise.lstm import LstmNetwork
from lightning_modules.framewise.networks import FramewiseNetwork
from lightning_modules.losses import L2
from lightning_modules.monitor import Mode
from lightning_modules.networks import NetworkOutput
from lightning_modules.tally import Tally, error_rate, share_right
from lightning_modules.task_base import Task
from snn_neuromod.data.phones.frames import FrameBatch
from snn_neuromod.data.phones.labels import TIMIT_LABELS, fold
from snn_neuromod.errors import ConfigError
from snn_neuromod.snntorch.functional import IGNORE_INDEX, ce_framewise_loss

__all__ = ["FramePrediction", "FramewiseClassification"]

Average = Literal["frame", "sequence"]
_PAUSES = {"h#", "pau", "epi"}


class FramePrediction(NamedTuple):
    """What `predict_step` returns.

    Attributes:
        classes: Class of each frame, int64 (T, batch); meaningless behind a sequence's end.
        labels: True classes, int64 (T, batch), negative where there is none.
        lengths: Frames of each sequence, (batch,).
        names: Names of the sequences.
        right: How far each frame is right, (T, batch), as `lightning_modules.tally.share_right` counts it.
    """

    classes: Tensor
    labels: Tensor
    lengths: Tensor
    names: list[str]
    right: Tensor | None = None


class FramewiseClassification(Task):
    r"""Train a network to classify each frame of a sequence.

    The loss is the cross-entropy, averaged over the frames of a batch, or over those of each sequence and then over
    sequences. Frames labelled -100, padding among them, count
    nowhere: not in the loss, the errors, the firing rates, nor in any gradient.

    Logs for the stages train, val and test, over all frames of an epoch: `<stage>/loss`, the cross-entropy without
    penalties; `<stage>/error` and `<stage>/accuracy`; `<stage>/error_speech`, without frames whose label is a pause;
    for TIMIT's labels `<stage>/error_folded`; and `<stage>/rate/<layer>`, the mean rate of a neuron in Hz of the
    neurons' own time (with one step of 1 ms for a frame of 10 ms the speech runs ten times as fast).

    Args:
        network: A `FramewiseNetwork` or an `LstmNetwork`, or any module that takes features (T, batch, feature) and
            returns class scores (T, batch, class), or scores and spikes, as `any_network.AnyNetwork` calls it.
        l2: Penalty on weights.
        average: Whether each "frame" of a batch has the same weight in the loss, or each "sequence" (Bellec et al.).
        fold_to: Number of classes after folding, for `<stage>/error_folded` with TIMIT's labels; no effect on others.
        **options: As of `Task`.

    Attributes:
        confusion: Frames of the last epoch of each stage by true (row) and found class (column), (K, K); one for which
            several classes have the highest score counts for each in part.
        findings: For each stage what makes the numbers of its last epoch doubtful, such as a layer without a spike.

    Raises:
        ValueError: When a run starts, if the network does not fit the data or `lr_factors` names no parameter.
    """

    metric_modes: ClassVar[dict[str, Mode]] = {
        "loss": "min", "error": "min", "error_speech": "min", "error_folded": "min", "accuracy": "max",
    }  # fmt: skip
    tally = Tally
    counted = "frames"
    networks = (FramewiseNetwork, LstmNetwork)

    def __init__(
        self,
        network: nn.Module,
        *,
        l2: L2 = L2(),
        average: Average = "frame",
        fold_to: Literal[48, 39] = 39,
        **options: Any,
    ) -> None:
        super().__init__(network, **options)
        check("FramewiseClassification", "average", average, Average)
        self.l2, self.fold_to = l2, fold_to
        self.loss = ce_framewise_loss(IGNORE_INDEX) if average == "frame" else by_sequence
        self.confusion: dict[str, Tensor] = {}
        self._groups: dict[str, list[int]] = {}

    def setup(self, stage: str) -> None:
        super().setup(stage)
        data = getattr(self.trainer, "datamodule", None)
        self._groups = _groups(getattr(data, "classes", ()), self.fold_to)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> NetworkOutput:
        """Run the network over features (T, batch, feature) of sequences of the given lengths (batch,)."""
        out: NetworkOutput = self.network(x, lengths)
        if len(out.outputs) != len(x):
            raise ConfigError(
                f"FramewiseClassification: network must return scores for each of {len(x)} frames, got "
                f"{len(out.outputs)} steps; average the steps of a frame"
            )
        return out

    def predict_step(self, batch: FrameBatch, batch_idx: int) -> FramePrediction:
        features, labels, lengths, names = batch
        outputs = self(features, lengths).outputs
        right = share_right(outputs, labels)
        return FramePrediction(outputs.argmax(dim=-1), labels, lengths, list(names), right)

    def _step(self, batch: FrameBatch, stage: str) -> Tensor:
        labels = batch.labels
        outputs, spikes = self(batch.features, batch.lengths)
        loss: Tensor = self.loss(outputs, labels)
        inside = labels != IGNORE_INDEX
        self._tallies[stage].update(outputs, labels, loss, **self._activity(spikes, inside))
        loss = self._penalised(loss, spikes, inside)
        return loss + self.l2(self.network) if self.l2.weight else loss

    def _results(self, tally: Tally, stage: str) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        confusion = tally.confusion
        error = error_rate(confusion)
        values = {"loss": tally.loss, "error": error, "accuracy": 1 - error}
        for name, groups in self._groups.items():
            values[f"error_{name}"] = error_rate(confusion, groups)
        layers = named_layers(self.network, len(tally.rates))
        for (name, neuron), rate in zip(layers, tally.rates, strict=True):
            values[f"rate/{name}"] = rate * 1000 / getattr(neuron, "dt", 1.0)
        self.confusion[stage] = confusion.cpu().clone()
        return {}, values


def by_sequence(outputs: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy, the mean over the frames of each sequence that count and then over the sequences.

    Args:
        outputs: Class scores, (T, batch, class).
        labels: Classes, int64 (T, batch), -100 where none counts.

    Returns:
        A scalar; sequences without a frame that counts have no part in it.
    """
    number = (labels != IGNORE_INDEX).sum(0)
    losses = functional.cross_entropy(
        outputs.flatten(0, 1), labels.flatten(), ignore_index=IGNORE_INDEX, reduction="none"
    ).view(labels.shape)
    return (losses.sum(0) / number.clamp(min=1)).sum() / (number > 0).sum().clamp(min=1)


def _groups(classes: Sequence[str], fold_to: Literal[48, 39]) -> dict[str, list[int]]:
    """Groups of classes for `error_rate`, by the name of the error."""
    classes = list(classes)
    found = {}
    if _PAUSES & set(classes):
        found["speech"] = [-1 if c in _PAUSES else k for k, c in enumerate(classes)]
    if classes and set(classes) <= set(TIMIT_LABELS):
        folded = [fold(c, to=fold_to) for c in classes]
        names = sorted({name for name in folded if name is not None})
        found["folded"] = [-1 if name is None else names.index(name) for name in folded]
    return found
