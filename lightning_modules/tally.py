"""What classification counts during an epoch, and what the counts tell: rates, and whether they mean anything."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

__all__ = ["Tally", "error_rate", "layer_findings", "share_right"]

_SATURATED = 0.95  # share of the steps with a spike


class Tally:
    """Sums over the samples or frames of an epoch, kept as tensors on the device so that no step waits for it.

    A frame is whatever has a class: a time step, or a whole sample. Where k classes tie for the highest score, each is
    found by one k-th, so that a network that tells nothing apart scores chance; a frame without a highest score, since
    a score is NaN, makes every rate NaN. Adding a batch here takes a tenth of the time that Lightning takes to log as
    many values.

    Args:
        num_classes: Number of classes K.

    Attributes:
        confusion: Frames by true class (row) and found class (column), (K, K).
        loss: Mean loss of a frame.
        rates: Means of what is given per layer, weighted by frames, (layer,).
    """

    def __init__(self, num_classes: int) -> None:
        self.num_classes = num_classes
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self._counts: Tensor | None = None
        self._sums: Tensor | None = None  # of the loss, the rates and the activities, times frames
        self._flags: Tensor | None = (
            None  # frames, those of equal scores, those of NaN; batches of bad states
        )
        self._layers = 0

    @property
    def empty(self) -> bool:
        """Whether nothing was counted."""
        return self._counts is None

    def update(
        self,
        outputs: Tensor,
        labels: Tensor,
        loss: Tensor,
        rates: Sequence[Tensor],
        *,
        activity: Sequence[Tensor] = (),
        finite: Sequence[Tensor] = (),
    ) -> None:
        """Add a batch.

        Args:
            outputs: Class scores, (..., K).
            labels: Classes, int64 (...), negative where a frame does not count.
            loss: Mean loss of the batch's frames.
            rates: One number for each layer, such as the mean output per neuron and step.
            activity: For each layer the share of its neurons' steps with a spike.
            finite: For each layer whether its state is finite, a bool scalar.
        """
        tied, inside = _ties(outputs), labels >= 0
        number_tied, number = tied.sum(dim=-1), inside.sum()
        shares = tied / number_tied[..., None]
        # Frames that do not count go into a row of their own: picking the others out would wait for the device.
        rows = torch.where(inside, labels, self.num_classes).flatten()
        counts = shares.new_zeros(self.num_classes + 1, self.num_classes)
        counts.index_add_(0, rows, shares.flatten(0, -2))
        values = torch.stack([x.detach().float() for x in (loss, *rates, *activity)])
        sums = torch.where(number > 0, values * number, 0.0)
        flags = [number, *(((number_tied == k) & inside).sum() for k in (self.num_classes, 0))]
        self._add(counts, sums, torch.stack([*flags, *(~ok for ok in finite)]))
        self._layers = len(rates)

    def _add(self, counts: Tensor, sums: Tensor, flags: Tensor) -> None:
        exact = torch.float32 if counts.device.type == "mps" else torch.float64
        if self._counts is None or self._sums is None or self._flags is None:
            self._counts = torch.zeros_like(counts, dtype=exact)
            self._sums = torch.zeros_like(sums, dtype=exact)
            self._flags = torch.zeros_like(flags, dtype=exact)
        self._counts += counts
        self._sums += sums
        self._flags += flags

    def reduce(self, over: Callable[[Tensor], Tensor]) -> None:
        """Add up the sums of several processes; `over` sums a tensor over them."""
        if self._counts is not None and self._sums is not None and self._flags is not None:
            self._counts, self._sums, self._flags = map(
                over, (self._counts, self._sums, self._flags)
            )

    @property
    def confusion(self) -> Tensor:
        if self._counts is None:
            return torch.zeros(self.num_classes, self.num_classes)
        return self._counts[:-1]

    @property
    def loss(self) -> Tensor:
        return self._means()[0]

    @property
    def rates(self) -> Tensor:
        return self._means()[1 : 1 + self._layers]

    def _means(self) -> Tensor:
        if self._sums is None or self._flags is None:
            return torch.full((1,), math.nan)
        return (self._sums / self._flags[0]).float()

    def findings(self, layers: Sequence[str], what: str = "frames") -> list[str]:
        """What makes the numbers of the epoch doubtful, in words; waits for the device.

        Args:
            layers: What to call the layers whose activity and states were given.
            what: What to call the frames.
        """
        if self._flags is None:
            return []
        loss, *means = self._means().tolist()
        frames, tied, lost, *bad = self._flags.tolist()
        found = layer_findings(layers, means[self._layers :], bad)
        if lost:
            found.append(f"class scores are NaN in {lost:.0f} {what}")
        if self.num_classes > 1 and 0 < frames == tied:
            found.append(
                f"the scores of all classes are equal in all {frames:.0f} {what}, so that accuracy and loss are those "
                f"of chance, 1/{self.num_classes} and ln {self.num_classes} = {math.log(self.num_classes):.4f}"
            )
        if not math.isfinite(loss):
            found.append(f"the loss is {loss}")
        return found


def layer_findings(
    layers: Sequence[str], activity: Sequence[float], bad: Sequence[float]
) -> list[str]:
    """Which layers are silent, saturated, or in a state that is none, in words.

    Args:
        layers: What to call them.
        activity: For each the share of its neurons' steps with a spike.
        bad: For each the number of batches that ended in a state of NaN or infinity.
    """
    found = []
    for name, active in zip(layers, activity, strict=False):
        if active == 0:
            found.append(f"{name} did not spike at all")
        elif active >= _SATURATED:
            found.append(f"{name} is saturated, it spikes in {active:.1%} of all steps")
    return found + [
        f"the state of {name} is NaN or infinite"
        for name, batches in zip(layers, bad, strict=False)
        if batches
    ]


def _ties(outputs: Tensor) -> Tensor:
    """Which classes have the highest score, 0 or 1, float32 (..., K); none where a score is NaN."""
    scores = outputs.detach()
    return (scores == scores.amax(dim=-1, keepdim=True)).float()


def share_right(outputs: Tensor, labels: Tensor) -> Tensor:
    """How far each frame is classified rightly: 1, or 1/k where its class is one of k that tie, or 0.

    Args:
        outputs: Class scores, (..., K).
        labels: Classes, int64 (...); negative ones are never right.

    Returns:
        (...), floating point.

    Examples:
        >>> share_right(torch.tensor([[0.0, 2.0], [1.0, 1.0], [3.0, 2.0]]), torch.tensor([1, 0, 1])).tolist()
        [1.0, 0.5, 0.0]
    """
    tied = _ties(outputs)
    own = tied.gather(-1, labels.clamp(min=0)[..., None]).squeeze(-1) * (labels >= 0)
    return own / tied.sum(dim=-1).clamp(min=1)


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
    return (1 - (confusion * right).sum() / (confusion * counted).sum()).float()
