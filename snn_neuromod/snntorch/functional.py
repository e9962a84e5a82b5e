"""Loss and accuracy per time step, which `snntorch.functional` lacks: outputs (T, batch, class), targets (T, batch)."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from snn_neuromod.errors import ConfigError

IGNORE_INDEX = -100


class ce_framewise_loss(nn.Module):  # noqa: N801  (named as snnTorch names its losses)
    """Cross-entropy of every time step with a target of its own, averaged over the labelled ones.

    Args:
        ignore_index: Target of time steps without a label, such as padding; they count neither in loss nor gradient.
        weight: Weight of each class, (class,), or None.
        label_smoothing: In [0, 1].

    Raises:
        ValueError: If `label_smoothing` lies outside its range.

    Examples:
        >>> import torch
        >>> outputs = torch.zeros(3, 1, 4)  # (T, batch, class)
        >>> targets = torch.tensor([[0], [3], [-100]])  # (T, batch), the last step without a label
        >>> ce_framewise_loss()(outputs, targets)  # ln 4
        tensor(1.3863)
    """

    weight: Tensor | None

    def __init__(
        self,
        ignore_index: int = IGNORE_INDEX,
        weight: Tensor | None = None,
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__()
        if not 0 <= label_smoothing <= 1:
            raise ConfigError(
                f"ce_framewise_loss: label_smoothing must lie in [0, 1], got {label_smoothing}"
            )
        self.ignore_index, self.label_smoothing = ignore_index, label_smoothing
        self.register_buffer("weight", weight)

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Mean loss of the labelled time steps.

        Args:
            outputs: Spikes or membrane of the output layer, (T, batch, class).
            targets: Classes, (T, batch), integer.

        Returns:
            Scalar; 0 where no time step has a label.

        Raises:
            ValueError: If the shapes do not fit.
        """
        _check("ce_framewise_loss", outputs, targets)
        flat = targets.reshape(-1)
        total = functional.cross_entropy(
            outputs.reshape(-1, outputs.shape[-1]),
            flat,
            weight=self.weight,
            ignore_index=self.ignore_index,
            label_smoothing=self.label_smoothing,
            reduction="sum",
        )
        labelled = flat != self.ignore_index
        if self.weight is None:
            return total / labelled.sum().clamp(min=1)
        weights = self.weight[flat.where(labelled, 0)] * labelled
        return total / weights.sum().clamp(min=1e-12)


def accuracy_framewise(
    outputs: Tensor, targets: Tensor, *, ignore_index: int = IGNORE_INDEX
) -> Tensor:
    """Share of labelled time steps whose largest output is the target's.

    `framewise_accuracy` is the same as a metric that adds up over batches and processes.

    Args:
        outputs: Spikes or membrane of the output layer, (T, batch, class).
        targets: Classes, (T, batch), integer.
        ignore_index: Target of time steps without a label.

    Returns:
        Scalar in [0, 1]; NaN where no time step has a label.

    Raises:
        ValueError: If the shapes do not fit.

    Examples:
        >>> import torch
        >>> outputs = torch.eye(3).unsqueeze(1)  # (T, batch, class): classes 0, 1, 2
        >>> accuracy_framewise(outputs, torch.tensor([[0], [2], [-100]]))
        tensor(0.5000)
    """
    _check("accuracy_framewise", outputs, targets)
    labelled = targets != ignore_index
    right = (outputs.argmax(dim=-1) == targets) & labelled
    return right.sum() / labelled.sum()


def framewise_accuracy(num_classes: int, *, ignore_index: int = IGNORE_INDEX) -> Any:
    """A torchmetrics accuracy for outputs (T, batch, class) and targets (T, batch).

    Args:
        num_classes: Number of classes.
        ignore_index: Target of time steps without a label.

    Returns:
        A `torchmetrics.Metric`; `update(outputs, targets)` or a call adds a batch.

    Raises:
        ImportError: If torchmetrics is not installed; the extra `lightning` brings it.

    Examples:
        >>> import torch
        >>> metric = framewise_accuracy(3)
        >>> metric(torch.eye(3).unsqueeze(1), torch.tensor([[0], [2], [-100]]))
        tensor(0.5000)
    """
    from snn_neuromod._torchvision import ensure_torchvision

    ensure_torchvision()
    from torchmetrics.classification import MulticlassAccuracy

    class FramewiseAccuracy(MulticlassAccuracy):
        """Multiclass accuracy with the classes on the last axis."""

        def update(self, preds: Tensor, target: Tensor) -> None:
            _check("framewise_accuracy", preds, target)
            super().update(preds.movedim(-1, 1), target)

    return FramewiseAccuracy(num_classes, average="micro", ignore_index=ignore_index)


def _check(who: str, outputs: Tensor, targets: Tensor) -> None:
    if outputs.ndim != 3 or targets.shape != outputs.shape[:2]:
        raise ConfigError(
            f"{who}: outputs must have shape (T, batch, class) and targets (T, batch), "
            f"got {tuple(outputs.shape)} and {tuple(targets.shape)}; "
            "for one target per sequence use the losses of snntorch.functional"
        )
