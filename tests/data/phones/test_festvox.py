"""The Russian recordings of festvox-ru, in files of their form."""

import pytest

from snn_neuromod.data.phones import Corpus, FestvoxRussian
from tests.data.phones.recordings import write_riff

pytest.importorskip("soundfile")

VOICE = "usr/share/festival/voices/russian/msu_ru_nsh_clunits"
# 1600 samples are 0.1 s.
LAB = "separator ;\nnfields 1\n#\n0.02500 125 pau\n0.06000 125 aa\n0.09500 125 pau\n"


def unpacked(root, number=20, lab=LAB):
    for index in range(number):
        write_riff(root / VOICE / "wav" / f"ru_{index:04}.wav")
        path = root / VOICE / "lab" / f"ru_{index:04}.lab"
        path.parent.mkdir(exist_ok=True)
        path.write_text(lab)
    return FestvoxRussian(root)


def test_times_in_seconds_become_samples_and_the_last_pause_is_filled(tmp_path):
    utterance = unpacked(tmp_path).read("ru_0003")
    assert utterance.segments == ((0, 400, "pau"), (400, 960, "aa"), (960, 1600, "pau"))
    assert (utterance.name, utterance.speaker, utterance.rate) == ("ru_0003", "nsh", 16_000)


def test_splits(tmp_path):
    corpus = unpacked(tmp_path)
    assert isinstance(corpus, Corpus)
    assert corpus.names("test") == ["ru_0000", "ru_0008", "ru_0016"]
    assert corpus.names("validation") == ["ru_0001", "ru_0012"]
    everything = [name for split in ("train", "validation", "test") for name in corpus.names(split)]
    assert sorted(everything) == [f"ru_{index:04}" for index in range(20)]
    # Of 620 utterances 78 test and 542 do not, as in the reference figures.
    assert [len(range(620)[::8]), 620 - len(range(620)[::8])] == [78, 542]


def test_folder_of_the_voice_itself_and_identity(tmp_path):
    corpus = unpacked(tmp_path)
    (tmp_path / VOICE / "wav" / ".hidden.wav").write_bytes(b"")
    first = corpus.identity
    inner = FestvoxRussian(tmp_path / VOICE)
    assert inner.names("test") == corpus.names("test")
    assert inner.identity == first
    assert FestvoxRussian(tmp_path, test_every=4).identity != first
    (tmp_path / VOICE / "lab" / "ru_0001.lab").write_text(LAB + " ")
    assert FestvoxRussian(tmp_path).identity != first


@pytest.mark.parametrize(
    ("lab", "message"),
    [
        ("#\n0.1 125\n", 'a line must be "end colour label"'),
        ("#\nnan 125 pau\n", "got .nan 125 pau. in line 2"),
        ("#\n1e999 125 pau\n", 'a line must be "end colour label"'),
        ("#\n-0.5 125 pau\n", 'a line must be "end colour label"'),
        ("#\n0,05 125 pau\n", 'a line must be "end colour label"'),
        ("#\n0.05 125 pau\n0.04 125 aa\n", "end after it starts"),
        ("#\n0.05 125 pau\n0.08 125 qq\n", "label 'qq' is not in the label set of 51"),
        ("#\n0.05 125 pau\n0.12 125 aa\n", "within the audio of 1600 samples"),
        ("#\n0.05 125 pau\n0.12 125 pau\n", "within the audio of 1600 samples"),
        ("0.05 125 pau\n", "holds no labels"),
    ],
)
def test_wrong_labels_name_the_file(tmp_path, lab, message):
    with pytest.raises(ValueError, match=message) as caught:
        unpacked(tmp_path, 2, lab).read("ru_0001")
    assert "ru_0001.lab" in str(caught.value)


def test_byte_order_mark(tmp_path):
    assert len(unpacked(tmp_path, 2, "\ufeff#\n0.05 125 pau\n").read("ru_0001").segments) == 1


def test_wrong_folders_and_arguments(tmp_path):
    with pytest.raises(FileNotFoundError, match="apt-get download festvox-ru"):
        FestvoxRussian(tmp_path).names("train")
    corpus = unpacked(tmp_path)
    with pytest.raises(ValueError, match="there is no utterance 'ru_9999'"):
        corpus.read("ru_9999")
    with pytest.raises(ValueError, match="split must be"):
        corpus.names("dev")
    with pytest.raises(ValueError, match="test_every must be an integer of at least 2"):
        FestvoxRussian(tmp_path, test_every=0)
    (tmp_path / VOICE / "lab" / "ru_0005.lab").unlink()
    with pytest.raises(FileNotFoundError, match=r"ru_0005\.wav: must have labels in"):
        FestvoxRussian(tmp_path).names("train")
