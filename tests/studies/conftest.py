"""Data of the studies' tests."""

from __future__ import annotations

import struct

import pytest
import torch


@pytest.fixture(scope="session")
def mnist(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Bars whose place is their class, in MNIST's files."""
    folder = tmp_path_factory.mktemp("mnist")
    for split, number in (("train", 120), ("t10k", 20)):
        labels = torch.arange(number, dtype=torch.uint8) % 10
        images = torch.zeros(number, 28, 28, dtype=torch.uint8)
        for image, label in zip(images, labels.tolist(), strict=True):
            image[:, 2 * label : 2 * label + 3] = 255
        for name, data in (("images-idx3", images), ("labels-idx1", labels)):
            head = struct.pack(f">4B{data.ndim}i", 0, 0, 8, data.ndim, *data.shape)
            (folder / f"{split}-{name}-ubyte").write_bytes(head + data.numpy().tobytes())
    return str(folder)
