"""A folder of audio without labels, for prediction."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from snn_neuromod.data.phones.audio import read_audio
from snn_neuromod.data.phones.corpus import Split, Utterance, fingerprint

__all__ = ["Recordings"]


class Recordings:
    """All .wav files of a folder and the folders below it, as a corpus without labels.

    Every split holds all of them; in a data set their frames have the label -100.

    Args:
        root: The folder.
        labels: Names of the classes of the network that is to predict.
        silence: The class of pauses.

    Attributes:
        name: Name of the folder.

    Raises:
        FileNotFoundError: On first use, if there is no such folder or no .wav file in it.
        ValueError: When a file is read that is no mono audio.
    """

    def __init__(
        self, root: str | os.PathLike[str], *, labels: Sequence[str], silence: str
    ) -> None:
        self.root = Path(root).expanduser()
        self.name = self.root.resolve().name
        self.labels = tuple(labels)
        self.silence = silence

    def names(self, split: Split = "test") -> Sequence[str]:
        """Paths below the folder without their suffix, sorted."""
        return list(self._files)

    def read(self, name: str) -> Utterance:
        if name not in self._files:
            raise ValueError(f"Recordings: there is no recording {name!r} in {self.root}")
        samples, rate = read_audio(self._files[name])
        return Utterance(name, self.name, samples, rate, ())

    @property
    def identity(self) -> str:
        return f"{self.name}-{fingerprint(self._files, self._files.values())}"

    @cached_property
    def _files(self) -> dict[str, Path]:
        paths = [
            path
            for path in self.root.rglob("*")
            if path.suffix.lower() == ".wav" and path.name[0] != "." and path.is_file()
        ]
        if not paths:
            why = "which holds none" if self.root.is_dir() else "which is no folder"
            raise FileNotFoundError(
                f"Recordings: root must be a folder of .wav files, got {self.root}, {why}. "
                "Correct it or copy them there"
            )
        names = [path.relative_to(self.root).with_suffix("").as_posix() for path in paths]
        return dict(sorted(zip(names, paths, strict=True)))
