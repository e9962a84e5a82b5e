"""TIMIT's form and splits, on files written here: TIMIT itself may not be passed on."""

import numpy as np
import pytest

from snn_neuromod.data.phones import Corpus, Timit
from snn_neuromod.data.phones.timit import CORE_TEST_SPEAKERS, DEVELOPMENT_SPEAKERS
from tests.data.phones.recordings import LABELS, write_utterance

SENTENCES = ("sa1", "sa2", "si1027", "si453", "si648", "sx127", "sx217", "sx307", "sx37", "sx397")
SMALL = {
    "train": ["fcjf0", "mdac0"],
    # one of the development set, one of the core test set, one of neither
    "test": ["faks0", "mdab0", "mabw0"],
}


def disc(root, speakers=SMALL, *, upper=True, sphere=True, sentences=SENTENCES):
    """Folders and files as on the disc."""
    for part, names in speakers.items():
        for speaker in names:
            for sentence in sentences:
                name = f"{part}/dr1/{speaker}/{sentence}"
                write_utterance(root, name, upper=upper, sphere=sphere)
    return Timit(root, complete=False)


def test_number_of_speakers():
    assert len(CORE_TEST_SPEAKERS) == 24
    assert sum(name[0] == "f" for name in CORE_TEST_SPEAKERS) == 8
    assert len(DEVELOPMENT_SPEAKERS) == 50
    assert not CORE_TEST_SPEAKERS & DEVELOPMENT_SPEAKERS


@pytest.mark.parametrize(("upper", "sphere"), [(True, True), (False, False)])
def test_splits_without_sa(tmp_path, upper, sphere):
    if not sphere:
        pytest.importorskip("soundfile")
    corpus = disc(tmp_path, upper=upper, sphere=sphere)
    assert isinstance(corpus, Corpus)
    names = {s: [n.lower() for n in corpus.names(s)] for s in ("train", "validation", "test")}
    spoken = sorted(SENTENCES[2:])
    assert names["train"] == [f"train/dr1/{s}/{n}" for s in ("fcjf0", "mdac0") for n in spoken]
    assert names["validation"] == [f"test/dr1/faks0/{n}" for n in spoken]
    assert names["test"] == [f"test/dr1/mdab0/{n}" for n in spoken]
    utterance = corpus.read(corpus.names("test")[0])
    assert utterance.segments == tuple(LABELS)
    assert utterance.speaker == "mdab0"
    assert (len(utterance.samples), utterance.rate) == (1600, 16_000)


def test_sphere_and_riff_give_the_same(tmp_path):
    pytest.importorskip("soundfile")
    sphere, riff = disc(tmp_path / "a"), disc(tmp_path / "b", upper=False, sphere=False)
    for one, other in zip(sphere.names("train"), riff.names("train"), strict=True):
        first, second = sphere.read(one), riff.read(other)
        np.testing.assert_array_equal(first.samples, second.samples)
        assert first.segments == second.segments


@pytest.mark.parametrize("inside", ["timit", "TIMIT", "data", "timit/timit"])
def test_folders_above(tmp_path, inside):
    disc(tmp_path / inside, sentences=["sx1", "sx2"])
    corpus = Timit(tmp_path, complete=False)
    assert len(corpus.names("train")) == 4
    assert corpus.identity.startswith("timit-")


def test_the_complete_corpus_has_its_numbers(tmp_path, monkeypatch):
    speakers = {
        "train": [f"m{index:04}" for index in range(462)],
        "test": [*CORE_TEST_SPEAKERS, *DEVELOPMENT_SPEAKERS, "mabw0"],
    }
    for part, names in speakers.items():
        for speaker in names:
            folder = tmp_path / part / "dr1" / speaker
            folder.mkdir(parents=True)
            for sentence in SENTENCES:
                (folder / f"{sentence}.wav").touch()
                (folder / f"{sentence}.phn").touch()
    corpus = Timit(tmp_path)
    sizes = [len(corpus.names(split)) for split in ("train", "validation", "test")]
    assert sizes == [3696, 400, 192]
    for suffix in (".wav", ".phn"):
        (tmp_path / "test/dr1/mdab0/sx37").with_suffix(suffix).unlink()
    with pytest.raises(FileNotFoundError, match="must hold 192 utterances for test, found 191"):
        Timit(tmp_path).names("train")
    assert len(Timit(tmp_path, complete=False).names("test")) == 191


def test_wrong_folders(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"folders TRAIN and TEST of LDC93S1, got .*nowhere"
    ):
        Timit(tmp_path / "nowhere").names("train")
    corpus = disc(tmp_path, {"train": ["fcjf0"], "test": ["faks0"]})
    with pytest.raises(FileNotFoundError, match="must hold 192 utterances for test, found 0"):
        corpus.names("train")
    with pytest.raises(ValueError, match='Timit: split must be "train"'):
        corpus.names("dev")
