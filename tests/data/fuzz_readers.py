"""The readers that fuzz.py damages files for, and what must hold of what they read."""

from __future__ import annotations

import gzip
import importlib.util
import json
import struct
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from snn_neuromod.benchmarks.results import Results
from snn_neuromod.data.frames import BinaryFrames
from snn_neuromod.data.images import IDX_FILES, mnist_images
from snn_neuromod.data.nmnist import NMNIST
from snn_neuromod.data.phones import FestvoxRussian, PhoneFrames, TimitFolder
from snn_neuromod.data.phones.audio import read_audio
from tests.data.fuzz import Reader
from tests.data.phones.made_up import Plain, Tones
from tests.data.phones.recordings import write_riff, write_sphere, write_utterance

FRAMES = BinaryFrames((34, 34, 2), 60, 5000)
EVENTS = [(k % 34, 33 - k % 34, 9_000 * k, k % 2) for k in range(34)]


def write_recordings(folder: Path) -> None:
    raw = b"".join(bytes([x, y]) + (p << 23 | t).to_bytes(3, "big") for x, y, t, p in EVENTS)
    for split in ("Train", "Test"):
        (folder / split / "7").mkdir(parents=True)
        (folder / split / "7" / "1.bin").write_bytes(raw)
    for number in (1, 2, 3):
        (folder / f"{number}.bs2").write_bytes(raw)


def write_list(folder: Path) -> None:
    write_recordings(folder)
    (folder / "train.txt").write_text("#sample #class\n1\t5\n2\t0\n3\t9\n")


