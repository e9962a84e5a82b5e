"""The synthetic corpus: voices, labels, and the folder that is there whole or not at all."""

import os
import threading
import time
from collections import Counter
from itertools import chain

import numpy as np
import pytest

from snn_neuromod.data.phones import TIMIT_LABELS, Corpus, EspeakCorpus, TimitFolder, espeak
from snn_neuromod.data.phones.espeak_recordings import VOICES
from snn_neuromod.errors import RunError

pytest.importorskip("espeakng_loader")
pytest.importorskip("soundfile")

SPLITS = ("train", "validation", "test")
VOWELS = "iy ih eh ey ae aa aw ay ah ao oy ow uh uw er".split()  # noqa: SIM905
SILENT = ("h#", "pcl", "tcl", "kcl")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return EspeakCorpus(tmp_path_factory.mktemp("espeak"), minutes=3)


@pytest.fixture(scope="module")
def utterances(corpus):
    return {split: [corpus.read(name) for name in corpus.names(split)] for split in SPLITS}


def seconds(utterances):
    return sum(len(utterance.samples) / utterance.rate for utterance in utterances)


def test_size_rate_and_labels(corpus, utterances):
    assert isinstance(corpus, Corpus)
    for split, share in zip(SPLITS, (0.75, 0.1, 0.15), strict=True):
        assert 0 <= seconds(utterances[split]) - 180 * share < 8
    for utterance in chain(*utterances.values()):
        assert utterance.rate == 16_000
        assert 0.1 < np.abs(utterance.samples).max() < 1
        first, last = utterance.segments[0], utterance.segments[-1]
        assert (first.start, last.end) == (0, len(utterance.samples))
        assert first.label == last.label == corpus.silence
        for before, after in zip(utterance.segments, utterance.segments[1:], strict=False):
            assert before.end == after.start
            assert (before.label, after.label) != ("h#", "h#")


def test_54_labels_occur_and_no_class_dominates(utterances):
    frames = Counter()
    for utterance in chain(*utterances.values()):
        for start, end, label in utterance.segments:
            frames[label] += end - start
    never = set(TIMIT_LABELS) - set(frames)
    assert never >= {"em", "eng", "nx", "ux", "hv", "epi", "pau"}
    # Three minutes may lack one or two of the rare ones.
    assert len(frames) >= 52
    assert frames.most_common(1)[0][1] < 0.15 * frames.total()


def test_voices_are_disjoint(utterances):
    speakers = {split: {u.speaker for u in utterances[split]} for split in SPLITS}
    assert len(set.union(*speakers.values())) == sum(map(len, speakers.values()))
    assert len(speakers["test"]) == len(VOICES["test"]) == 8
    every = [voice for split in SPLITS for voice in VOICES[split]]
    assert len(every) == len(set(every)) == 61


def test_closures_and_pauses_are_quiet_beside_vowels(utterances):
    """Label times are right: a shift by 20 ms would bring speech into the closures."""
    quiet, loud = [], []
    for utterance in chain(*utterances.values()):
        for start, end, label in utterance.segments:
            level = np.sqrt(np.mean(utterance.samples[start:end] ** 2))
            if label in SILENT:
                quiet.append(level)
            elif label in VOWELS:
                loud.append(level)
    assert min(len(quiet), len(loud)) > 300
    assert np.median(loud) > 50 * np.median(quiet)
    # hardly a closure is louder than the quietest vowels
    assert np.quantile(quiet, 0.95) < np.quantile(loud, 0.05)


def frames(utterances, num_bands=20):
    """Logarithms of band energies of five frames in a row, 10 ms apart, and the labels."""
    edges = np.unique(np.geomspace(3, 255, num_bands + 1).astype(int))
    features, labels = [], []
    for utterance in utterances:
        count = len(utterance.samples) // 160 - 3
        windows = np.stack([utterance.samples[160 * i : 160 * i + 512] for i in range(count)])
        power = np.abs(np.fft.rfft(windows * np.hanning(512))) ** 2
        bands = np.log(np.add.reduceat(power, edges, axis=1)[:, :-1] + 1e-8)
        padded = np.pad(bands - bands.mean(), ((2, 2), (0, 0)), mode="edge")
        features.append(np.hstack([padded[k : k + count] for k in range(5)]))
        ends = [segment.end for segment in utterance.segments]
        where = np.searchsorted(ends, 160 * np.arange(count) + 256, side="right")
        labels += [TIMIT_LABELS.index(utterance.segments[i].label) for i in where]
    return np.vstack(features), np.array(labels)


def test_a_linear_classifier_hears_the_labels_in_other_voices(utterances):
    x, y = frames(utterances["train"])
    x_test, y_test = frames(utterances["test"])
    mean, deviation = x.mean(0), x.std(0)
    x, x_test = (np.hstack([(a - mean) / deviation, np.ones((len(a), 1))]) for a in (x, x_test))
    target = np.eye(61)[y]
    weights = np.linalg.solve(x.T @ x + 10 * np.eye(x.shape[1]), x.T @ target)
    right = np.mean((x_test @ weights).argmax(1) == y_test)
    majority = np.bincount(y_test).max() / len(y_test)
    assert right > 0.28 > 3 * majority
    shifted = np.roll(y_test, 20)
    assert np.mean((x_test @ weights).argmax(1) == shifted) < 0.12


