"""Reader of N-MNIST: MNIST digits recorded by a moving event camera, 34 x 34 pixels x 2 polarities.

References:
    G. Orchard et al., "Converting static image datasets to spiking neuromorphic datasets using
    saccades", Front. Neurosci. 9:437 (2015).
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from snn_neuromod.data.events import EVENT_DTYPE, Transform, apply_transforms
from snn_neuromod.data.keyed import Key, split_key

__all__ = ["NMNIST"]


class NMNIST:
    """N-MNIST from a local folder, in Tonic's form; downloads nothing.

    Two layouts are read. The complete set: `Train/0/*.bin` to `Test/9/*.bin`, directly below root
    or below `root/NMNIST`, where Tonic unpacks it. A subset: numbered `.bs2` files beside
    `train*.txt` and `test*.txt`, which hold one "number label" pair per line. An event takes five
    bytes: x, y, then one bit of polarity and 23 bits of microseconds.

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
            raise ValueError(f'NMNIST: split must be "train" or "test", got {split!r}')
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
        from tonic.io import read_mnist_file

        _, index = split_key(key)
        # A list raises the IndexError at the end that Tonic's iteration relies on.
        path, label = self.files[index], self.labels[index]
        events = read_mnist_file(str(path), dtype=self.dtype)
        return apply_transforms(events, label, self.transform, self.target_transform)


def _listed(root: Path, split: str) -> list[tuple[Path, int]]:
    rows = [
        line.split()
        for listing in sorted(root.glob(f"{split}*.txt"))
        for line in listing.read_text().splitlines()
        if line.strip() and not line.startswith("#")
    ]
    return [(root / f"{number}.bs2", int(label)) for number, label in rows]


def _foldered(root: Path, split: str) -> list[tuple[Path, int]]:
    folder = next((f for f in (root, root / "NMNIST") if (f / split.capitalize()).is_dir()), root)
    return [
        (path, digit)
        for digit in range(10)
        for path in sorted((folder / split.capitalize() / str(digit)).glob("*.bin"))
    ]
