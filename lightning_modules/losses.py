"""Losses on the outputs of a spiking network, and counts of its spikes; penalties stand in `regularisation`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from torch import Tensor
from torch.nn import functional

from lightning_modules.arguments import FRACTION, POSITIVE, check
from lightning_modules.regularisation import L2, FiringRate, Over, mean_rates
from snn_neuromod.errors import ConfigError

__all__ = [
    "L2",
    "CrossEntropy",
    "Decision",
    "FiringRate",
    "SquaredError",
    "final_labels",
    "mean_rates",
    "spike_counts",
]

Decision = Literal["last", "mean", "max"]


@dataclass(frozen=True)
class CrossEntropy:
    r"""Cross-entropy of class scores that are read from the outputs over time.

    Args:
        decision: Scores from the outputs $y_t$: "last" step, "mean" or "max" over time. With a readout that sums
            spikes "last" is the spike count.
        scale: Factor of the scores before the softmax, > 0; spike counts are small numbers, sums over many neurons
            large ones.
        label_smoothing: Weight of the uniform distribution in the target, in [0, 1).
        every_step: Average the loss over all steps instead of taking it once from the scores, so that the network is
            pressed to decide early; the class is still read by `decision`.

    Raises:
        ValueError: If an argument is outside its range.

    Examples:
        >>> import torch
        >>> loss = CrossEntropy(decision="last")
        >>> outputs = torch.tensor([[[0.0, 9.0]], [[9.0, 0.0]]])  # (T, batch, class)
        >>> loss.scores(outputs).tolist()
        [[9.0, 0.0]]
    """

    decision: Decision = "last"
    scale: float = 1.0
    label_smoothing: float = 0.0
    every_step: bool = False

    def __post_init__(self) -> None:
        check("CrossEntropy", "decision", self.decision, Decision)
        check("CrossEntropy", "scale", self.scale, POSITIVE)
        check("CrossEntropy", "label_smoothing", self.label_smoothing, FRACTION)

    def scores(self, outputs: Tensor, labels: Tensor | None = None) -> Tensor:
        """Class scores of samples.

        Args:
            outputs: (T, batch, class).
            labels: Labels; where there is one for every step, (T, batch), the mean or maximum is over those that count.

        Returns:
            (batch, class).
        """
        if self.decision == "last":
            return outputs[-1]
        if labels is None or labels.ndim != 2:
            return outputs.mean(dim=0) if self.decision == "mean" else outputs.amax(dim=0)
        outside = (labels < 0)[..., None]
        if self.decision == "mean":
            return outputs.masked_fill(outside, 0.0).sum(dim=0) / (~outside).sum(dim=0)
        return outputs.masked_fill(outside, -math.inf).amax(dim=0)

    def __call__(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Loss of a batch.

        Args:
            outputs: (T, batch, class).
            labels: int64, (batch,), or (T, batch) with a label for every step and -100 where none counts; the loss is
                then the average over the steps that count.

        Returns:
            A scalar.
        """
        if self.every_step:
            labels = labels.expand(len(outputs), -1)
        scores = self.scores(outputs) if labels.ndim == 1 else outputs.flatten(0, 1)
        return functional.cross_entropy(
            self.scale * scores, labels.flatten(), label_smoothing=self.label_smoothing
        )


@dataclass(frozen=True)
class SquaredError:
    r"""Squared error of signals, $\frac12 \sum (y - y^*)^2$ over steps and outputs, the mean over samples.

    Args:
        over: "sum" over steps and outputs, as Bellec et al. (2020) have it, or "mean".

    Raises:
        ValueError: If `over` is unknown.

    Examples:
        >>> import torch
        >>> outputs = torch.tensor([[[1.0]], [[3.0]], [[9.0]]])  # (T, batch, output)
        >>> SquaredError()(outputs, torch.tensor([[[0.0]], [[0.0]], [[torch.nan]]])).item()
        5.0
    """

    over: Over = "sum"

    def __post_init__(self) -> None:
        check("SquaredError", "over", self.over, Over)

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Loss of a batch.

        Args:
            outputs: (T, batch, output).
            targets: The same shape, NaN where none counts.

        Returns:
            A scalar.

        Raises:
            ValueError: If the shapes differ.
        """
        if outputs.shape != targets.shape:
            raise ConfigError(
                f"SquaredError: targets must have shape {tuple(outputs.shape)}, got {tuple(targets.shape)}"
            )
        outside = targets.isnan()
        error = (outputs - targets.masked_fill(outside, 0.0)).masked_fill(outside, 0.0)
        total = 0.5 * error.square().sum()
        return total / (outputs.shape[1] if self.over == "sum" else (~outside).sum().clamp(min=1))


def final_labels(labels: Tensor) -> Tensor:
    """Labels at the end of samples, (batch,), from labels (batch,) or (T, batch)."""
    return labels[-1] if labels.ndim == 2 else labels


def spike_counts(spikes: Tensor, *, graded: bool) -> Tensor:
    """Number of spikes of each neuron.

    Args:
        spikes: Time first, (T, ..., neuron).
        graded: Whether spikes are pulses of finite width, as in the SRC family: a spike is then an upward crossing of
            0.5, as in De Geeter et al. 2024. Otherwise they are zeros and ones.

    Returns:
        Counts, (..., neuron), floating point.

    Examples:
        >>> import torch
        >>> pulse = torch.tensor([0.0, 0.4, 0.9, 1.0, 0.6, 0.0, 0.7])
        >>> spike_counts(pulse[:, None], graded=True).item()
        2.0
    """
    if not graded:
        return spikes.float().sum(dim=0)
    high = spikes > 0.5
    rising = high[1:] > high[:-1]
    return (rising.sum(dim=0) + high[0]).float()
