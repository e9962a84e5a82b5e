"""Framewise data sets: normalisation, cache, pieces, padding."""

import pickle
import sys

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from snn_neuromod.data.keyed import KeyedSampler
from snn_neuromod.data.phones.corpus import Segment
from snn_neuromod.data.phones.extraction import Statistics, frame_table
from snn_neuromod.data.phones.features import Mfcc
from snn_neuromod.data.phones.frames import FramePieces, PhoneFrames
from snn_neuromod.errors import DataError
from tests.data.phones.made_up import Plain, Tones


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


def frames(split="train", *, corpus=None, cache=False, **options):
    return PhoneFrames(corpus or Tones(), split, features=Plain(), cache=cache, **options)


def test_utterances():
    data = frames("test")
    assert [len(x) for x, _ in data] == [98, 28, 158] == data.lengths.tolist()
    assert data.names == ["test/0", "test/1", "test/2"]
    assert data.classes == ("a", "b", "pau")
    x, y = data[0]
    assert x.dtype == torch.float32
    assert y.dtype == torch.int64
    # 16,000 samples: a from 5333, b from 8000; frame i is centred at 160 i + 200.
    assert y.tolist() == [2] * 33 + [0] * 16 + [1] * 49
    # Frames of which more than half is loud lie evenly round those with the loud part's label.
    power = (x[:, 0] * data.statistics.std[0]).exp()
    loud = (power > 0.5 * power[35:47].mean()).nonzero().squeeze(1)
    assert loud.min() + loud.max() == 33 + 48
    assert abs(loud.min() - 33) <= 1
    assert torch.equal(data[-1][1], data[2][1])
    with pytest.raises(IndexError, match="index must be below 3"):
        data[3]
    assert data.class_counts().tolist() == [sum((y == k).sum() for _, y in data) for k in range(3)]


def test_normalised_by_train_frames_only():
    raw = np.concatenate([Plain()(Tones().read(name).samples) for name in Tones().names("train")])
    stats = frames("test").statistics
    np.testing.assert_allclose(stats.mean, raw.mean(0), rtol=1e-5)
    np.testing.assert_allclose(stats.std[:2], raw[:, :2].std(0), rtol=1e-5)
    train = torch.cat([x for x, _ in frames("train")])
    assert torch.allclose(train.mean(0), torch.zeros(3), atol=1e-5)
    assert torch.allclose(train.std(0, correction=0), torch.tensor([1.0, 1.0, 0.0]), atol=1e-5)
    test = torch.cat([x for x, _ in frames("test")])
    assert test.mean(0)[0].abs() > 0.01
    expected = (Plain()(Tones().read("test/1").samples) - stats.mean)[:, 0] / stats.std[0]
    np.testing.assert_allclose(frames("test")[1][0][:, 0], expected, atol=1e-5)


def test_given_statistics():
    stats = Statistics(np.full(3, 1, np.float32), np.full(3, 2, np.float32))
    corpus = Tones()
    x, _ = frames("test", corpus=corpus, stats=stats)[0]
    assert corpus.reads == 3  # the train split is not needed
    np.testing.assert_allclose(x[:, 2], 3.0)
    with pytest.raises(ValueError, match="stats must have 3 channels, got 2"):
        frames(stats=Statistics(np.zeros(2), np.ones(2)))


def test_cache(cache):
    first, corpus = frames("test", cache=cache), Tones()
    files = {path.name.rsplit("-", 1)[0]: path for path in cache.iterdir()}
    assert set(files) == {"tones-test", "tones-train"}
    again = frames("test", corpus=corpus, cache=cache)
    assert corpus.reads == 0
    for (x, y), (x2, y2) in zip(first, again, strict=True):
        assert torch.equal(x, x2)
        assert torch.equal(y, y2)
    assert again.names == first.names
    for other in (Tones("2"), Tones()):
        other.labels = ("a", "b", "c", "pau")[: 4 if other.identity == "1" else 3]
        other.labels = (*other.labels[:-1], "pau")
        frames("test", corpus=other, cache=cache)
        assert other.reads == 6


def test_settings_of_the_features_are_part_of_the_key(cache):
    class Other(Plain):
        def __repr__(self):
            return "Other()"

    frames("test", cache=cache)
    corpus = Tones()
    PhoneFrames(corpus, "test", features=Other(), cache=cache)
    assert corpus.reads == 6
    settings = [Mfcc(), Mfcc(first=2), Mfcc(hop_ms=5.0), Mfcc(num_filters=23)]
    assert len({repr(mfcc) for mfcc in settings}) == 4