def read_recordings(folder: Path) -> None:
    """Every event of the file lies in its own pixel and frame, and no other pixel is lit."""
    for frames, label in NMNIST(folder, "train", transform=FRAMES):
        raw = np.fromfile(folder / "Train" / "7" / "1.bin", np.uint8).reshape(-1, 5).astype(int)
        time = (raw[:, 2] % 128) << 16 | raw[:, 3] << 8 | raw[:, 4]
        lit = {(t // 5000, p // 128 * 1156 + y * 34 + x)
               for (x, y, p), t in zip(raw[:, :3].tolist(), time.tolist(), strict=True)
               if t < 300_000}  # fmt: skip
        assert raw[:, :2].max() < 34
        assert {tuple(place) for place in frames.nonzero().tolist()} == lit
        assert label == 7


def read_list(folder: Path) -> None:
    data = NMNIST(folder, "train", transform=FRAMES)
    labels = [label for _, label in data]
    assert labels == data.labels
    assert len(labels) == len(data) == len(set(data.files))
    assert set(labels) <= set(range(10))


def write_mnist(folder: Path, *, packed: bool) -> None:
    images = torch.arange(5 * 784).remainder(251).byte().reshape(5, 28, 28)
    for pair in IDX_FILES.values():
        for name, data in zip(pair, (images, torch.arange(5).byte()), strict=True):
            head = struct.pack(f">4B{data.ndim}i", 0, 0, 8, data.ndim, *data.shape)
            raw = head + bytes(data.flatten().tolist())
            path = folder / (f"{name}.gz" if packed else name)
            path.write_bytes(gzip.compress(raw, mtime=0) if packed else raw)


def read_mnist(folder: Path) -> None:
    images, labels = mnist_images(folder, "train")
    assert images.shape == (len(labels), 28, 28)
    assert images.dtype == torch.uint8
    assert 0 <= labels.min() <= labels.max() <= 9


def read_recording(folder: Path) -> None:
    samples, rate = read_audio(folder / "a.wav")
    assert samples.ndim == 1
    assert len(samples)
    assert np.isfinite(samples).all()
    assert 1000 <= rate <= 1_000_000


def write_corpus(folder: Path) -> None:
    for name in ("train/u0", "train/u1", "test/u2"):
        write_utterance(folder, name, sphere=True)


def check_utterance(utterance: Any, labels: Any) -> None:
    end = 0
    for segment in utterance.segments:
        assert end <= segment.start < segment.end <= len(utterance.samples)
        assert segment.label in labels
        end = segment.end
    assert end


def read_corpus(folder: Path) -> None:
    corpus = TimitFolder(folder)
    for split in ("train", "validation", "test"):
        for name in corpus.names(split):
            check_utterance(corpus.read(name), corpus.labels)


def write_voice(folder: Path) -> None:
    for name in ("0", "1", "2", "3"):
        write_sphere(folder / "wav" / f"{name}.wav")
        (folder / "lab").mkdir(exist_ok=True)
        (folder / "lab" / f"{name}.lab").write_text(
            "separator ;\nnfields 1\n#\n0.02500 125 pau\n0.06000 125 aa\n0.09500 125 pau\n"
        )


def read_voice(folder: Path) -> None:
    corpus = FestvoxRussian(folder, test_every=2, validation_every=2)
    for split in ("train", "validation", "test"):
        for name in corpus.names(split):
            check_utterance(corpus.read(name), corpus.labels)


@cache
def tones() -> PhoneFrames:
    return PhoneFrames(Tones(), "test", features=Plain(), cache=False)


CACHED = "tones-test.npz"


def write_cache(folder: Path) -> None:
    PhoneFrames(Tones(), "train", features=Plain(), cache=folder)
    PhoneFrames(Tones(), "test", features=Plain(), cache=folder)
    (path,) = folder.glob("tones-test-*.npz")
    path.rename(folder / CACHED)


def read_cache(folder: Path) -> None:
    """Whatever happened to the file, the features are those that it was made of."""
    path = cached_path(folder)
    path.write_bytes((folder / CACHED).read_bytes())
    found = PhoneFrames(Tones(), "test", features=Plain(), cache=folder)
    assert torch.equal(found._frames, tones()._frames)
    assert torch.equal(found._labels, tones()._labels)
    assert torch.equal(found.lengths, tones().lengths)
    assert found.names == tones().names


def cached_path(folder: Path) -> Path:
    from snn_neuromod.data.phones.extraction import _path

    return _path(Tones(), "test", Plain(), folder)


class Run(NamedTuple):
    """A run of an experiment."""

    neuron: str
    seed: int
    lr: float


def open_log(folder: Path) -> Any:
    from docs.studies.log import Log

    return Log(folder / "epochs.csv", Run, ("loss", "error"))


def write_log(folder: Path) -> None:
    for seed in range(4):
        open_log(folder).add(
            Run("alif", seed, 0.01), [{"loss": 2.0, "error": 0.5}, {"loss": 1.0, "error": 0.25}]
        )


def read_log(folder: Path) -> None:
    found = open_log(folder).read()
    for run, rows in found.items():
        assert [type(value) for value in run] == [str, int, float]
        assert all(set(row) <= {"loss", "error"} for row in rows)
        assert rows
    if (folder / "epochs.csv").read_bytes().count(b",1,1,1,0.25\n") == 4:
        assert len(found) <= 4


def write_results(folder: Path) -> None:
    record = {
        "workload": "W1", "label": "T10", "title": "ours", "same": True, "status": "timed",
        "check": {"rate": 0.1}, "seconds": [0.25, 0.5], "environment": 0,
    }  # fmt: skip
    content = {
        "schema": 1,
        "environments": [{"processor": "a", "versions": {"torch": "2"}}],
        "results": [{**record, "variant": name} for name in ("a", "b", "c")],
    }
    (folder / "benchmarks.json").write_text(json.dumps(content, indent=1) + "\n")


def read_results(folder: Path) -> None:
    found = Results(folder)
    for record in found.records.values():
        assert found.environments[record["environment"]]["versions"] is not None
        if record["status"] == "timed":
            assert min(record["seconds"]) >= 0


def _write_audio(write: Any, folder: Path) -> None:
    write(folder / "a.wav")


PACKED = tuple(f"{name}.gz" for name in IDX_FILES["train"])
READERS = [
    Reader("N-MNIST, recordings", write_recordings, ("Train/7/1.bin",), read_recordings),
    Reader("N-MNIST, lists", write_list, ("train.txt",), read_list),
    Reader("MNIST, gzipped", partial(write_mnist, packed=True), PACKED, read_mnist),
    Reader("MNIST, unpacked", partial(write_mnist, packed=False), IDX_FILES["train"], read_mnist),
    Reader("SPHERE", partial(_write_audio, write_sphere), ("a.wav",), read_recording),
    Reader("TIMIT folder", write_corpus, ("train/u0.phn", "test/u2.wav"), read_corpus),
    Reader("festvox", write_voice, ("lab/1.lab", "wav/2.wav"), read_voice),
    Reader("feature cache", write_cache, (CACHED,), read_cache),
    Reader("benchmark results", write_results, ("benchmarks.json",), read_results),
]
if importlib.util.find_spec("soundfile"):
    READERS.append(Reader("RIFF", partial(_write_audio, write_riff), ("a.wav",), read_recording))
if importlib.util.find_spec("pytorch_lightning"):
    READERS.append(Reader("experiment log", write_log, ("epochs.csv",), read_log))
