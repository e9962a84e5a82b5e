"""Reader of N-MNIST recordings."""

from pathlib import Path

import numpy as np
import pytest

from snn_neuromod.data.nmnist import NMNIST

SHARED = Path(__file__).parents[2] / ".." / "shared" / "data" / "nmnist_small"
EVENTS = [(0, 33, 17, 1), (12, 5, 65_536, 0), (33, 0, 310_000, 1)]


def recording(events=EVENTS):
    return b"".join(bytes([x, y]) + (p << 23 | t).to_bytes(3, "big") for x, y, t, p in events)


def flat_layout(root):
    (root / "train1K.txt").write_text("#sample #class\n1\t5\n2\t0\n")
    (root / "test100.txt").write_text("#sample #class\n60001\t7\n")
    for number in (1, 2, 60001):
        (root / f"{number}.bs2").write_bytes(recording())


def folder_layout(root):
    for split in ("Train", "Test"):
        for digit in (0, 7):
            folder = root / split / str(digit)
            folder.mkdir(parents=True)
            (folder / f"0000{digit}.bin").write_bytes(recording())


def test_five_bytes_an_event(tmp_path):
    pytest.importorskip("tonic")
    flat_layout(tmp_path)
    events, label = NMNIST(tmp_path, "test")[0]
    assert label == 7
    assert [tuple(map(int, event)) for event in events] == EVENTS


@pytest.mark.parametrize("below", ["", "NMNIST"])
def test_folders_of_the_complete_set(tmp_path, below):
    pytest.importorskip("tonic")
    folder_layout(tmp_path / below)
    data = NMNIST(tmp_path, "train")
    assert [label for _, label in data] == [0, 7]
    assert data.files[1].parts[-3:] == ("Train", "7", "00007.bin")


def test_labels_transforms_selection_and_end(tmp_path):
    pytest.importorskip("tonic")
    flat_layout(tmp_path)
    data = NMNIST(tmp_path, "train", transform=len, target_transform=str)
    assert list(data) == [(3, "5"), (3, "0")]
    assert list(data.select([1])) == [(3, "0")]
    assert len(data) == 2
    assert data[4, 1] == data[1]
    with pytest.raises(IndexError):
        data[2]


def test_wrong_roots_are_explained(tmp_path):
    with pytest.raises(FileNotFoundError, match="root must hold the folders Train/0 to Train/9"):
        NMNIST(tmp_path, "train")
    flat_layout(tmp_path)
    (tmp_path / "2.bs2").unlink()
    with pytest.raises(FileNotFoundError, match=r"1 are missing, the first is .*2\.bs2"):
        NMNIST(tmp_path, "train")
    with pytest.raises(ValueError, match='split must be "train" or "test"'):
        NMNIST(tmp_path, "val")


@pytest.mark.skipif(not SHARED.is_dir(), reason="the N-MNIST subset is not here")
def test_real_recordings_work_with_tonic():
    tonic = pytest.importorskip("tonic")
    data = NMNIST(SHARED, "train")
    assert len(data) == 1000
    assert data.labels[:10] == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    events, _ = data[0]
    assert 1000 < len(events) < 10_000
    assert max(events["x"].max(), events["y"].max()) <= 33
    assert 300_000 < events["t"].max() < 340_000
    assert (np.diff(events["t"]) >= 0).all()
    assert 0.3 < events["p"].mean() < 0.7
    transform = tonic.transforms.Compose(
        [
            tonic.transforms.Denoise(filter_time=10_000),
            tonic.transforms.ToFrame(sensor_size=NMNIST.sensor_size, n_time_bins=10),
        ]
    )
    frames, label = NMNIST(SHARED, "train", transform=transform)[0]
    assert frames.shape == (10, 2, 34, 34)
    assert frames.sum() > 1000
    assert label == 5
