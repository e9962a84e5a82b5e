"""Corpora in TIMIT's folder conventions."""

import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from snn_neuromod.data.phones import RUSSIAN_LABELS, Corpus, TimitFolder
from snn_neuromod.errors import DataError
from tests.data.phones.recordings import LABELS, noise, write_phn, write_riff, write_utterance

pytest.importorskip("soundfile")

SHARED = Path(__file__).parents[3] / ".." / "shared" / "data" / "ru_speech_small"


def small(root, *, train=12, test=3):
    for index in range(train):
        write_utterance(root, f"train/u{index:02}")
    for index in range(test):
        write_utterance(root, f"test/u{index:02}")
    return TimitFolder(root)


def test_utterance(tmp_path):
    samples = write_utterance(tmp_path, "train/dr1/fcjf0/sx37")
    write_utterance(tmp_path, "train/dr1/fcjf0/sx38")
    utterance = TimitFolder(tmp_path).read("train/dr1/fcjf0/sx37")
    np.testing.assert_array_equal(utterance.samples * 32768, samples)
    assert utterance.samples.dtype == np.float32
    assert utterance.segments == tuple(LABELS)
    assert (utterance.speaker, utterance.rate) == ("fcjf0", 16_000)
    assert utterance.name == "train/dr1/fcjf0/sx37"


def test_speaker_of_a_flat_folder_is_the_corpus(tmp_path):
    corpus = small(tmp_path / "mine")
    assert corpus.read("train/u03").speaker == corpus.name == "mine"
    assert isinstance(corpus, Corpus)


def test_every_tenth_utterance_validates_without_a_folder_for_it(tmp_path):
    corpus = small(tmp_path)
    assert corpus.names("validation") == ["train/u00", "train/u10"]
    assert corpus.names("train") == [f"train/u{i:02}" for i in range(12) if i not in (0, 10)]
    assert corpus.names("test") == ["test/u00", "test/u01", "test/u02"]
    write_utterance(tmp_path, "validation/u99")
    corpus = TimitFolder(tmp_path)
    assert corpus.names("validation") == ["validation/u99"]
    assert len(corpus.names("train")) == 12


def test_case_hidden_files_and_double_suffixes(tmp_path):
    samples = write_utterance(tmp_path, "train/dr1/fcjf0/sx37", upper=True)
    write_riff(tmp_path / "TRAIN/DR1/FCJF0/SX37.WAV.wav", noise(seed=99))
    write_riff(tmp_path / "TRAIN/DR1/FCJF0/sx99.wav.wav", noise(seed=99))
    write_phn(tmp_path / "TRAIN/DR1/FCJF0/sx99.phn")
    write_riff(tmp_path / "TRAIN/DR1/FCJF0/._SX37.WAV")
    write_utterance(tmp_path, "TRAIN/.trash/sx1")
    corpus = TimitFolder(tmp_path)
    assert [*corpus.names("validation"), *corpus.names("train")] == [
        "TRAIN/DR1/FCJF0/SX37",
        "TRAIN/DR1/FCJF0/sx99",
    ]
    first = corpus.read("TRAIN/DR1/FCJF0/SX37").samples * 32768
    np.testing.assert_array_equal(first, samples)
    second = corpus.read("TRAIN/DR1/FCJF0/sx99").samples * 32768
    np.testing.assert_array_equal(second, noise(seed=99))


def test_identity_follows_the_content(tmp_path):
    first = small(tmp_path).identity
    assert TimitFolder(tmp_path).identity == first
    assert pickle.loads(pickle.dumps(TimitFolder(tmp_path))).identity == first
    assert TimitFolder(tmp_path, validation_every=4).identity != first
    labels = ["h#", "sh", "iy"]
    assert TimitFolder(tmp_path, labels=labels, silence="h#").identity != first
    write_phn(tmp_path / "train/u03.phn", LABELS[:2])
    second = TimitFolder(tmp_path).identity
    write_utterance(tmp_path, "train/u20")
    assert len({first, second, TimitFolder(tmp_path).identity}) == 3


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([(0, 400, "h#"), (400, 900, "xx")], r"label 'xx' is not in the label set of 61 \(iy, ih"),
        ([(0, 400, "h#"), (400, 400, "iy")], r'end after it starts, got "400 400 iy"'),
        ([(0, 400, "h#"), (300, 900, "iy")], r'not overlap .* got "300 900 iy" .* after 400'),
        ([(-5, 400, "h#")], 'not begin before 0, got "-5 400 h#"'),
        ([(0, 400, "h#"), (400, 1760, "iy")], r'audio of 1600 samples, got "400 1760 iy"'),
        ([(0, 1600, "h#"), (1600, 1610, "iy")], r'audio of 1600 samples, got "1600 1610 iy"'),
        ([], "holds no labels"),
    ],
)
def test_wrong_labels_name_the_file(tmp_path, rows, message):
    write_utterance(tmp_path, "train/u0")
    write_utterance(tmp_path, "train/u1", rows)
    with pytest.raises(ValueError, match=message) as caught:
        TimitFolder(tmp_path).read("train/u1")
    assert str(tmp_path / "train" / "u1.phn") in str(caught.value)


