"""Label files that predict writes are read back by the corpus reader."""

from __future__ import annotations

import importlib.util
import itertools

import numpy as np
import pytest
import torch

if importlib.util.find_spec("pytorch_lightning") is None:
    pytest.skip("pytorch_lightning is not installed", allow_module_level=True)

from lightning_modules.framewise.label_files import merge_frames, write_label_files
from lightning_modules.framewise.task import FramePrediction
from snn_neuromod.data.phones import TimitFolder
from snn_neuromod.data.phones.features import Mfcc, frame_labels

NAMES = ["a", "b", "pau"]


def predictions():
    classes = torch.tensor([[2, 0], [2, 1], [0, 1], [0, 2], [1, 2], [2, 2]])
    labels = torch.tensor([[2, 0], [2, 1], [1, -100], [0, -100], [1, -100], [2, -100]])
    return [FramePrediction(classes, labels, torch.tensor([6, 2]), ["train/dr1/x", "train/y"])]


def test_every_frame_lies_in_a_segment_of_its_class():
    generator = np.random.default_rng(0)
    for mfcc in (Mfcc(), Mfcc(window_ms=20, hop_ms=5), Mfcc(window_ms=5, hop_ms=10)):
        classes = generator.integers(3, size=40)
        segments = merge_frames(classes, NAMES, mfcc)
        back = frame_labels(segments, mfcc.centres(40), NAMES, silence="pau")
        assert (back == classes).all()
        assert segments[0].start == 0
        assert segments[-1].end == 39 * mfcc.hop + mfcc.window
        for a, b in itertools.pairwise(segments):
            assert a.end == b.start
            assert a.label != b.label
    assert merge_frames([], NAMES, Mfcc()) == []


def test_the_corpus_reader_reads_them_back(tmp_path):
    soundfile = pytest.importorskip("soundfile")
    told = write_label_files(predictions(), tmp_path / "out", names=NAMES, framing=Mfcc())
    assert told == f"labels of 2 utterances, 87.50% of the frames right: {tmp_path / 'out'}"
    for name, frames in (("train/dr1/x", 6), ("train/y", 2)):
        samples = np.zeros(400 + 160 * (frames - 1) + 50, dtype=np.float32)
        soundfile.write(tmp_path / "out" / f"{name}.wav", samples, 16_000)
    corpus = TimitFolder(tmp_path / "out", labels=NAMES, silence="pau", validation_every=2)
    x, y = (corpus.read(name).segments for name in ("train/dr1/x", "train/y"))
    assert [tuple(s) for s in x] == [
        (0, 440, "pau"), (440, 760, "a"), (760, 920, "b"), (920, 1200, "pau"),
    ]  # fmt: skip
    assert [s.label for s in y] == ["a", "b"]  # nothing of the padding


def test_wrong_folders(tmp_path):
    with pytest.raises(ValueError, match="output must lie in an existing folder"):
        write_label_files(predictions(), tmp_path / "no" / "out", names=NAMES, framing=Mfcc())
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="output must be a folder for label files"):
        write_label_files(predictions(), tmp_path / "file", names=NAMES, framing=Mfcc())
