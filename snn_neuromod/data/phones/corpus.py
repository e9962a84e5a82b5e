"""What a corpus of labelled speech is: utterances with phone labels in samples, in three splits."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal, NamedTuple, Protocol, get_args, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from snn_neuromod.errors import ConfigError, DataError

__all__ = ["Corpus", "Segment", "Split", "Utterance", "check_segments"]

Split = Literal["train", "validation", "test"]

# Label files whose last label ends later than the audio by less than one frame are in use.
_EXCESS_SECONDS = 0.01


class Segment(NamedTuple):
    """A stretch of speech with one phone label.

    Attributes:
        start: First sample.
        end: Sample after the last one, greater than start.
        label: The label, one of the corpus's `labels`.
    """

    start: int
    end: int
    label: str


class Utterance(NamedTuple):
    """One recording and its labels.

    Attributes:
        name: Name within the corpus, as `Corpus.names` gives it.
        speaker: Who speaks; the corpus's name where there is one speaker only.
        samples: float32, shape (samples,), in [-1, 1].
        rate: Samples per second.
        segments: In order of time, without overlap; there may be gaps between them.
    """

    name: str
    speaker: str
    samples: NDArray[np.float32]
    rate: int
    segments: tuple[Segment, ...]


@runtime_checkable
class Corpus(Protocol):
    """Utterances with phone labels, in three splits.

    Constructors read nothing: a wrong folder shows itself at the first use.
    """

    @property
    def name(self) -> str:
        """Name of the corpus, for messages and file names."""
        ...

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the classes; the index of a label is its class."""
        ...

    @property
    def silence(self) -> str:
        """Label of the pause."""
        ...

    @property
    def identity(self) -> str:
        """A string that changes whenever labels, splits or audio change; key of caches."""
        ...

    def names(self, split: Split) -> Sequence[str]:
        """Names of the utterances of a split, always in the same order."""
        ...

    def read(self, name: str) -> Utterance:
        """Read one utterance."""
        ...


def check_split(where: str, split: str) -> None:
    """Raise ValueError unless split is one of the three."""
    if split not in get_args(Split):
        raise ConfigError(f'{where}: split must be "train", "validation" or "test", got {split!r}')


def check_every(where: str, argument: str, value: int) -> None:
    """Raise ValueError unless every value-th utterance is a part and not all of the whole."""
    if not (isinstance(value, int) and value >= 2):
        raise ConfigError(
            f"{where}: {argument} must be an integer of at least 2, got {value!r}: "
            "every so many utterances one is set aside"
        )


def set_aside(names: Sequence[str], every: int) -> tuple[list[str], list[str]]:
    """Split names into (those that stay, the first of every `every`)."""
    return [n for i, n in enumerate(names) if i % every], list(names[::every])


def fingerprint(parts: Iterable[object], files: Iterable[Path] = ()) -> str:
    """Digest of some settings and of files' names, sizes and times of change."""
    digest = hashlib.sha256(repr(list(parts)).encode())
    for path in files:
        stat = path.stat()
        digest.update(repr((path.name, stat.st_size, stat.st_mtime_ns)).encode())
    return digest.hexdigest()[:16]


def check_segments(
    path: Path,
    segments: Iterable[Segment],
    *,
    labels: Sequence[str],
    num_samples: int,
    rate: int,
) -> tuple[Segment, ...]:
    """Check the labels of one recording.

    Args:
        path: The label file, for messages.
        segments: The labels in the order of the file.
        labels: The labels that may occur.
        num_samples: Length of the recording.
        rate: Samples per second.

    Returns:
        The segments. A last one that ends later than the audio, by less than 10 ms, ends with it.

    Raises:
        DataError: If there is none, one is empty, begins before its predecessor ends or before 0,
            has an unknown label, or ends beyond the audio.
    """
    checked: list[Segment] = []
    known = set(labels)
    for segment in segments:
        begin, end, label = segment
        line = f'"{begin} {end} {label}" (in samples)'
        if label not in known:
            raise DataError(
                f"label {label!r} is not in the label set of {len(known)} "
                f"({', '.join(list(labels)[:6])}, ...). Correct the file, or give labels= that hold it",
                path,
            )
        if not end > begin:
            raise DataError(f"a label must end after it starts, got {line}", path)
        if begin < (checked[-1].end if checked else 0):
            raise DataError(
                f"labels must not overlap and not begin before 0, got {line} after "
                f"{checked[-1].end if checked else 0}",
                path,
            )
        if begin >= num_samples or end >= num_samples + _EXCESS_SECONDS * rate:
            raise DataError(
                f"labels must end within the audio of {num_samples} samples, got {line}. "
                "Are audio and labels of the same recording and the same sampling rate?",
                path,
            )
        checked.append(Segment(begin, min(end, num_samples), label))
    if not checked:
        raise DataError("holds no labels; a line must be: start end label", path)
    return tuple(checked)