@pytest.mark.parametrize("damage", ["cut", "bit", "empty", "other"])
def test_a_damaged_cache_is_made_again(cache, damage):
    first = frames("test", cache=cache)
    (path,) = cache.glob("tones-test-*")
    content = bytearray(path.read_bytes())
    if damage == "cut":
        content = content[: len(content) // 2]
    elif damage == "bit":
        content[400] ^= 1  # within the features
    elif damage == "empty":
        content = bytearray()
    else:
        content = bytearray(b"something else")
    path.write_bytes(bytes(content))
    corpus = Tones()
    with pytest.warns(UserWarning, match="is damaged .* and made again"):
        again = frames("test", corpus=corpus, cache=cache)
    assert corpus.reads == 3
    assert torch.equal(again[0][0], first[0][0])
    frames("test", cache=cache)  # warns no more


def changed(name, value, at=0):
    def change(arrays):
        arrays[name][at] = value

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (changed("features", np.nan), "features are not finite"),
        (changed("mean", np.inf), "mean are not finite"),
        (changed("std", -1), "std is negative"),
        (changed("labels", 3), r"labels lie outside \[0, 2\]"),
        (changed("labels", -1), r"labels lie outside \[0, 2\]"),
        (changed("lengths", 0), "lengths do not add up"),
        (changed("lengths", 10**9), "lengths do not add up"),
        (lambda a: a.update(labels=a["labels"][:-1]), "features are float32"),
        (lambda a: a.update(labels=a["labels"].astype(float)), "labels are float64"),
        (lambda a: a.update(features=a["features"][:, :2]), r"not float32 \(\d+, 3\)"),
        (lambda a: a.update(features=a["features"].astype(np.float64)), "features are float64"),
        (lambda a: a.update(names=a["names"][1:]), "names are"),
        (lambda a: a.pop("names"), "names"),
    ],
)
def test_a_cache_of_what_cannot_be_is_made_again(cache, change, message):
    first = frames("test", cache=cache)
    (path,) = cache.glob("tones-test-*")
    with np.load(path) as file:
        arrays = dict(file)
    change(arrays)
    np.savez(path, **arrays)
    with pytest.warns(UserWarning, match=f"is damaged .*{message}.* and made again"):
        again = frames("test", cache=cache)
    assert torch.equal(again[0][0], first[0][0])


def test_a_compressed_cache_is_not_unpacked(cache):
    frames("test", cache=cache)
    (path,) = cache.glob("tones-test-*")
    with np.load(path) as file:
        np.savez_compressed(path, **dict(file))
    with pytest.warns(UserWarning, match="it is compressed, which it never is"):
        frames("test", cache=cache)


def test_statistics_of_a_damaged_cache_are_made_again(cache):
    first = frames("train", cache=cache).statistics
    (path,) = cache.glob("tones-train-*")
    with np.load(path) as file:
        arrays = dict(file)
    arrays["std"][:] = np.nan
    np.savez(path, **arrays)
    with pytest.warns(UserWarning, match="std are not finite"):
        again = frames("test", cache=cache).statistics
    assert (again.std == first.std).all()


def test_features_that_are_not_finite_are_refused():
    class Broken(Plain):
        def __call__(self, samples):
            return super().__call__(samples) * np.nan

    with pytest.raises(DataError, match=r"cannot use utterance train/0 of tones: .* finite"):
        PhoneFrames(Tones(), "train", features=Broken(), cache=False)


def test_a_cache_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.warns(UserWarning, match="SNN_NEUROMOD_CACHE"):
        data = frames("train", cache=tmp_path / "file")
    assert len(data) == 3


def test_progress_is_shown_when_it_takes_long(monkeypatch, capsys):
    tqdm = pytest.importorskip("tqdm")
    shown = tqdm.tqdm
    monkeypatch.setattr(
        tqdm, "tqdm", lambda names, **options: shown(names, **{**options, "delay": 0})
    )
    frames("test", stats=Statistics(np.zeros(3), np.ones(3)))
    assert "features of tones, test: 100%" in capsys.readouterr().err
    monkeypatch.undo()
    frames("test")
    assert capsys.readouterr().err == ""
    monkeypatch.setitem(sys.modules, "tqdm", None)
    assert len(frames("test")) == 3


def test_default_cache_is_the_user_s(monkeypatch, tmp_path):
    monkeypatch.setenv("SNN_NEUROMOD_CACHE", str(tmp_path))
    frames("train", cache=None)
    assert len(list((tmp_path / "features").iterdir())) == 1


