"""Image files of one's own, as the data sets of digits have them."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from snn_neuromod.data.naming import naming
from snn_neuromod.errors import DataError

__all__ = ["read_pictures"]


def read_pictures(folder: Path, *, size: int = 28) -> tuple[Tensor, tuple[str, ...]]:
    """Read the PNG images of a folder.

    Args:
        folder: The folder; the order is that of the names.
        size: Height and width that each must have.

    Returns:
        images: uint8, (N, size, size); 255 is white.
        names: Names of the files.

    Raises:
        FileNotFoundError: If there is no such folder, no PNG file in it, or a link that leads nowhere.
        ImportError: If pillow is not installed.
        DataError: If a file is damaged or has another size.
    """
    paths = sorted(p for p in folder.glob("*") if p.suffix.lower() == ".png" and not p.is_dir())
    if not paths:
        raise FileNotFoundError(f"read_pictures: folder must hold PNG files, got {folder}")
    images = torch.from_numpy(np.stack([_read(path, size) for path in paths]))
    return images, tuple(path.name for path in paths)


def _read(path: Path, size: int) -> NDArray[np.uint8]:
    try:
        from PIL import Image
    except ImportError as error:
        raise ImportError(
            "read_pictures: pillow must be installed; run pip install pillow"
        ) from error
    with naming(path):
        content = io.BytesIO(path.read_bytes())
    try:
        with Image.open(content, formats=["PNG"]) as image:
            found, pixels = image.size, np.asarray(image.convert("L"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError("must be a whole PNG image", path) from error
    if found != (size, size):
        raise DataError(f"must be {size} x {size} pixels, got {found[0]} x {found[1]}", path)
    return pixels
