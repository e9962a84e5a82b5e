"""Data modules of event recordings: N-MNIST, and any data set of Tonic."""

from __future__ import annotations

import math
from abc import ABC
from collections.abc import Sequence
from functools import partial
from typing import Any, Protocol

from torch import Tensor
from torch.utils.data import Dataset

from lightning_modules.data.loader import KeyedDataModule
from snn_neuromod.data import nmnist
from snn_neuromod.data.frames import BinaryFrames
from snn_neuromod.data.images import Split
from snn_neuromod.data.keyed import Indexed, Key, split_key
from snn_neuromod.errors import ConfigError

__all__ = ["NMNIST", "EventFrames", "MakeRecordings", "Recordings"]


class Recordings(ABC):  # noqa: B024  (any class that has the members)
    """A data set in Tonic's form: (events, class) by index, and `sensor_size`, (W, H, P), of the class."""

    @classmethod
    def __subclasshook__(cls, kind: type, /) -> bool:
        return all(hasattr(kind, name) for name in ("sensor_size", "__len__", "__getitem__"))


class MakeRecordings(Protocol):
    """Makes the data set of a split."""

    def __call__(self, *, train: bool) -> Recordings: ...


class _Frames(Indexed[tuple[Tensor, int]], Dataset[tuple[Tensor, int]]):
    """Some recordings of a data set as frames."""

    def __init__(self, recordings: Any, which: Sequence[int], steps: int, window: int) -> None:
        self.recordings, self.which = recordings, which
        self.frames = BinaryFrames(tuple(recordings.sensor_size), steps, window)
        classes = getattr(recordings, "targets", getattr(recordings, "labels", None))
        self.labels = [] if classes is None else [classes[k] for k in which]

    def __len__(self) -> int:
        return len(self.which)

    def __getitem__(self, key: Key) -> tuple[Tensor, int]:
        events, label = self.recordings[self.which[split_key(key)[1]]]
        return self.frames(events), int(label)


class EventFrames(KeyedDataModule):
    """Event recordings of any data set in Tonic's form, as binary frames of equal length in time.

    Args:
        recordings: Makes the data set from `train`, true or false; in YAML the class and its further arguments, such as
            `{class_path: tonic.datasets.SHD, init_args: {save_to: FOLDER}}`, which downloads what is missing.
        num_classes: Number of classes.
        batch_size: Samples per batch, >= 1.
        num_steps: Frames per recording, >= 1.
        duration_us: Time covered by them, in microseconds; what comes later is left out.
        val_fraction: Part of the training recordings set aside for validation, in [0, 1).
        seed: Seed of split and shuffling, >= 0.
        num_workers: Worker processes per loader, >= 0.

    Attributes:
        num_inputs: Polarities x height x width of the sensor, known after `setup`.
        total_steps: Length T of a sample.

    Raises:
        ValueError: If an argument is outside its range.
    """

    num_inputs: int | None = None

    def __init__(
        self,
        recordings: MakeRecordings,
        num_classes: int,
        batch_size: int = 64,
        num_steps: int = 60,
        duration_us: int = 300_000,
        val_fraction: float = 0.1,
        seed: int = 0,
        num_workers: int = 0,
    ) -> None:
        super().__init__(batch_size, val_fraction, seed, num_workers)
        self.recordings, self.num_classes, self.total_steps = recordings, num_classes, num_steps
        if num_steps >= 1 and duration_us % num_steps:
            raise ConfigError(
                f"{type(self).__name__}: duration_us must be a multiple of num_steps, got {duration_us} and {num_steps}"
            )
        self._window = duration_us // max(num_steps, 1)
        BinaryFrames((1, 1, 1), num_steps, self._window)  # wrong numbers fail here

    def prepare_data(self) -> None:
        for train in (True, False):
            self.recordings(train=train)

    def load(self, split: Split) -> dict[str, _Frames]:
        found: Any = self.recordings(train=split == "train")
        self.num_inputs = math.prod(found.sensor_size)
        return {
            name: _Frames(found, which.tolist(), self.total_steps, self._window)
            for name, which in self.parts(split, len(found)).items()
        }


class NMNIST(EventFrames):
    """N-MNIST from a local folder, whose recordings last 300 to 340 ms.

    Args:
        root: Folder of the recordings, in one of the layouts of `snn_neuromod.data.nmnist.NMNIST`.
        **options: As of `EventFrames`, except `recordings` and `num_classes`.

    Raises:
        FileNotFoundError: From `prepare_data`, if root holds no recordings.
    """

    def __init__(self, root: str, **options: Any) -> None:
        super().__init__(recordings=partial(_nmnist, root), num_classes=10, **options)


def _nmnist(root: str, *, train: bool) -> Any:
    return nmnist.NMNIST(root, "train" if train else "test")
