"""A folder of audio without labels, for prediction."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from snn_neuromod.data.phones.audio import read_audio
from snn_neuromod.data.phones.corpus import Split, Utterance, fingerprint
from snn_neuromod.data.phones.walk import files_below
from snn_neuromod.errors import ConfigError, DataError

__all__ = ["Recordings"]


class Recordings:
    """All .wav files of a folder and the folders below it, linked ones too, as a corpus without labels.

    Hidden files and folders are left out; a folder that links reach in several ways is read once.

    Every split holds all of them; in a data set their frames have the label -100.

    Args:
        root: The folder.
        labels: Names of the classes of the network that is to predict.
        silence: The class of pauses.

    Attributes:
        name: Name of the folder.

    Raises:
        FileNotFoundError: On first use, if there is no such folder or no .wav file in it.
        DataError: When a file is read that is no mono audio, or two have the same name.
    """

    def __init__(
        self, root: str | os.PathLike[str], *, labels: Sequence[str], silence: str
    ) -> None:
        self.root = Path(root).expanduser()
        self.name = Path(os.path.realpath(self.root)).name
        self.labels = tuple(labels)
        self.silence = silence

    def names(self, split: Split = "test") -> Sequence[str]:
        """Paths below the folder without their suffix, sorted."""
        return list(self._files)

    def read(self, name: str) -> Utterance:
        if name not in self._files:
            raise ConfigError(f"Recordings: there is no recording {name!r} in {self.root}")
        samples, rate = read_audio(self._files[name])
        return Utterance(name, self.name, samples, rate, ())

    @property
    def identity(self) -> str:
        return f"{self.name}-{fingerprint(self._files, self._files.values())}"

    @cached_property
    def _files(self) -> dict[str, Path]:
        found = files_below([self.root])[0] if self.root.is_dir() else []
        paths = [path for path in found if path.suffix.lower() == ".wav"]
        if not paths:
            why = "which holds none" if self.root.is_dir() else "which is no folder"
            raise FileNotFoundError(
                f"Recordings: root must be a folder of .wav files, got {self.root}, {why}. "
                "Correct it or copy them there"
            )
        files: dict[str, Path] = {}
        for path in paths:
            name = path.relative_to(self.root).with_suffix("").as_posix()
            if files.setdefault(name, path) is not path:
                raise DataError(f"must have another name than {files[name].name}; rename it", path)
        return dict(sorted(files.items()))
