"""Reader of N-MNIST recordings."""

from pathlib import Path

import numpy as np
import pytest

from snn_neuromod.data.frames import BinaryFrames
from snn_neuromod.data.nmnist import NMNIST
from snn_neuromod.errors import DataError

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
    flat_layout(tmp_path)
    events, label = NMNIST(tmp_path, "test")[0]
    assert label == 7
    assert [tuple(map(int, event)) for event in events] == EVENTS


@pytest.mark.parametrize("below", ["", "NMNIST"])
def test_folders_of_the_complete_set(tmp_path, below):
    folder_layout(tmp_path / below)
    data = NMNIST(tmp_path, "train")
    assert [label for _, label in data] == [0, 7]
    assert data.files[1].parts[-3:] == ("Train", "7", "00007.bin")


def test_labels_transforms_selection_and_end(tmp_path):
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


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "got 0 bytes"),
        (b"junk", "got 4 bytes"),
        (recording()[:-1], "got 14 bytes"),
        (recording([(34, 0, 0, 1)]), r"x=34, y=0 in event 0"),
        (recording([(34, 33, 0, 0)]), r"x=34, y=33 in event 0"),
        (recording([*EVENTS, (0, 34, 320_000, 0)]), r"x=0, y=34 in event 3"),
        (recording([*EVENTS, (255, 255, 320_000, 1)]), r"x=255, y=255 in event 3"),
        (recording([*EVENTS, (3, 240, 320_000, 1)]), r"x=3, y=240 in event 3"),
        (recording(EVENTS[::-1]), r"backwards, got 65536 us in event 1 after 310000 us"),
    ],
)
@pytest.mark.parametrize("transform", [None, BinaryFrames((34, 34, 2), 60, 5000)])
def test_a_damaged_recording_is_named_and_never_ends_the_iteration(
    tmp_path, raw, message, transform
):
    flat_layout(tmp_path)
    (tmp_path / "2.bs2").write_bytes(raw)
    data = NMNIST(tmp_path, "train", transform=transform)
    items = iter(data)
    next(items)
    with pytest.raises(DataError, match=rf"2\.bs2: .*{message}"):
        next(items)


def test_every_corner_of_the_sensor_has_its_own_pixel(tmp_path):
    flat_layout(tmp_path)
    corners = [(x, y, 0, p) for p in (0, 1) for y in (0, 33) for x in (0, 33)]
    (tmp_path / "1.bs2").write_bytes(recording(corners))
    frames, _ = NMNIST(tmp_path, "train", transform=BinaryFrames((34, 34, 2), 1, 1000))[0]
    found = [(i % 34, i % 1156 // 34, i // 1156) for i in frames[0].nonzero().flatten().tolist()]
    assert found == [(x, y, p) for x, y, _, p in corners]


def test_an_index_error_of_a_transform_does_not_end_the_iteration(tmp_path):
    flat_layout(tmp_path)
    with pytest.raises(IndexError):
        list(NMNIST(tmp_path, "train", transform=lambda events: [][0]))


@pytest.mark.parametrize("upper", [str.upper, str.lower])
def test_letter_case_of_names(tmp_path, upper):
    for name in ("TRAIN/7/00001.BIN", "TEST/7/00002.BIN", "TRAIN/7/._00001.BIN"):
        path = tmp_path / upper("NMNIST") / upper(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(recording())
    assert [label for _, label in NMNIST(tmp_path, "train")] == [7]


@pytest.mark.parametrize("listing", ["\ufeff1 5\n2 0\n", "sample class\r\n1 5\r\n\r\n2\t0\r\n"])
def test_lists_with_mark_or_heading(tmp_path, listing):
    flat_layout(tmp_path)
    (tmp_path / "train1K.txt").rename(tmp_path / "Train1K.TXT")
    (tmp_path / "Train1K.TXT").write_text(listing, encoding="utf-8", newline="")
    (tmp_path / "1.bs2").rename(tmp_path / "1.BS2")
    assert NMNIST(tmp_path, "train").labels == [5, 0]


@pytest.mark.parametrize(
    ("listing", "message"),
    [
        (b"1 5\nsample class\n", "line 2 must be"),
        (b"1 5 0\n", "line 1 must be"),
        (b"#\n1 10\n", "line 2 must be"),
        (b"1 -1\n", "line 1 must be"),
        (b"1 5\n../2 0\n", "line 2 must be"),
        (b"1 5\n1 5\n", "recording 1 must be listed once"),
        ("1 5\n".encode("utf-16"), "must be text in UTF-8"),
    ],
)
def test_wrong_lists_are_named(tmp_path, listing, message):
    flat_layout(tmp_path)
    (tmp_path / "train1K.txt").write_bytes(listing)
    with pytest.raises(DataError, match=rf"train1K\.txt: {message}"):
        NMNIST(tmp_path, "train")


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
