"""Data module of N-MNIST."""

from __future__ import annotations

from lightning_modules.data.loader import KeyedDataModule
from snn_neuromod.data.frames import BinaryFrames
from snn_neuromod.data.nmnist import NMNIST as Recordings  # noqa: N811
from snn_neuromod.errors import ConfigError

__all__ = ["NMNIST"]


class NMNIST(KeyedDataModule):
    """N-MNIST from a local folder, as binary frames of equal length in time.

    Args:
        root: Folder of the recordings, in one of the layouts of `snn_neuromod.data.nmnist.NMNIST`.
        batch_size: Samples per batch, >= 1.
        num_steps: Frames per recording, >= 1.
        duration_us: Time covered by them, in microseconds; recordings last 300 to 340 ms.
        val_fraction: Part of the training recordings set aside for validation, in [0, 1).
        seed: Seed of split and shuffling, >= 0.
        num_workers: Worker processes per loader, >= 0.

    Attributes:
        num_inputs: 2312, 2 polarities of 34 x 34 pixels.
        num_classes: 10.

    Raises:
        FileNotFoundError: From `prepare_data`, if root holds no recordings.
    """

    num_inputs = 2312
    num_classes = 10

    def __init__(
        self,
        root: str,
        batch_size: int = 64,
        num_steps: int = 60,
        duration_us: int = 300_000,
        val_fraction: float = 0.1,
        seed: int = 0,
        num_workers: int = 0,
    ) -> None:
        super().__init__(batch_size, val_fraction, seed, num_workers)
        self.root = root
        self.num_steps = num_steps
        if num_steps >= 1 and duration_us % num_steps:
            raise ConfigError(
                f"NMNIST: duration_us must be a multiple of num_steps, got {duration_us} and "
                f"{num_steps}"
            )
        window = duration_us // max(num_steps, 1)
        self.transform = BinaryFrames(Recordings.sensor_size, num_steps, window)

    @property
    def total_steps(self) -> int:
        """Length T of a sample."""
        return self.num_steps

    def prepare_data(self) -> None:
        Recordings(self.root, "train")
        Recordings(self.root, "test")

    def setup(self, stage: str | None = None) -> None:
        if stage in ("fit", "validate", None) and "train" not in self._datasets:
            recordings = Recordings(self.root, "train", transform=self.transform)
            train, val = self.split(len(recordings))
            self._datasets["train"] = recordings.select(train.tolist())
            self._datasets["val"] = recordings.select(val.tolist())
        if stage in ("test", "predict", None) and "test" not in self._datasets:
            self._datasets["test"] = Recordings(self.root, "test", transform=self.transform)
