"""Says what makes the numbers of a run doubtful: a silent layer, scores that tell nothing apart, losses of NaN."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities import rank_zero_warn
from torch import Tensor, nn

__all__ = ["Findings", "FindingsWarning", "StateWatch", "coverage", "for_summary"]


class FindingsWarning(UserWarning):
    """Training goes on, but what it shows does not mean what it seems to."""


class Findings(pl.Callback):
    """Warn after an epoch of what a task's `findings` say, once for each stage while it stays the same.

    And once when weights are no longer finite: spiking neurons then fall silent, while the loss stays finite.
    """

    def __init__(self) -> None:
        self._said: dict[str, list[str]] = {}
        self._lost = False

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        lost = [] if self._lost else _lost_weights(pl_module)
        if lost:
            self._lost = True
            rank_zero_warn(
                f"after epoch {trainer.current_epoch + 1} weights are not finite: {', '.join(lost)}. The gradient has "
                "overflowed; lower the learning rate or the recurrent weights, or bound the neuron's derivative "
                "(clip_jacobian, detach_reset)"
            )

    # A module's own hook at the end of an epoch runs after the callbacks', so they are looked up at the next hook.
    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._say(pl_module, f"after epoch {trainer.current_epoch}", "train", "val")

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._say(pl_module, "at the end of training", "train", "val")

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.state.fn == "validate":
            self._say(pl_module, "in validation", "val")

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._say(pl_module, "in the test", "test")

    def _say(self, module: Any, when: str, *stages: str) -> None:
        for stage in stages:
            found = getattr(module, "findings", {}).get(stage, [])
            new = [text for text in found if _kind(text) not in self._said.get(stage, [])]
            self._said[stage] = [_kind(text) for text in found]
            if new:
                where = f"{when}, {stage}" if len(stages) > 1 else when
                rank_zero_warn(f"{where}: {'; '.join(new)}", category=FindingsWarning)


def for_summary(module: Any, stage: str) -> list[str]:
    """Findings of a task for a stage, those of its training that are of another kind, and weights that are lost."""
    found: dict[str, list[str]] = getattr(module, "findings", {})
    own = list(found.get(stage, []))
    kinds = [_kind(text) for text in own]
    own += [f"in training {t}" for t in found.get("train", []) if _kind(t) not in kinds]
    if lost := _lost_weights(module):
        own.append(f"weights are NaN or infinite: {', '.join(lost)}")
    return own


def _kind(text: str) -> str:
    """A finding without its figures, which change from epoch to epoch."""
    return "".join(letter for letter in text if not letter.isdigit())


def coverage(loaders: Any, batches: Any, processes: int = 1) -> str:
    """How many samples limited loaders give.

    Args:
        loaders: A data loader or a list of them.
        batches: Number of batches taken of each.
        processes: Number of processes that share each.

    Returns:
        " on N of M samples" where not all are taken, else "".
    """
    loaders = loaders if isinstance(loaders, list | tuple) else [loaders]
    seen = total = 0
    for loader, number in zip(loaders, batches, strict=False):
        dataset: Any = getattr(loader, "dataset", None)
        sampler = getattr(loader, "batch_sampler", None)
        # Of a loader for prediction Lightning makes one without a batch size of its own.
        per_batch = getattr(loader, "batch_size", None) or getattr(sampler, "batch_size", None)
        if not per_batch or not hasattr(dataset, "__len__"):
            return ""
        total += len(dataset)
        seen += int(min(number * per_batch * processes, len(dataset)))
    return f" on {seen} of {total} samples" if seen < total else ""


class StateWatch:
    """Whether the states with which a network's layers end a sequence are finite, without waiting for the device.

    Neurons whose state is NaN are silent: their spikes alone do not tell.

    Args:
        network: A network; watched are its `layers`, if they give back spikes and a state.

    Attributes:
        finite: A bool scalar for each layer of the last sequence, in the order of `layers`.
    """

    def __init__(self, network: nn.Module) -> None:
        self._found: dict[int, Tensor] = {}
        for k, layer in enumerate(getattr(network, "layers", ())):
            layer.register_forward_hook(partial(self._keep, k))

    @property
    def finite(self) -> list[Tensor]:
        return [self._found[k] for k in sorted(self._found)]

    def _keep(self, k: int, layer: nn.Module, given: Any, out: Any) -> None:
        leaves = [x.detach() for x in torch.utils._pytree.tree_leaves(out) if torch.is_tensor(x)]
        leaves = [leaf for leaf in leaves if leaf.is_floating_point()]
        if leaves:  # a sum is finite where all its parts are
            self._found[k] = torch.stack([leaf.sum().isfinite() for leaf in leaves]).all()


def _lost_weights(module: nn.Module) -> list[str]:
    """Names of the parameters that are not finite; waits for the device."""
    return [name for name, p in module.named_parameters() if not bool(p.isfinite().all())]
