"""Data of the data modules' tests."""

from __future__ import annotations

import struct

import pytest
import torch

from snn_neuromod.data.images import IDX_FILES


def write_idx(path, data):
    header = struct.pack(f">4B{data.ndim}i", 0, 0, 8, data.ndim, *data.shape)
    path.write_bytes(header + data.byte().numpy().tobytes())


@pytest.fixture
def root(tmp_path):
    """A folder with 40 training and 10 test images; a class has its own bright rows."""
    generator = torch.Generator().manual_seed(0)
    for split, n in (("train", 40), ("test", 10)):
        labels = torch.arange(n) % 10
        images = torch.randint(60, (n, 28, 28), generator=generator)
        for image, label in zip(images, labels, strict=True):
            image[2 * label : 2 * label + 4] += 190
        for name, data in zip(IDX_FILES[split], (images, labels), strict=True):
            write_idx(tmp_path / name, data)
    return tmp_path
