"""A data loader that a checkpoint taken inside an epoch resumes at the next batch."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from multiprocessing import get_all_start_methods, get_context
from multiprocessing.context import BaseContext
from typing import Any, cast

import torch
from pytorch_lightning import LightningDataModule, Trainer
from torch import Tensor
from torch.utils.data import DataLoader

from lightning_modules.arguments import FRACTION, ONE_OR_MORE, ZERO_OR_MORE, check
from lightning_modules.memory import refuse_larger
from snn_neuromod.data.images import Split
from snn_neuromod.data.keyed import Indexed, KeyedSampler
from snn_neuromod.data.spiking_images import collate_time_first
from snn_neuromod.dynamics.parameter import Range

__all__ = ["KeyedDataModule", "ResumableLoader", "mixed_order"]

Batch = tuple[Tensor, Tensor]
WORKERS = 32
"""Most worker processes for each core of the machine: they wait for disks, but each takes memory of its own."""


class ResumableLoader(DataLoader[Batch]):
    """A DataLoader that leaves out the batches an interrupted run has trained on.

    Args:
        *args: As for DataLoader.
        start_epoch: Epoch of the sampler in which batches are left out.
        start_batch: Number of batches left out then.
        **kwargs: As for DataLoader.
    """

    def __init__(
        self, *args: Any, start_epoch: int = 0, start_batch: int = 0, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.start_epoch = start_epoch
        self.start_batch = start_batch

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        # A generator starts at its first batch. Lightning asks a resumed run for the iterator
        # before it sets the sampler's epoch, and worker processes would read ahead at once.
        resumed = getattr(self.sampler, "epoch", None) == self.start_epoch
        yield from islice(super().__iter__(), self.start_batch if resumed else 0, None)

    def state_dict(self) -> dict[str, Any]:
        """Empty: the position is in the data module's state. Tells Lightning of resumption."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Nothing to load."""


