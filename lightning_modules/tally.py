"""What a task counts during an epoch, and what the counts tell: rates, and whether they mean anything."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

__all__ = ["LayerTally", "SignalTally", "Tally", "error_rate", "share_right"]

_SATURATED = 0.95  # share of the steps with a spike


class LayerTally:
    """Sums over what an epoch counts, kept as tensors on the device so that no step waits for it.

    Adding a batch here takes a tenth of the time that Lightning takes to log as many values.

    Attributes:
        loss: Mean loss of what is counted.
        rates: Means of what is given per layer, (layer,).
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self._sums: list[Tensor] = []
        self._layers = 0

    def state(self) -> dict[str, Any]:
        """What was counted so far, on the CPU."""
        return {"sums": [part.cpu() for part in self._sums], "layers": self._layers}

    def load(self, state: dict[str, Any], device: torch.device) -> None:
        """Go on from what another has counted, `state`; sums of another form are forgotten when the first is added."""
        self._sums = [part.to(device) for part in state["sums"]]
        self._layers = state["layers"]

    @property
    def empty(self) -> bool:
        """Whether nothing was counted."""
        return not self._sums

    def _add(
        self,
        number: Tensor,
        loss: Tensor,
        *own: Tensor,
        rates: Sequence[Tensor] = (),
        activity: Sequence[Tensor] = (),
        finite: Sequence[Tensor] = (),
    ) -> None:
        """Add a batch.

        Args:
            number: Number of things that count.
            loss: Mean loss of them.
            *own: Further sums.
            rates: One number for each layer, such as the mean output per neuron and step.
            activity: For each layer the share of its neurons' steps with a spike.
            finite: For each layer whether its state is finite, a bool scalar.
        """
        values = torch.stack([x.detach().float() for x in (loss, *rates, *activity)])
        flags = torch.stack([number, *(~ok for ok in finite)])
        exact = torch.float32 if flags.device.type == "mps" else torch.float64
        sums = (torch.where(number > 0, values * number, 0.0), flags, *own)
        if [part.shape for part in self._sums] != [part.shape for part in sums]:
            self._sums = [torch.zeros_like(part, dtype=exact) for part in sums]
        for total, part in zip(self._sums, sums, strict=True):
            total += part
        self._layers = len(rates)

    def reduce(self, over: Callable[[Tensor], Tensor]) -> None:
        """Add up the sums of several processes; `over` sums a tensor over them."""
        self._sums = [over(part) for part in self._sums]

    @property
    def loss(self) -> Tensor:
        return self._means()[0]

    @property
    def rates(self) -> Tensor:
        return self._means()[1 : 1 + self._layers]

    def _means(self) -> Tensor:
        if self.empty:
            return torch.full((1,), math.nan)
        return (self._sums[0] / self._sums[1][0]).float()

    def findings(self, layers: Sequence[str], what: str = "frames") -> list[str]:
        """What makes the numbers of the epoch doubtful, in words; waits for the device.

        Args:
            layers: What to call the layers whose activity and states were given.
            what: What to call the things that are counted.
        """
        if self.empty:
            return []
        loss, *means = self._means().tolist()
        found = []
        for name, share in zip(layers, means[self._layers :], strict=False):
            if share == 0:
                found.append(f"{name} did not spike at all")
            elif share >= _SATURATED:
                found.append(f"{name} is saturated, it spikes in {share:.1%} of all steps")
        wrong = zip(layers, self._sums[1].tolist()[1:], strict=False)
        found += [f"the state of {name} is NaN or infinite" for name, batches in wrong if batches]
        found += self._own_findings(what)
        if not math.isfinite(loss):
            found.append(f"the loss is {loss}")
        return found

    def _own_findings(self, what: str) -> list[str]:
        return []


class Tally(LayerTally):
    """What classification counts.

    A frame is whatever has a class: a time step, or a whole sample. Where k classes tie for the highest score, each is
    found by one k-th, so that a network that tells nothing apart scores chance; a frame without a highest score, since
    a score is NaN, makes every rate NaN.

    Args:
        num_classes: Number of classes K; None takes that of the first scores.

    Attributes:
        confusion: Frames by true class (row) and found class (column), (K, K).
    """

    def __init__(self, num_classes: int | None = None) -> None:
        self.num_classes = num_classes
        super().__init__()

    def update(
        self, outputs: Tensor, labels: Tensor, loss: Tensor, **layers: Sequence[Tensor]
    ) -> None:
        """Add a batch.

        Args:
            outputs: Class scores, (..., K).
            labels: Classes, int64 (...), negative where a frame does not count.
            loss: Mean loss of the batch's frames.
            **layers: For each layer `rates`, such as the mean output per neuron and step, `activity`, the share of its
                neurons' steps with a spike, and `finite`, whether its state is, a bool scalar.
        """
        if self.num_classes is None:
            self.num_classes = outputs.shape[-1]
        tied, inside = _ties(outputs), labels >= 0
        number_tied = tied.sum(dim=-1)
        shares = tied / number_tied[..., None]
        # Frames that do not count go into a row of their own: picking the others out would wait for the device.
        rows = torch.where(inside, labels, self.num_classes).flatten()
        counts = shares.new_zeros(self.num_classes + 1, self.num_classes)
        counts.index_add_(0, rows, shares.flatten(0, -2))
        doubtful = [((number_tied == k) & inside).sum() for k in (self.num_classes, 0)]
        self._add(inside.sum(), loss, counts, torch.stack(doubtful), **layers)

    @property
    def confusion(self) -> Tensor:
        if self.empty:
            return torch.zeros(self.num_classes or 0, self.num_classes or 0)
        return self._sums[2][:-1]

    def _own_findings(self, what: str) -> list[str]:
        frames, number = float(self._sums[1][0]), self.num_classes or 0
        tied, lost = self._sums[3].tolist()
        found = [f"class scores are NaN in {lost:.0f} {what}"] if lost else []
        if number > 1 and 0 < frames == tied:
            found.append(
                f"the scores of all classes are equal in all {frames:.0f} {what}, so that accuracy and loss are those "
                f"of chance, 1/{number} and ln {number} = {math.log(number):.4f}"
            )
        return found


class SignalTally(LayerTally):
    r"""What regression counts; every batch weighs the same in loss and rates.

    Attributes:
        nmse: $\sum (y - y^*)^2 / \sum (y^* - \bar y^*)^2$ over all that counts.
    """

    def update(
        self, outputs: Tensor, targets: Tensor, loss: Tensor, **layers: Sequence[Tensor]
    ) -> None:
        """Add a batch.

        Args:
            outputs: Signals, (T, batch, output).
            targets: The same shape, NaN where none counts.
            loss: Loss of the batch.
            **layers: As for `Tally.update`.
        """
        # Picking out the targets that count would wait for the device.
        inside = ~targets.isnan()
        wanted = targets.where(inside, 0.0).double()
        error = (outputs.detach() - wanted).where(inside, 0.0)
        sums = [inside.sum(), wanted.sum(), wanted.square().sum(), error.square().sum()]
        number = inside.new_ones((), dtype=torch.int64)
        self._add(number, loss, torch.stack([x.double() for x in sums]), **layers)

    @property
    def nmse(self) -> Tensor:
        number, first, second, error = self._sums[2].unbind()
        return (error / (second - first.square() / number)).float()


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
    groups = range(len(confusion)) if groups is None else groups
    group = torch.as_tensor(list(groups), device=confusion.device)
    counted = (group >= 0)[:, None]
    right = (group[:, None] == group) & counted
    return (1 - (confusion * right).sum() / (confusion * counted).sum()).float()
