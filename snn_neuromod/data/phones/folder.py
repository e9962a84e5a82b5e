"""Corpora in TIMIT's folder conventions: audio beside label files of "start end label" lines."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Literal, NamedTuple

from snn_neuromod.data.phones.audio import read_audio
from snn_neuromod.data.phones.corpus import (
    Segment,
    Split,
    Utterance,
    check_every,
    check_segments,
    check_split,
    fingerprint,
    set_aside,
)
from snn_neuromod.data.phones.labels import RUSSIAN_LABELS, SILENCE, TIMIT_LABELS

__all__ = ["TimitFolder", "read_phn"]

_NAMED = {"timit": TIMIT_LABELS, "russian": RUSSIAN_LABELS}
_SPLITS: tuple[Split, ...] = ("train", "validation", "test")


class _Files(NamedTuple):
    audio: Path
    phones: Path


class TimitFolder:
    """A folder with `train` and `test`, and below them audio with label files.

    `NAME.wav` (RIFF or NIST SPHERE) lies beside `NAME.phn`, whose lines are "start end label" in
    samples, directly in the split's folder or in any folders below it; the innermost one names the
    speaker. Upper and lower case of all names are taken for the same, hidden files are skipped, and
    of `NAME.wav` and `NAME.wav.wav` the first is read.

    Args:
        root: Folder that holds `train`, `test` and perhaps `validation`.
        labels: "timit" (61), "russian" (the 51 of festvox-ru), or the labels themselves.
        silence: Label of the pause; needed only where labels are given themselves.
        rate: Samples per second that every recording must have.
        validation_every: Where there is no folder `validation`, the first of every so many
            utterances of `train`, in order of their names, is one for validation.

    Attributes:
        name: Name of the folder.
        root: The folder.

    Raises:
        FileNotFoundError: On first use, if root does not hold such folders, or audio or labels
            lack their counterpart; the message names the file.
        ValueError: If an argument is wrong or, on reading, audio or labels are.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        *,
        labels: Literal["timit", "russian"] | Sequence[str] = "timit",
        silence: str | None = None,
        rate: int = 16_000,
        validation_every: int = 10,
    ) -> None:
        check_every("TimitFolder", "validation_every", validation_every)
        if not isinstance(labels, str):
            self.labels = tuple(labels)
        elif labels in _NAMED:
            self.labels = _NAMED[labels]
            silence = SILENCE[labels] if silence is None else silence
        else:
            raise ValueError(
                f'TimitFolder: labels must be "timit", "russian" or a list, got {labels!r}'
            )
        self.silence = str(silence)
        if self.silence not in self.labels or len(set(self.labels)) != len(self.labels):
            raise ValueError(
                "TimitFolder: labels must be different and hold silence; give silence=LABEL, "
                f"got {silence!r} and {list(self.labels)}"
            )
        self.root = Path(root).expanduser()
        self.name = self.root.resolve().name
        self.rate = rate
        self.validation_every = validation_every

    def names(self, split: Split) -> Sequence[str]:
        check_split("TimitFolder", split)
        names = self._splits[split]
        if not names:
            raise FileNotFoundError(
                f"TimitFolder: {self.root} must hold utterances for {split}, found none"
            )
        return names

    def read(self, name: str) -> Utterance:
        files = self._files.get(name)
        if files is None:
            raise ValueError(f"TimitFolder: there is no utterance {name!r} in {self.root}")
        samples, rate = read_audio(files.audio)
        if rate != self.rate:
            raise ValueError(
                f"{files.audio}: must have {self.rate} samples per second, got {rate}; "
                "resample audio and labels, or give rate="
            )
        segments = check_segments(
            files.phones,
            read_phn(files.phones),
            labels=self.labels,
            num_samples=len(samples),
            rate=rate,
        )
        parents = name.split("/")[1:-1]
        return Utterance(name, parents[-1] if parents else self.name, samples, rate, segments)

    @property
    def identity(self) -> str:
        settings = (self.labels, self.silence, self._splits)
        files = [path for pair in self._files.values() for path in pair]
        return f"{self.name}-{fingerprint(settings, files)}"

    @cached_property
    def _files(self) -> dict[str, _Files]:
        return {
            name: files
            for split in _SPLITS
            for folder in _folders_named(self.root, split)
            for name, files in _scan(self.root, folder)
        }

    @cached_property
    def _splits(self) -> dict[Split, list[str]]:
        splits: dict[Split, list[str]] = {
            split: [name for name in self._files if name.split("/")[0].lower() == split]
            for split in _SPLITS
        }
        if not splits["train"]:
            raise FileNotFoundError(
                f"TimitFolder: root must hold a folder train with .wav and .phn files, got "
                f"{self.root}{'' if self.root.is_dir() else ', which is no folder'}. "
                "Correct root or copy the corpus there"
            )
        if not splits["validation"]:
            splits["train"], splits["validation"] = set_aside(
                splits["train"], self.validation_every
            )
        return splits


def read_phn(path: str | Path) -> list[Segment]:
    """Read a label file of lines "start end label", in samples.

    Args:
        path: The file.

    Returns:
        The segments in the order of the lines.

    Raises:
        ValueError: If a line has another form.
    """
    lines = Path(path).read_text("utf-8", "replace").splitlines()
    return [
        _parse(path, number, line) for number, line in enumerate(lines, start=1) if line.strip()
    ]


def _parse(path: str | Path, number: int, line: str) -> Segment:
    try:
        start, end, label = line.split()
        return Segment(int(start), int(end), label)
    except ValueError:
        raise ValueError(
            f'{path}: line {number} must be "start end label" with times in samples, got {line!r}'
        ) from None


def _folders_named(root: Path, name: str) -> list[Path]:
    if not root.is_dir():
        return []
    return sorted(path for path in root.iterdir() if path.is_dir() and path.name.lower() == name)


def _scan(root: Path, folder: Path) -> Iterator[tuple[str, _Files]]:
    """Utterances below a folder as (name, files), sorted by their names in lower case."""
    audio: dict[str, Path] = {}
    phones: dict[str, Path] = {}
    for path in sorted(_visible_files(folder), key=lambda path: len(path.name)):
        name, lower = path.relative_to(root).as_posix(), path.name.lower()
        if lower.endswith(".phn"):
            phones[name[:-4]] = path
        elif lower.endswith(".wav"):
            # Copies converted from SPHERE are often kept as NAME.wav.wav beside NAME.wav.
            audio.setdefault(name[: -8 if lower.endswith(".wav.wav") else -4], path)
    for name in sorted(audio.keys() ^ phones.keys()):
        path, missing = (audio[name], ".phn") if name in audio else (phones[name], ".wav")
        raise FileNotFoundError(
            f"{path}: must have a {missing} file of the same name beside it; copy it there or "
            "remove this one"
        )
    for name in sorted(audio, key=str.lower):
        yield name, _Files(audio[name], phones[name])


def _visible_files(folder: Path) -> Iterator[Path]:
    for parent, folders, files in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(parent, name) for name in files if not name.startswith("."))