def test_mistakes():
    with pytest.raises(ValueError, match="PhoneFrames: features must be for 8000 samples/s"):
        frames(corpus=Tones(rate=8000))
    with pytest.raises(ValueError, match=r"cannot use utterance train/0 of tones.*\['zz'\]"):
        frames(corpus=Tones(segments=(Segment(0, 99, "zz"),)))
    empty = Tones()
    empty.names = lambda split: []
    with pytest.raises(ValueError, match="must have utterances for train, tones has none"):
        frames(corpus=empty)
    with pytest.raises(ValueError, match="segment must be at least 1 or None, got 0"):
        FramePieces(frames(), segment=0)


def test_too_short_an_utterance_is_named():
    pytest.importorskip("kaldi_native_fbank")
    with pytest.raises(ValueError, match=r"cannot use utterance train/0 of tones: Mfcc: samples"):
        frame_table(Tones(samples=np.zeros(300)), "train", Mfcc(), cache=False)


def test_audio_without_labels():
    data = frames(corpus=Tones(segments=()))
    assert all((y == -100).all() for _, y in data)
    assert data.class_counts().tolist() == [0, 0, 0]


def seen(pieces, epoch, batch_size=4):
    """For each utterance the frames that an epoch shows, in the order of its pieces."""
    loader = DataLoader(
        pieces,
        batch_size=batch_size,
        sampler=KeyedSampler(pieces, seed=0, epoch=epoch),
        collate_fn=lambda batch: batch,
    )
    found = {}
    for batch in loader:
        for b, name in enumerate(batch.names):
            found.setdefault(name, []).append(batch.features[: batch.lengths[b], b])
    return found


@pytest.mark.parametrize("segment", [1, 7, 40, 49, 98, 1000, None])
def test_every_frame_is_seen_once_an_epoch(segment):
    data = frames("test")
    pieces = FramePieces(data, segment=segment)
    shown = seen(pieces, epoch=3)
    assert sum(len(parts) for parts in shown.values()) == len(pieces)
    for name, (x, _) in zip(data.names, data, strict=True):
        parts = shown[name]
        assert all(len(part) <= (segment or len(x)) for part in parts)
        assert len(parts) == -(-len(x) // (segment or len(x)))
        together = torch.cat(sorted(parts, key=lambda part: _place(x, part)))
        assert torch.equal(together, x)


def _place(x, part):
    return next(i for i in range(len(x)) if torch.equal(x[i : i + len(part)], part))


def test_cuts_change_with_the_epoch_and_the_seed_only():
    data = frames("test")

    def cuts(epoch, seed=0):
        pieces = FramePieces(data, segment=30, seed=seed)
        return pieces.__getitems__([(epoch, i) for i in range(len(pieces))]).lengths.tolist()

    assert cuts(2) == cuts(2)
    assert len({tuple(cuts(epoch)) for epoch in range(6)}) == 6
    assert cuts(2) != cuts(2, seed=1)
    one = FramePieces(data, segment=30)
    assert [one[2, i].lengths.item() for i in range(len(one))] == cuts(2)
    mixed = one.__getitems__([(2, 0), (5, 1), 3])
    assert torch.equal(mixed.features[: mixed.lengths[1], 1], one[5, 1].features[:, 0])
    assert torch.equal(mixed.features[: mixed.lengths[2], 2], one[0, 3].features[:, 0])


def test_padding_and_labels():
    data = frames("test")
    batch = FramePieces(data).__getitems__([0, 1, 2])
    assert batch.features.shape == (158, 3, 3)
    assert batch.labels.shape == (158, 3)
    assert batch.lengths.tolist() == [98, 28, 158]
    assert batch.names == data.names
    for b, (x, y) in enumerate(data):
        n = len(x)
        assert torch.equal(batch.features[:n, b], x)
        assert torch.equal(batch.labels[:n, b], y)
        assert batch.features[n:, b].abs().sum() == 0
        assert (batch.labels[n:, b] == -100).all()
    cut = FramePieces(data, segment=25)[4, 1]
    at = _place(data[0][0], cut.features[:, 0])
    assert torch.equal(cut.labels[:, 0], data[0][1][at : at + len(cut.labels)])
    assert len(cut.labels.unique()) > 1 or at > 0


def test_by_length():
    pieces = FramePieces(frames("test"), by_length=True)
    assert [pieces[i].names[0] for i in range(3)] == ["test/2", "test/0", "test/1"]
    with pytest.raises(IndexError):
        pieces[3]


def test_pickled_copies_are_equal():
    pieces = FramePieces(frames("test"), segment=30)
    copy = pickle.loads(pickle.dumps(pieces))
    assert torch.equal(copy[1, 3].features, pieces[1, 3].features)
