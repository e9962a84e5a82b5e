"""Reader of N-MNIST: MNIST digits recorded by a moving event camera, 34 x 34 pixels x 2 polarities.

References:
    G. Orchard et al., "Converting static image datasets to spiking neuromorphic datasets using
    saccades", Front. Neurosci. 9:437 (2015).
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

from snn_neuromod.data.events import EVENT_DTYPE, Transform, apply_transforms
from snn_neuromod.data.keyed import Indexed, Key, split_key
from snn_neuromod.data.recording import read_recording
from snn_neuromod.data.text import numbered_lines
from snn_neuromod.errors import ConfigError, DataError

__all__ = ["NMNIST"]

_DIGITS = tuple("0123456789")


class NMNIST(Indexed[tuple[Any, Any]]):
    """N-MNIST from a local folder, in Tonic's form; downloads nothing.

    Two layouts are read. The complete set: `Train/0/*.bin` to `Test/9/*.bin`, directly below root
    or below `root/NMNIST`, where Tonic unpacks it. A subset: numbered `.bs2` files beside
    `train*.txt` and `test*.txt`, which hold one "number label" pair per line; a heading of words
    and lines behind "#" are skipped. Upper and lower case of all names are taken for the same,
    hidden files are skipped. An event takes five bytes, see `recording.read_recording`.

    Args:
        root: Folder of the recordings.
        split: "train" or "test".
        transform: Applied to the events, for example Tonic's.
        target_transform: Applied to the label.

    Attributes:
        sensor_size: (34, 34, 2).
        files: Paths of the recordings.
        labels: Their digits.

    Raises:
        FileNotFoundError: If root holds neither layout, or a listed recording is missing.
        DataError: If a line of a list is wrong or, on reading, a recording is damaged.
    """

    sensor_size = (34, 34, 2)
    dtype = EVENT_DTYPE
    ordering = EVENT_DTYPE.names

    def __init__(
        self,
        root: str | Path,
        split: Literal["train", "test"],
        *,
        transform: Transform | None = None,
        target_transform: Transform | None = None,
    ) -> None:
        if split not in ("train", "test"):
            raise ConfigError(f'NMNIST: split must be "train" or "test", got {split!r}')
        root = Path(root).expanduser()
        pairs = _listed(root, split) or _foldered(root, split)
        if not pairs:
            raise FileNotFoundError(
                "NMNIST: root must hold the folders Train/0 to Train/9 and Test/0 to Test/9 with "
                ".bin recordings, or numbered .bs2 recordings beside train*.txt and test*.txt "
                f'("number label" per line); found no {split} recordings in {root}. '
                "Unpack the set there or correct root."
            )
        if missing := [path for path, _ in pairs if not path.is_file()]:
            raise FileNotFoundError(
                f"NMNIST: root must hold every listed recording; {len(missing)} are missing, "
                f"the first is {missing[0]}. Copy them there."
            )
        self.files = [path for path, _ in pairs]
        self.labels = [label for _, label in pairs]
        self.transform = transform
        self.target_transform = target_transform

    def select(self, indices: Iterable[int]) -> NMNIST:
        """The same data set with the recordings of these indices only."""
        chosen = copy.copy(self)
        pairs = [(self.files[index], self.labels[index]) for index in indices]
        chosen.files = [path for path, _ in pairs]
        chosen.labels = [label for _, label in pairs]
        return chosen

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, key: Key) -> tuple[Any, Any]:
        _, index = split_key(key)
        path, label = self.files[index], self.labels[index]
        events = read_recording(path, self.sensor_size)
        return apply_transforms(events, label, self.transform, self.target_transform)


def _listed(root: Path, split: str) -> list[tuple[Path, int]]:
    """Recordings that the lists of a split name, with their digits."""
    files = {path.name.lower(): path for path in _visible(root)}
    lists = [p for name, p in files.items() if name.startswith(split) and name.endswith(".txt")]
    pairs: dict[str, tuple[Path, int]] = {}
    for listing in sorted(lists):
        for number, digit in _rows(listing):
            if number in pairs:
                raise DataError(f"recording {number} must be listed once, got it twice", listing)
            path = files.get(f"{number}.bs2", root / f"{number}.bs2")
            pairs[number] = (path, digit)
    return list(pairs.values())


def _rows(listing: Path) -> Iterator[tuple[str, int]]:
    heading = True
    for number, line in numbered_lines(listing):
        words = [] if line.startswith("#") else line.split()
        if words and not (heading and not any(word.isdecimal() for word in words)):
            heading = False
            if len(words) != 2 or not words[0].isdecimal() or words[1] not in _DIGITS:
                raise DataError(
                    f'line {number} must be "number label" with a label of 0 to 9, got {line!r}',
                    listing,
                )
            yield words[0], int(words[1])


def _foldered(root: Path, split: str) -> list[tuple[Path, int]]:
    """Recordings below the folder of a split, in the order of their digits."""
    places = (root, *_folders(root, "nmnist"))
    found = next((folders for place in places if (folders := _folders(place, split))), [])
    return [
        (path, int(digit))
        for digit in _DIGITS
        for split_folder in found
        for folder in _folders(split_folder, digit)
        for path in _visible(folder)
        if path.name.lower().endswith(".bin")
    ]


def _folders(parent: Path, name: str) -> list[Path]:
    return [path for path in _visible(parent) if path.name.lower() == name and path.is_dir()]


def _visible(folder: Path) -> list[Path]:
    """What lies in a folder, sorted, without hidden files; nothing if there is no such folder."""
    return sorted(p for p in folder.iterdir() if p.name[0] != ".") if folder.is_dir() else []