class KeyedDataModule(LightningDataModule):
    """Loaders over data sets whose randomness is keyed by (seed, epoch, index), and resumption.

    Args:
        batch_size: Samples per batch, >= 1.
        val_fraction: Part of the training samples set aside for validation, in [0, 1).
        seed: Seed of split, shuffling and noise, >= 0.
        num_workers: Worker processes per loader, >= 0; at most 32 for each core of the machine.

    Raises:
        ValueError: If an argument is out of its range.
    """

    collate: Callable[..., Any] = staticmethod(collate_time_first)

    def __init__(self, batch_size: int, val_fraction: float, seed: int, num_workers: int) -> None:
        super().__init__()
        name = type(self).__name__
        check(name, "batch_size", batch_size, ONE_OR_MORE)
        check(name, "val_fraction", val_fraction, FRACTION)
        check(name, "seed", seed, ZERO_OR_MORE)
        check(name, "num_workers", num_workers, Range(0, WORKERS * (os.cpu_count() or 1)))
        self.batch_size, self.val_fraction = batch_size, val_fraction
        self.seed, self.num_workers = seed, num_workers
        self._start = (0, 0)
        self._datasets: dict[str, Indexed[Any]] = {}

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        spikes, labels = batch
        trainer = cast(Trainer, self.trainer)
        if getattr(trainer.lightning_module, "byte_spikes", False):
            return spikes, labels
        mixed = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}
        dtype = mixed.get(str(trainer.precision), trainer.lightning_module.dtype)
        return spikes.to(dtype), labels

    def state_dict(self) -> dict[str, Any]:
        fit: Any = cast(Trainer, self.trainer).fit_loop
        epochs = fit.epoch_progress.current
        inside = epochs.processed < epochs.ready
        batches = fit.epoch_loop.batch_progress.current.processed
        return {"epoch": epochs.processed, "batch": batches if inside else 0}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._start = (state_dict["epoch"], state_dict["batch"])

    def teardown(self, stage: str) -> None:
        self._start = (0, 0)

    def setup(self, stage: str | None = None) -> None:
        """Make the data sets of a stage that are not there yet."""
        if stage in ("fit", "validate", None) and "train" not in self._datasets:
            self._datasets |= self.load("train")
        if stage in ("test", "predict", None) and "test" not in self._datasets:
            self._datasets |= self.load("test")

    def load(self, split: Split) -> Mapping[str, Indexed[Any]]:
        """The data sets "train" and "val" of the training samples, or "test" of the others."""
        raise NotImplementedError

    def parts(self, split: Split, num_samples: int) -> dict[str, Tensor]:
        """Indices of the samples in each data set of a split; what serves for validation is drawn by the seed."""
        if split == "test":
            return {"test": torch.arange(num_samples)}
        order = torch.randperm(num_samples, generator=torch.Generator().manual_seed(self.seed))
        num_val = round(self.val_fraction * num_samples)
        return {"train": order[num_val:], "val": order[:num_val]}

    def train_dataloader(self) -> ResumableLoader:
        epoch, batch = self._start
        train = self._datasets["train"]
        sampler = KeyedSampler(train, seed=self.seed)
        return self._loader(train, sampler=sampler, start_epoch=epoch, start_batch=batch)

    def val_dataloader(self) -> ResumableLoader | list[Any]:
        return self._loader(self._datasets["val"]) if len(self._datasets["val"]) else []

    def test_dataloader(self) -> ResumableLoader:
        test = self._datasets["test"]
        return self._loader(test, sampler=mixed_order(getattr(test, "labels", ())))

    def predict_dataloader(self) -> ResumableLoader:
        return self._loader(self._datasets["test"])

    def _refuse_larger_than_memory(self, size: int) -> None:
        """Refuse batches of which the spikes alone, a byte each, are more than the machine's memory."""
        steps, inputs = (getattr(self, name, None) for name in ("total_steps", "num_inputs"))
        if steps and inputs:
            what = f"a batch of {size} samples of {steps} steps of {inputs} inputs"
            fix = "lower num_steps or batch_size"
            refuse_larger(type(self).__name__, what, size * steps * inputs, fix)

    def _loader(self, dataset: Indexed[Any], **options: Any) -> ResumableLoader:
        size = min(self.batch_size, max(1, len(dataset)))
        self._refuse_larger_than_memory(size)
        strategy = getattr(self.trainer, "strategy", None)
        to_cuda = strategy is not None and strategy.root_device.type == "cuda"
        return ResumableLoader(
            dataset,
            batch_size=size,
            collate_fn=self.collate,
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
            multiprocessing_context=_workers() if self.num_workers else None,
            pin_memory=to_cuda,  # Lightning then copies without waiting
            **options,
        )


def _workers() -> BaseContext:
    """How worker processes start: as copies of one that has imported what they need and runs nothing.

    A copy of this process, which runs threads, may hang, and a new one imports everything, for some seconds each.
    """
    if "forkserver" not in get_all_start_methods():
        return get_context("spawn")
    context = get_context("forkserver")
    context.set_forkserver_preload(["lightning_modules.data"])
    return context


def mixed_order(labels: Sequence[int] | Tensor) -> list[int] | None:
    """An order of samples in which a limited test does not see one class only.

    Args:
        labels: Their classes.

    Returns:
        None where classes change often enough as it is, else always the same random order.

    Examples:
        >>> mixed_order([3, 1, 2, 0]) is None, mixed_order([0] * 5 + [1] * 5)
        (True, [4, 1, 7, 5, 3, 9, 0, 8, 6, 2])
    """
    given = torch.as_tensor(labels)
    changes = int((given[1:] != given[:-1]).sum()) if given.ndim == 1 else len(given)
    if changes >= len(given) // 4:
        return None
    generator = torch.Generator().manual_seed(0)
    order: list[int] = torch.randperm(len(given), generator=generator).tolist()
    return order