def test_the_same_arguments_give_the_same_corpus(corpus, utterances, tmp_path):
    again = EspeakCorpus(tmp_path / "elsewhere", minutes=3)
    assert again.identity == corpus.identity
    assert not again.folder.exists()
    for split in SPLITS:
        assert again.names(split) == corpus.names(split)
    for utterance in utterances["test"]:
        other = again.read(utterance.name)
        np.testing.assert_array_equal(other.samples, utterance.samples)
        assert other.segments == utterance.segments
    others = [EspeakCorpus(tmp_path, seed=1, minutes=3), EspeakCorpus(tmp_path, minutes=2)]
    assert len({corpus.identity, *(other.identity for other in others)}) == 3


def test_it_is_made_once_and_timit_folder_reads_it(corpus, utterances, capfd):
    names = corpus.names("train")
    times = [path.stat().st_mtime_ns for path in corpus.folder.rglob("*.wav")]
    other = EspeakCorpus(corpus.cache, minutes=3)
    assert other.names("train") == names
    assert [path.stat().st_mtime_ns for path in corpus.folder.rglob("*.wav")] == times
    assert capfd.readouterr().err == ""
    assert TimitFolder(corpus.folder).names("train") == names
    text = corpus.folder / f"{utterances['test'][0].name}.txt"
    start, end, words = text.read_text().split(maxsplit=2)
    assert (start, end) == ("0", str(len(utterances["test"][0].samples)))
    assert len(words.split()) > 2


def test_cache_of_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("SNN_NEUROMOD_CACHE", str(tmp_path / "c"))
    assert EspeakCorpus().folder.parent == tmp_path / "c" / "corpora"
    assert EspeakCorpus("~/x").folder.parts[-2] == "x"


def test_interruption_leaves_nothing_and_the_next_use_starts_afresh(monkeypatch, tmp_path):
    corpus = EspeakCorpus(tmp_path, minutes=1)
    generate = espeak.generate

    def interrupted(folder, **options):
        (folder / "train").mkdir()
        raise KeyboardInterrupt

    monkeypatch.setattr(espeak, "generate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        corpus.names("train")
    assert list(tmp_path.iterdir()) == []
    # what a killed process leaves
    for name, age in (("old", 7200), ("new", 60)):
        draft = tmp_path / f".{corpus.folder.name}.{name}"
        draft.mkdir()
        os.utime(draft, (time.time() - age,) * 2)
    monkeypatch.setattr(espeak, "generate", generate)
    assert len(corpus.names("train")) > 5
    assert {path.name.rpartition(".")[2] for path in tmp_path.glob(".*")} == {"new"}


def test_two_at_the_same_time(monkeypatch, tmp_path):
    """The slower one throws its copy away and uses the other's."""
    barrier = threading.Barrier(2)
    made = []

    def fill(folder):
        (folder / "who").write_text(folder.name)
        made.append(folder.name)
        barrier.wait(timeout=10)

    folder = tmp_path / "corpus"
    threads = [threading.Thread(target=espeak._make_whole, args=(folder, fill)) for _ in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(made)) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["corpus"]
    assert (folder / "who").read_text() in made


def test_lost_files_are_noticed(tmp_path):
    corpus = EspeakCorpus(tmp_path, minutes=1)
    name = corpus.names("train")[3]
    for suffix in (".wav", ".phn"):
        (corpus.folder / name).with_suffix(suffix).unlink()
    espeak._opened.cache_clear()
    with pytest.raises(RunError, match=r"has lost files \(\d+ of \d+ utterances are there\)"):
        corpus.names("train")


def test_failure_of_the_synthesis(monkeypatch, tmp_path):
    monkeypatch.setitem(VOICES, "train", ("no such voice",))
    with pytest.raises(RunError, match=r"no voice .en-us\+no such voice.*loader whole"):
        EspeakCorpus(tmp_path, minutes=1).names("train")
    assert list(tmp_path.iterdir()) == []


def test_wrong_arguments_and_places(monkeypatch, tmp_path):
    for minutes in (0, 0.5, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="minutes must be at least 1"):
            EspeakCorpus(tmp_path, minutes=minutes)
    with pytest.raises(ValueError, match="seed must be an integer of at least 0, got -1"):
        EspeakCorpus(tmp_path, seed=-1)
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="give cache=FOLDER or set the environment variable SNN_"):
        EspeakCorpus(tmp_path / "file").names("train")
    monkeypatch.setattr(espeak.importlib.metadata, "version", _missing)
    with pytest.raises(ImportError, match="espeakng-loader must be installed; run pip install"):
        EspeakCorpus(tmp_path).names("train")


def _missing(name):
    raise espeak.importlib.metadata.PackageNotFoundError(name)


def test_synthesis_stays_out_of_this_process(corpus, fresh):
    code = (
        "import sys, ctypes\n"
        "from snn_neuromod.data.phones import EspeakCorpus\n"
        f"EspeakCorpus({str(corpus.cache)!r}, minutes=1).names('train')\n"
        "print('espeakng_loader' in sys.modules)"
    )
    result = fresh(code)
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == ["False"]
    assert result.stderr.startswith("EspeakCorpus: makes 1 minutes in ")
