"""Corpora in TIMIT's folder conventions: audio beside label files of "start end label" lines."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
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
from snn_neuromod.data.phones.walk import files_below
from snn_neuromod.data.text import numbered_lines
from snn_neuromod.errors import ConfigError, DataError

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
    of `NAME.wav` and `NAME.wav.wav` the first is read. Folders and recordings may be links. What is
    reached in several ways is one utterance, of the split in whose folder it lies itself, else of
    test before validation before train; links that lead back are not followed.

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
        ValueError: If an argument is wrong.
        DataError: If names differ in letter case only, there is one training utterance and none for
            validation or, on reading, audio or labels are wrong.
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
            raise ConfigError(
                f'TimitFolder: labels must be "timit", "russian" or a list, got {labels!r}'
            )
        self.silence = str(silence)
        if self.silence not in self.labels or len(set(self.labels)) != len(self.labels):
            raise ConfigError(
                "TimitFolder: labels must be different and hold silence; give silence=LABEL, "
                f"got {silence!r} and {list(self.labels)}"
            )
        self.root = Path(root).expanduser()
        self.name = Path(os.path.realpath(self.root)).name
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
            raise ConfigError(f"TimitFolder: there is no utterance {name!r} in {self.root}")
        samples, rate = read_audio(files.audio)
        if rate != self.rate:
            raise DataError(
                f"must have {self.rate} samples per second, got {rate}; "
                "resample audio and labels, or give rate=",
                files.audio,
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
        # What links reach from several splits belongs to test before validation before train.
        folders = [f for split in reversed(_SPLITS) for f in _folders_named(self.root, split)]
        parts = _once(folders, [_pairs(self.root, paths) for paths in files_below(folders)])
        return {name: files for part in reversed(parts) for name, files in part.items()}

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
            if len(splits["train"]) < 2:
                raise DataError(
                    f"TimitFolder: {self.root} must hold at least 2 utterances for train, of which one is set aside "
                    "for validation, found 1; add some, or a folder validation",
                    self.root,
                )
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
        DataError: If a line has another form.
    """
    return [_parse(path, number, line) for number, line in numbered_lines(path)]


def _parse(path: str | Path, number: int, line: str) -> Segment:
    try:
        start, end, label = line.split()
        return Segment(int(start), int(end), label)
    except ValueError:
        raise DataError(
            f'line {number} must be "start end label" with times in samples, got {line!r}', path
        ) from None


def _folders_named(root: Path, name: str) -> list[Path]:
    if not root.is_dir():
        return []
    return sorted(path for path in root.iterdir() if path.is_dir() and path.name.lower() == name)


def _pairs(root: Path, paths: Iterable[Path]) -> dict[str, _Files]:
    """Utterances among the files below root by name, sorted by their names in lower case."""
    audio: dict[str, Path] = {}
    phones: dict[str, Path] = {}
    for path in sorted(paths, key=lambda path: len(path.name)):
        lower = path.relative_to(root).as_posix().lower()
        if lower.endswith(".wav.wav"):
            # Copies converted from SPHERE are often kept as NAME.wav.wav beside NAME.wav.
            audio.setdefault(lower[:-8], path)
        elif lower.endswith((".wav", ".phn")):
            other = (audio if lower.endswith(".wav") else phones).setdefault(lower[:-4], path)
            if other is not path:
                raise DataError(
                    f"must differ from {other.name} in more than letter case; rename it", path
                )
    for name in sorted(audio.keys() ^ phones.keys()):
        path, missing = (audio[name], ".phn") if name in audio else (phones[name], ".wav")
        raise FileNotFoundError(
            f"{path}: must have a {missing} file of the same name beside it; copy it there or "
            "remove this one"
        )
    return {_name(root, audio[key]): _Files(audio[key], phones[key]) for key in sorted(audio)}


def _name(root: Path, audio: Path) -> str:
    name = audio.relative_to(root).as_posix()
    return name[: -8 if name.lower().endswith(".wav.wav") else -4]


def _once(folders: Sequence[Path], parts: Sequence[dict[str, _Files]]) -> list[dict[str, _Files]]:
    """The same, each recording once: where it lies itself, else in the first part that links to it."""
    owner: dict[Path, tuple[bool, int, str]] = {}
    for number, (folder, part) in enumerate(zip(folders, parts, strict=True)):
        home = Path(os.path.realpath(folder))
        for name, files in part.items():
            target = Path(os.path.realpath(files.audio))  # also of a link that leads to itself
            claim = (not target.is_relative_to(home), number, name)
            owner[target] = min(claim, owner.get(target, claim))
    owners = {(number, name) for _, number, name in owner.values()}
    return [
        {name: files for name, files in part.items() if (number, name) in owners}
        for number, part in enumerate(parts)
    ]
