"""Features and frame labels of a whole split, extracted once and kept in the user's cache folder."""

from __future__ import annotations

import hashlib
import sys
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from snn_neuromod.data.cache import CACHE_VARIABLE, cache_folder, write_atomically
from snn_neuromod.data.phones.corpus import Corpus, Split
from snn_neuromod.data.phones.features import IGNORE, frame_labels
from snn_neuromod.errors import ConfigError, DataError

__all__ = ["Cache", "Features", "FrameTable", "Statistics", "frame_table", "train_statistics"]

Cache = str | Path | Literal[False] | None
"""Folder of cached features; None: the user's cache folder; False: nothing is cached."""

_VERSION = 1  # of the file's layout and of the features; part of the key


class Features(Protocol):
    """What computes features; its `repr` must tell all settings, as a dataclass's does."""

    @property
    def rate(self) -> int:
        """Samples per second."""
        ...

    @property
    def hop(self) -> int:
        """Samples from frame to frame."""
        ...

    @property
    def num_channels(self) -> int:
        """Features per frame."""
        ...

    def centres(self, num_frames: int) -> NDArray[np.int64]:
        """The sample at the centre of each frame."""
        ...

    def __call__(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Features (frames, num_channels) of a recording."""
        ...


class Statistics(NamedTuple):
    """Mean and standard deviation over frames.

    Attributes:
        mean: float32, shape (channels,).
        std: float32, shape (channels,).
    """

    mean: NDArray[np.float32]
    std: NDArray[np.float32]


class FrameTable(NamedTuple):
    """All frames of a split, utterance after utterance.

    Attributes:
        features: float32, shape (frames, channels), not normalised.
        labels: int64, shape (frames,).
        lengths: int64, shape (utterances,), frames of each.
        names: str, shape (utterances,).
        mean: float32, shape (channels,), over the frames of this split.
        std: float32, shape (channels,), likewise.
    """

    features: NDArray[np.float32]
    labels: NDArray[np.int64]
    lengths: NDArray[np.int64]
    names: NDArray[Any]
    mean: NDArray[np.float32]
    std: NDArray[np.float32]


def frame_table(
    corpus: Corpus, split: Split, features: Features, *, cache: Cache = None
) -> FrameTable:
    """Features and labels of a split, from the cache if they are there.

    The cache holds one file per corpus, split and settings. A file that is damaged, or holds what
    cannot be, is made again.

    Args:
        corpus: The corpus.
        split: "train", "validation" or "test".
        features: Computes the features.
        cache: Where they are kept.

    Returns:
        The frames.

    Raises:
        ValueError: If the split is empty, or an utterance does not fit the features.
    """
    if cache is False:
        return _extract(corpus, split, features)
    path = _path(corpus, split, features, cache)
    kept = _kept(path, FrameTable._fields, corpus, features)
    if kept is not None:
        return FrameTable(**kept)
    table = _extract(corpus, split, features)
    try:
        write_atomically(path, lambda file: np.savez(file, **table._asdict()))
    except OSError as error:
        warnings.warn(
            f"PhoneFrames: features are not kept, {path.parent} cannot be written to ({error}); "
            f"set {CACHE_VARIABLE} to another folder",
            stacklevel=2,
        )
    return table


def train_statistics(corpus: Corpus, features: Features, *, cache: Cache = None) -> Statistics:
    """Mean and standard deviation of each channel over the frames of the train split.

    Arguments as in `frame_table`.
    """
    if cache is not False:
        path = _path(corpus, "train", features, cache)
        kept = _kept(path, Statistics._fields, corpus, features)
        if kept is not None:
            return Statistics(**kept)
    table = frame_table(corpus, "train", features, cache=cache)
    return Statistics(table.mean, table.std)


def _path(corpus: Corpus, split: Split, features: Features, cache: str | Path | None) -> Path:
    folder = cache_folder("features") if cache is None else Path(cache).expanduser()
    parts = (_VERSION, corpus.identity, corpus.labels, corpus.silence, split, features)
    key = hashlib.sha256(repr(parts).encode()).hexdigest()[:16]
    return folder / f"{corpus.name}-{split}-{key}.npz"


def _kept(
    path: Path, names: Sequence[str], corpus: Corpus, features: Features
) -> dict[str, NDArray[Any]] | None:
    """Arrays of a cached file; None if there is none, or anything about them is wrong."""
    if not path.is_file():
        return None
    try:
        arrays = _read(path, names)
        _check(arrays, num_classes=len(corpus.labels), num_channels=features.num_channels)
    except Exception as error:  # whatever zipfile, zlib and numpy raise for damaged content
        warnings.warn(f"PhoneFrames: {path} is damaged ({error}) and made again", stacklevel=3)
        return None
    return arrays


def _read(path: Path, names: Sequence[str]) -> dict[str, NDArray[Any]]:
    """Arrays of a file as `np.savez` writes it, whose checksums are checked."""
    with path.open("rb") as raw, zipfile.ZipFile(raw) as archive:
        if any(part.compress_type != zipfile.ZIP_STORED for part in archive.infolist()):
            raise DataError("it is compressed, which it never is")  # and could unpack to any size
        raw.seek(0)
        with np.load(raw, allow_pickle=False) as file:
            return {name: file[name] for name in names}


def _check(arrays: dict[str, NDArray[Any]], *, num_classes: int, num_channels: int) -> None:
    """Raise DataError unless arrays of a table are such as `_extract` makes."""
    frames, utterances = len(arrays.get("labels", ())), len(arrays.get("lengths", ()))
    shapes = {
        "features": (np.float32, (frames, num_channels)),
        "labels": (np.int64, (frames,)),
        "lengths": (np.int64, (utterances,)),
        "names": (np.str_, (utterances,)),
        "mean": (np.float32, (num_channels,)),
        "std": (np.float32, (num_channels,)),
    }
    for name, array in arrays.items():
        kind, shape = shapes[name]
        if not issubclass(array.dtype.type, kind) or array.shape != shape:
            raise DataError(f"{name} are {array.dtype} {array.shape}, not {kind.__name__} {shape}")
        if kind is np.float32 and not np.isfinite(array).all():
            raise DataError(f"{name} are not finite")
    if (arrays["std"] < 0).any():
        raise DataError("std is negative")
    if "lengths" in arrays:
        _check_labels(arrays["labels"], arrays["lengths"], num_classes)


def _check_labels(labels: NDArray[np.int64], lengths: NDArray[np.int64], num_classes: int) -> None:
    if not (len(lengths) and lengths.min() > 0 and lengths.sum() == len(labels)):
        raise DataError(f"lengths do not add up to {len(labels)} frames")
    if not ((labels == IGNORE) | (labels >= 0) & (labels < num_classes)).all():
        raise DataError(f"labels lie outside [0, {num_classes - 1}]")


def _extract(corpus: Corpus, split: Split, features: Features) -> FrameTable:
    names = list(corpus.names(split))
    if not names:
        raise ConfigError(
            f"PhoneFrames: corpus must have utterances for {split}, {corpus.name} has none"
        )
    pairs = [_utterance(corpus, name, features) for name in _progress(names, corpus.name, split)]
    frames = np.concatenate([frames for frames, _ in pairs])
    mean = frames.mean(axis=0, dtype=np.float64)
    std = frames.std(axis=0, dtype=np.float64)
    return FrameTable(
        features=frames,
        labels=np.concatenate([labels for _, labels in pairs]),
        lengths=np.array([len(labels) for _, labels in pairs], dtype=np.int64),
        names=np.array(names),
        mean=mean.astype(np.float32),
        std=std.astype(np.float32),
    )


def _utterance(
    corpus: Corpus, name: str, features: Features
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    utterance = corpus.read(name)
    if utterance.rate != features.rate:
        raise ConfigError(
            f"PhoneFrames: features must be for {utterance.rate} samples/s, the rate of {name} in "
            f"{corpus.name}, got {features.rate}; set rate, or resample the audio"
        )
    try:
        frames = features(utterance.samples)
        centres = features.centres(len(frames))
        labels = frame_labels(utterance.segments, centres, corpus.labels, silence=corpus.silence)
        if not np.isfinite(frames).all():
            raise DataError("features must be finite, got NaN or infinity")
    except ValueError as error:
        raise DataError(
            f"PhoneFrames: cannot use utterance {name} of {corpus.name}: {error}"
        ) from error
    return frames, labels


def _progress(names: list[str], corpus: str, split: str) -> Iterator[str]:
    """The names, with a bar on standard error if it takes more than two seconds."""
    try:
        from tqdm import tqdm
    except ImportError:
        return iter(names)
    often = sys.stderr.isatty()
    bar = tqdm(
        names,
        desc=f"features of {corpus}, {split}",
        unit=" utterances",
        delay=2,
        mininterval=0.1 if often else 30,
    )
    return iter(bar)
