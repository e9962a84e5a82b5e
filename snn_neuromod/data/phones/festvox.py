"""Read Russian speech of one speaker: the recordings behind the Festival voice msu_ru_nsh.

References:
    N. V. Shmyrev, "Russian language support for Festival", Debian package festvox-ru (2005-2009).
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

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
from snn_neuromod.data.phones.labels import RUSSIAN_LABELS, SILENCE
from snn_neuromod.data.text import numbered_lines
from snn_neuromod.errors import ConfigError, DataError

__all__ = ["FestvoxRussian", "read_lab"]

_DAY = 86_400.0
_VOICE = Path("usr/share/festival/voices/russian/msu_ru_nsh_clunits")


class FestvoxRussian:
    """The 620 utterances (99.5 minutes) of Debian's package festvox-ru, 51 labels, 16 kHz.

    To get it: `apt-get download festvox-ru && dpkg -x festvox-ru_*.deb DIR`. Nothing is installed,
    and nothing written into root.

    Args:
        root: DIR, or the folder below it that holds `wav` and `lab`.
        test_every: The first of every so many utterances is one for test: 78 and 542 with 8.
        validation_every: Of the others the first of every so many is one for validation.

    Attributes:
        name: "festvox-ru".
        labels: The 51 labels.
        silence: "pau".

    Raises:
        FileNotFoundError: On first use, if root does not hold these folders, or a recording has no
            labels.
        ValueError: If an argument is wrong.
        DataError: On reading, if audio or labels are wrong.
    """

    name = "festvox-ru"
    labels = RUSSIAN_LABELS
    silence = SILENCE["russian"]

    def __init__(
        self, root: str | os.PathLike[str], *, test_every: int = 8, validation_every: int = 10
    ) -> None:
        check_every("FestvoxRussian", "test_every", test_every)
        check_every("FestvoxRussian", "validation_every", validation_every)
        self.root = Path(root).expanduser()
        self.test_every = test_every
        self.validation_every = validation_every

    def names(self, split: Split) -> Sequence[str]:
        check_split("FestvoxRussian", split)
        rest, test = set_aside(self._all, self.test_every)
        train, validation = set_aside(rest, self.validation_every)
        return {"train": train, "validation": validation, "test": test}[split]

    def read(self, name: str) -> Utterance:
        audio, phones = self._paths(name)
        if name not in self._all:
            raise ConfigError(f"FestvoxRussian: there is no utterance {name!r} in {self._voice}")
        samples, rate = read_audio(audio)
        segments = read_lab(phones, rate=rate)
        if segments and segments[-1].label == self.silence:
            # The last times lie some 10 ms before the end of the audio.
            segments[-1] = segments[-1]._replace(end=max(segments[-1].end, len(samples)))
        checked = check_segments(
            phones, segments, labels=self.labels, num_samples=len(samples), rate=rate
        )
        return Utterance(name, "nsh", samples, rate, checked)

    @property
    def identity(self) -> str:
        files = [path for name in self._all for path in self._paths(name)]
        return f"{self.name}-{fingerprint((self.test_every, self.validation_every), files)}"

    def _paths(self, name: str) -> tuple[Path, Path]:
        return self._voice / "wav" / f"{name}.wav", self._voice / "lab" / f"{name}.lab"

    @cached_property
    def _voice(self) -> Path:
        for folder in (self.root, self.root / _VOICE):
            if (folder / "wav").is_dir() and (folder / "lab").is_dir():
                return folder
        raise FileNotFoundError(
            f"FestvoxRussian: root must hold the folders wav and lab, or {_VOICE.as_posix()}, got "
            f"{self.root}. To get them: apt-get download festvox-ru && dpkg -x festvox-ru_*.deb DIR"
        )

    @cached_property
    def _all(self) -> list[str]:
        names = sorted(
            path.stem for path in (self._voice / "wav").glob("*.wav") if path.name[0] != "."
        )
        if not names:
            raise FileNotFoundError(f"FestvoxRussian: {self._voice / 'wav'} holds no .wav files")
        for name in names:
            audio, phones = self._paths(name)
            if not phones.is_file():
                raise FileNotFoundError(f"{audio}: must have labels in {phones}; copy them there")
        return names


def read_lab(path: str | Path, *, rate: int) -> list[Segment]:
    """Read a Festival label file: after a line "#", lines "end colour label", end in seconds.

    Args:
        path: The file.
        rate: Samples per second.

    Returns:
        The segments, each beginning where the one before ends.

    Raises:
        DataError: If a line has another form.
    """
    lines = numbered_lines(path)
    start = next((i for i, (_, line) in enumerate(lines, 1) if line.startswith("#")), len(lines))
    rows = [_parse(path, number, line) for number, line in lines[start:]]
    ends = [round(end * rate) for end, _ in rows]
    return [
        Segment(start, end, label)
        for start, end, (_, label) in zip([0, *ends], ends, rows, strict=False)
    ]


def _parse(path: str | Path, number: int, line: str) -> tuple[float, str]:
    try:
        end, _, label = line.split()
        seconds = float(end)
    except ValueError:
        seconds, label = math.nan, ""
    if not 0 <= seconds < _DAY:
        raise DataError(
            f'a line must be "end colour label" with times in seconds, got {line!r} in line {number}',
            path,
        )
    return seconds, label
