"""Loss and accuracy per time step with padding."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from snn_neuromod._torchvision import ensure_torchvision
from snn_neuromod.snntorch.functional import (
    accuracy_framewise,
    ce_framewise_loss,
    framewise_accuracy,
)

T, B, C = 7, 3, 5


@pytest.fixture(name="batch")
def _batch() -> tuple[torch.Tensor, torch.Tensor]:
    outputs = torch.randn(T, B, C, dtype=torch.float64, requires_grad=True)
    targets = torch.randint(C, (T, B))
    targets[4:, 0] = targets[6:, 1] = -100
    return outputs, targets


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_loss_is_the_mean_over_labelled_steps(batch, weighted, smoothing) -> None:
    outputs, targets = batch
    weight = torch.rand(C, dtype=torch.float64) + 0.5 if weighted else None
    loss = ce_framewise_loss(weight=weight, label_smoothing=smoothing)(outputs, targets)
    keep = targets != -100
    expected = functional.cross_entropy(
        outputs[keep], targets[keep], weight=weight, label_smoothing=smoothing
    )
    torch.testing.assert_close(loss, expected)
    loss.backward()
    assert not outputs.grad[~keep].any()
    assert outputs.grad[keep].all()


def test_padding_does_not_change_the_loss(batch) -> None:
    outputs, targets = batch
    padded = torch.cat([outputs, torch.randn(4, B, C, dtype=torch.float64)])
    labels = torch.cat([targets, torch.full((4, B), -100)])
    torch.testing.assert_close(
        ce_framewise_loss()(padded, labels), ce_framewise_loss()(outputs, targets)
    )


def test_without_labels(batch) -> None:
    outputs, targets = batch
    nothing = torch.full_like(targets, -100)
    for loss in (ce_framewise_loss(), ce_framewise_loss(weight=torch.ones(C, dtype=torch.float64))):
        assert loss(outputs, nothing) == 0
    assert accuracy_framewise(outputs, nothing).isnan()


def test_another_index_may_be_ignored(batch) -> None:
    outputs, targets = batch
    other = targets.where(targets != -100, 0)
    keep = other != 0
    expected = functional.cross_entropy(outputs[keep], other[keep])
    torch.testing.assert_close(ce_framewise_loss(ignore_index=0)(outputs, other), expected)
    right = (outputs.argmax(-1) == other)[keep].double().mean()
    assert accuracy_framewise(outputs, other, ignore_index=0) == pytest.approx(float(right))


def test_accuracy_counts_labelled_steps(batch) -> None:
    outputs, targets = batch
    keep = targets != -100
    right = (outputs.argmax(-1) == targets)[keep]
    assert 0 < right.sum() < len(right)
    assert accuracy_framewise(outputs, targets) == pytest.approx(float(right.double().mean()))


def test_metric_adds_up_over_batches(batch) -> None:
    ensure_torchvision()
    pytest.importorskip("torchmetrics")
    outputs, targets = batch
    metric = framewise_accuracy(C)
    for part in (slice(0, 2), slice(2, T)):
        metric.update(outputs[part], targets[part])
    assert float(metric.compute()) == pytest.approx(float(accuracy_framewise(outputs, targets)))


@pytest.mark.parametrize("who", ["loss", "accuracy", "metric"])
def test_targets_of_whole_sequences_are_refused(batch, who) -> None:
    outputs, _ = batch
    if who == "metric":
        ensure_torchvision()
        pytest.importorskip("torchmetrics")
        function = framewise_accuracy(C)
    else:
        function = ce_framewise_loss() if who == "loss" else accuracy_framewise
    with pytest.raises(ValueError, match=r"\(T, batch, class\) and targets \(T, batch\)"):
        function(outputs, torch.zeros(B, dtype=torch.long))


def test_label_smoothing_is_checked() -> None:
    with pytest.raises(ValueError, match="label_smoothing"):
        ce_framewise_loss(label_smoothing=float("nan"))