@pytest.mark.parametrize("line", ["0 400", "0 400 h# x", "0.0 0.1 h#"])
def test_lines_of_another_form(tmp_path, line):
    write_utterance(tmp_path, "train/u0")
    (tmp_path / "train/u0.phn").write_text(f"0 300 h#\n{line}\n")
    with pytest.raises(ValueError, match=r"u0\.phn: line 2 must be .start end label"):
        TimitFolder(tmp_path).read("train/u0")


def test_a_last_label_slightly_too_long_ends_with_the_audio(tmp_path):
    write_utterance(tmp_path, "train/u0", [(0, 400, "h#"), (400, 1759, "iy")])
    assert TimitFolder(tmp_path).read("train/u0").segments[-1] == (400, 1600, "iy")


def test_missing_counterparts(tmp_path):
    small(tmp_path)
    (tmp_path / "train/u03.phn").unlink()
    with pytest.raises(FileNotFoundError, match=r"u03\.wav: must have a \.phn file"):
        TimitFolder(tmp_path).names("train")
    (tmp_path / "train/u03.wav").rename(tmp_path / "train/u99.wav")
    (tmp_path / "train/u04.wav").unlink()
    with pytest.raises(FileNotFoundError, match=r"u04\.phn: must have a \.wav file"):
        TimitFolder(tmp_path).names("test")


def everything(root):
    corpus = TimitFolder(root)
    return {s: sorted(corpus.names(s)) for s in ("train", "validation", "test")}


@pytest.mark.parametrize(
    ("link", "target"),
    [
        ("train/all", "."),
        ("train/spk/all", ".."),
        ("train/self", "train"),
        ("test/self", "test"),
        ("train/held_out", "test"),
        ("train/held_out", "test/spk"),
        ("test/seen", "train"),
        ("test/all", "."),
    ],
)
def test_links_that_lead_back_add_nothing(tmp_path, link, target):
    root = tmp_path / "corpus"
    for name in ("train/spk/u0", "train/spk/u1", "train/spk/u2", "test/spk/u7", "test/spk/u8"):
        write_utterance(root, name)
    before = everything(root)
    (root / link).symlink_to(root / target, target_is_directory=True)
    assert everything(root) == before
    assert not set(before["train"]) & set(before["test"])


def test_links_to_folders_and_recordings_elsewhere(tmp_path):
    root, other = tmp_path / "corpus", tmp_path / "other"
    for name in ("a/u0", "a/u1", "b/u2", "b/deep/u3"):
        write_utterance(other, name)
    for split in ("train", "test"):
        (root / split).mkdir(parents=True)
    (other / "a" / "back").symlink_to(other)  # a circle outside of the corpus
    (root / "train" / "all").symlink_to(other)
    (root / "test" / "held_out").symlink_to(other / "b" / "deep")
    (root / "test" / "u9.wav").symlink_to(other / "b" / "u2.wav")
    write_phn(root / "test" / "u9.phn")
    found = everything(root)
    assert found["test"] == ["test/held_out/u3", "test/u9"]
    assert [*found["train"], *found["validation"]] == ["train/all/a/u1", "train/all/a/u0"]
    assert len(TimitFolder(root).read("test/held_out/u3").samples) == 1600


def test_a_linked_recording_of_test_is_none_of_train(tmp_path):
    small(tmp_path, train=3, test=1)
    for suffix in (".wav", ".phn"):
        (tmp_path / f"train/u09{suffix}").symlink_to(tmp_path / f"test/u00{suffix}")
    found = everything(tmp_path)
    assert found["test"] == ["test/u00"]
    assert "train/u09" not in found["train"] + found["validation"]


