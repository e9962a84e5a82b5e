"""What classification counts during an epoch, and the rates computed from it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

__all__ = ["Tally", "error_rate"]


class Tally:
    """Sums over the samples or frames of an epoch, kept as tensors on the device so that no step waits for it.

    A frame is whatever has a class: a time step, or a whole sample. Adding a batch here takes a tenth of the time that
    Lightning takes to log as many values.

    Args:
        num_classes: Number of classes K.

    Attributes:
        confusion: Frames by true class (row) and found class (column), int64 (K, K).
        loss: Mean loss of a frame.
        rates: Means of what is given per layer, weighted by frames, (layer,).
    """

    def __init__(self, num_classes: int) -> None:
        self.num_classes = num_classes
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self._counts: Tensor | None = None
        self._sums: Tensor | None = None

    @property
    def empty(self) -> bool:
        """Whether nothing was counted."""
        return self._counts is None

    def update(
        self, outputs: Tensor, labels: Tensor, loss: Tensor, rates: Sequence[Tensor]
    ) -> None:
        """Add a batch.

        Args:
            outputs: Class scores, (..., K).
            labels: Classes, int64 (...), negative where a frame does not count.
            loss: Mean loss of the batch's frames.
            rates: One number for each layer, such as the mean output per neuron and step.
        """
        classes = self.num_classes
        found, inside = outputs.detach().argmax(dim=-1), labels >= 0
        # Frames that do not count go into a bin of their own: picking the others out would wait for the device.
        bins = torch.where(inside, labels * classes + found, classes * classes).flatten()
        number = inside.sum()
        sums = torch.stack([loss.detach(), *(rate.detach() for rate in rates)]).float() * number
        if self._counts is None or self._sums is None:
            self._counts = bins.new_zeros(classes * classes + 1)
            self._sums = torch.zeros_like(sums)
        self._counts.index_add_(0, bins, torch.ones_like(bins))
        self._sums += sums

    def reduce(self, over: Callable[[Tensor], Tensor]) -> None:
        """Add up the sums of several processes; `over` sums a tensor over them."""
        if self._counts is not None and self._sums is not None:
            self._counts, self._sums = over(self._counts), over(self._sums)

    @property
    def confusion(self) -> Tensor:
        counts = torch.zeros(self.num_classes**2 + 1) if self._counts is None else self._counts
        return counts[:-1].view(self.num_classes, self.num_classes)

    @property
    def loss(self) -> Tensor:
        return self._means()[0]

    @property
    def rates(self) -> Tensor:
        return self._means()[1:]

    def _means(self) -> Tensor:
        sums = torch.zeros(1) if self._sums is None else self._sums
        return sums / self.confusion.sum()


def error_rate(confusion: Tensor, groups: Sequence[int] | None = None) -> Tensor:
    """Part of the frames that were given a wrong class.

    Args:
        confusion: Frames by true class (row) and found class (column), (K, K).
        groups: Group of each class: classes of one group count as the same, and frames whose true class has a negative
            group do not count. None: every class for itself.

    Returns:
        A scalar in [0, 1], NaN where no frame counts.

    Examples:
        >>> confusion = torch.tensor([[5, 1, 0], [1, 2, 1], [0, 0, 10]])
        >>> error_rate(confusion), error_rate(confusion, [0, 0, -1])
        (tensor(0.1500), tensor(0.1000))
    """
    number = len(confusion)
    groups = range(number) if groups is None else groups
    group = torch.as_tensor(list(groups), device=confusion.device)
    counted = (group >= 0)[:, None]
    right = (group[:, None] == group) & counted
    return 1 - (confusion * right).sum() / (confusion * counted).sum()
