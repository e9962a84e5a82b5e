"""Data module of framewise phone classification."""

from __future__ import annotations

from typing import Any, cast, get_args

import numpy as np
import torch

from lightning_modules.data.loader import KeyedDataModule, ResumableLoader
from snn_neuromod.data.keyed import Indexed
from snn_neuromod.data.phones.corpus import Corpus, Split
from snn_neuromod.data.phones.extraction import Statistics, frame_table, train_statistics
from snn_neuromod.data.phones.features import Mfcc
from snn_neuromod.data.phones.frames import FrameBatch, FramePieces, PhoneFrames
from snn_neuromod.data.phones.recordings import Recordings
from snn_neuromod.errors import ConfigError

__all__ = ["FrameBatch", "PhoneFramesData"]


def _as_it_is(batch: FrameBatch) -> FrameBatch:
    return batch


class PhoneFramesData(KeyedDataModule):
    """Features and phone labels of every frame of a corpus.

    A batch is a `FrameBatch`: features (T, B, num_inputs), labels (T, B) padded with -100, lengths
    (B,), names. Training utterances come in random order, cut into pieces anew in each epoch;
    order and cuts depend on (seed, epoch) only. Validation, test and prediction see whole
    utterances, the longest first.

    Features are normalised by the training frames, whose mean and standard deviation go into the
    checkpoint: with a checkpoint, test and prediction normalise as its training did.

    Args:
        corpus: The utterances.
        features: Settings of the features; None means 39 channels, 25 ms windows every 10 ms.
        batch_size: Pieces or utterances per batch, >= 1.
        segment: Frames of a piece of a training utterance, >= 1; None trains on whole utterances.
        predict_folder: Predict for the .wav files of this folder, which need no labels; None
            predicts for the test split.
        seed: Seed of order and cuts, >= 0.
        num_workers: Worker processes per loader, >= 0.
        cache: Folder in which features are kept; None is the user's cache folder.

    Attributes:
        classes: Names of the classes.
        num_classes: Their number.
        num_inputs: Features per frame.
        frame_step_ms: Time from frame to frame in ms.

    Raises:
        ValueError: If an argument is out of its range, or, from `prepare_data`, a split is empty or
            an utterance does not fit the features.
        FileNotFoundError: From `prepare_data`, if corpus or predict_folder are not there.
    """

    collate = staticmethod(_as_it_is)

    def __init__(
        self,
        corpus: Corpus,
        features: Mfcc | None = None,
        batch_size: int = 32,
        segment: int | None = None,
        predict_folder: str | None = None,
        seed: int = 0,
        num_workers: int = 0,
        cache: str | None = None,
    ) -> None:
        super().__init__(batch_size, 0.0, seed, num_workers)
        if segment is not None and not segment >= 1:
            raise ConfigError(f"PhoneFramesData: segment must be at least 1 or null, got {segment}")
        self.corpus = corpus
        self.features = Mfcc() if features is None else features
        self.segment = segment
        self.predict_folder = predict_folder
        self.cache = cache
        self.classes = tuple(corpus.labels)
        self.num_inputs, self.num_classes = self.features.num_channels, len(self.classes)
        self.frame_step_ms = self.features.hop_ms
        self._statistics: Statistics | None = None

    @property
    def statistics(self) -> Statistics:
        """Mean and standard deviation of the training frames: the checkpoint's, if one is loaded."""
        if self._statistics is None:
            self._statistics = train_statistics(self.corpus, self.features, cache=self.cache)
        return self._statistics

    def prepare_data(self) -> None:
        stage = self.trainer.state.fn if self.trainer is not None else None
        if self.predict_folder is not None and stage == "predict":
            self._recordings().names()
            return
        for split in get_args(Split):
            frame_table(self.corpus, split, self.features, cache=self.cache)

    def setup(self, stage: str | None = None) -> None:
        """Nothing: data sets are made with their loaders, when the checkpoint is loaded."""

    def frames(self, split: Split) -> PhoneFrames:
        """The data set of a split, normalised by `statistics`."""
        return PhoneFrames(
            self.corpus, split, features=self.features, stats=self.statistics, cache=self.cache
        )

    def train_dataloader(self) -> ResumableLoader:
        self._pieces("train", segment=self.segment, seed=self.seed)
        return super().train_dataloader()

    def val_dataloader(self) -> ResumableLoader:
        return self._loader(self._pieces("validation", by_length=True))

    def test_dataloader(self) -> ResumableLoader:
        return self._loader(self._pieces("test", by_length=True))

    def predict_dataloader(self) -> ResumableLoader:
        if self.predict_folder is None:
            return self.test_dataloader()
        frames = PhoneFrames(
            self._recordings(), "test", features=self.features, stats=self.statistics, cache=False
        )
        return self._loader(FramePieces(frames, by_length=True))

    def on_after_batch_transfer(self, batch: FrameBatch, dataloader_idx: int) -> FrameBatch:
        return batch  # the trainer's precision converts floating point by itself

    def state_dict(self) -> dict[str, Any]:
        mean, std = (torch.from_numpy(array) for array in self.statistics)
        return {**super().state_dict(), **self._settings, "mean": mean, "std": std}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        for name, ours in self._settings.items():
            if state_dict[name] != ours:
                raise ConfigError(
                    f"PhoneFramesData: {name} must be as in the checkpoint, {state_dict[name]}, "
                    f"got {ours}"
                )
        self._statistics = Statistics(*(np.asarray(state_dict[name]) for name in ("mean", "std")))
        self._datasets.clear()

    @property
    def _settings(self) -> dict[str, Any]:
        """What the network of a checkpoint was trained for."""
        return {"features": repr(self.features), "classes": list(self.classes)}

    def _pieces(self, split: Split, **options: Any) -> Indexed[Any]:
        if split not in self._datasets:
            self._datasets[split] = FramePieces(self.frames(split), **options)
        return self._datasets[split]

    def _recordings(self) -> Recordings:
        return Recordings(
            cast(str, self.predict_folder), labels=self.classes, silence=self.corpus.silence
        )