@pytest.mark.parametrize(("audio", "phones"), [("U0.WAV", "u0.phn"), ("u0.wav", "U0.Phn")])
def test_letter_case_within_a_pair(tmp_path, audio, phones):
    write_utterance(tmp_path, "train/u1")
    write_riff(tmp_path / "train" / audio)
    write_phn(tmp_path / "train" / phones)
    corpus = TimitFolder(tmp_path)
    (name,) = corpus.names("validation")
    assert name == f"train/{audio[:2]}"
    assert len(corpus.read(name).segments) == 3


def test_names_that_differ_in_letter_case_only(tmp_path):
    write_utterance(tmp_path, "train/u1")
    write_riff(tmp_path / "train" / "U1.wav")
    if len(list((tmp_path / "train").iterdir())) == 2:
        pytest.skip("this file system takes both for the same name")
    with pytest.raises(DataError, match=r"u1\.wav: must differ from U1\.wav|U1\.wav: must differ"):
        TimitFolder(tmp_path).names("train")


def test_byte_order_mark(tmp_path):
    write_utterance(tmp_path, "train/u0")
    (tmp_path / "train/u0.phn").write_text("\ufeff0 400 h#\r\n400 900 sh\r\n", "utf-8")
    assert [s.end for s in TimitFolder(tmp_path).read("train/u0").segments] == [400, 900]


def test_pipes_are_no_recordings(tmp_path):
    if not hasattr(os, "mkfifo"):
        pytest.skip("no pipes here")
    corpus = small(tmp_path, train=2)
    os.mkfifo(tmp_path / "train" / "u99.wav")
    assert len(corpus.names("train")) == 1


def test_one_utterance_is_too_few(tmp_path):
    small(tmp_path, train=1)
    with pytest.raises(DataError, match=r"must hold at least 2 utterances for train.*found 1"):
        TimitFolder(tmp_path).names("train")


def test_wrong_folders(tmp_path):
    with pytest.raises(FileNotFoundError, match="root must hold a folder train") as caught:
        TimitFolder(tmp_path).names("train")
    assert "no folder" not in str(caught.value)
    with pytest.raises(FileNotFoundError, match=r"nowhere, which is no folder"):
        TimitFolder(tmp_path / "nowhere").names("train")
    small(tmp_path, test=0)
    with pytest.raises(FileNotFoundError, match="must hold utterances for test, found none"):
        TimitFolder(tmp_path).names("test")


def test_wrong_arguments(tmp_path):
    corpus = small(tmp_path)
    with pytest.raises(ValueError, match='split must be "train", "validation" or "test"'):
        corpus.names("dev")
    with pytest.raises(ValueError, match="there is no utterance 'u77'"):
        corpus.read("u77")
    with pytest.raises(ValueError, match='labels must be "timit", "russian" or a list'):
        TimitFolder(tmp_path, labels="german")
    with pytest.raises(ValueError, match="give silence=LABEL"):
        TimitFolder(tmp_path, labels=["a", "b"])
    with pytest.raises(ValueError, match="labels must be different"):
        TimitFolder(tmp_path, labels=["a", "a"], silence="a")
    with pytest.raises(ValueError, match="validation_every must be an integer of at least 2"):
        TimitFolder(tmp_path, validation_every=1)
    with pytest.raises(ValueError, match="must have 8000 samples per second, got 16000"):
        TimitFolder(tmp_path, rate=8000).read("train/u00")


@pytest.mark.skipif(not SHARED.is_dir(), reason="the small Russian corpus is not here")
def test_russian_speech():
    corpus = TimitFolder(SHARED, labels="russian")
    assert [len(corpus.names(split)) for split in ("train", "validation", "test")] == [98, 11, 26]
    seconds, seen = 0.0, set()
    for name in [*corpus.names("train"), *corpus.names("validation")]:
        utterance = corpus.read(name)
        seconds += len(utterance.samples) / utterance.rate
        seen |= {segment.label for segment in utterance.segments}
        assert utterance.segments[0].label == utterance.segments[-1].label == corpus.silence
        assert utterance.segments[-1].end == len(utterance.samples)
    assert seconds / 60 == pytest.approx(17.3, abs=0.05)
    assert seen <= set(RUSSIAN_LABELS)
    assert len(seen) > 45
