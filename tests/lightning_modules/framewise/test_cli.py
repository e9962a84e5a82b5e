"""Phones from the command line: every configuration, a whole run on a tiny corpus, resumption."""

from __future__ import annotations

import csv
import importlib.util
import signal
from pathlib import Path

import numpy as np
import pytest
import torch

if any(
    importlib.util.find_spec(name) is None
    for name in ("pytorch_lightning", "matplotlib", "soundfile", "kaldi_native_fbank")
):
    pytest.skip(
        "pytorch_lightning, matplotlib or the audio packages are missing", allow_module_level=True
    )
import soundfile

from lightning_modules.cli import main
from lightning_modules.config_files import available_configs
from snn_neuromod.data.phones import TimitFolder
from tests.lightning_modules.kills import until_first_checkpoint
from tests.test_a_new_neuron import FILE

ROOT = Path(__file__).parents[3]
OVERLAYS = {
    "phones/alif_eprop": ("phones/russian", "phones/russian_small"),
    "phones/comparison/alif": tuple(
        f"phones/comparison/{name}"
        for name in ("fine", "large", "russian", "russian_small", "synthetic")
    ),
}
LABELS = ("pau", "aa", "m", "s")


def write_utterance(folder, name, phones, seed):
    """Each label is a hum of its own pitch."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(seed)
    parts, lines, now = [], [], 0
    for k in generator.integers(len(LABELS), size=phones):
        n = int(generator.integers(1200, 3200))
        times = np.arange(n) / 16_000
        parts.append(0.2 * k * np.sin(2 * np.pi * 400 * (k + 1) * times))
        lines.append(f"{now} {now + n} {LABELS[k]}")
        now += n
    samples = np.concatenate(parts) + 0.01 * generator.standard_normal(now)
    soundfile.write(folder / f"{name}.wav", samples, 16_000, subtype="PCM_16")
    (folder / f"{name}.phn").write_text("\n".join(lines) + "\n")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    for i in range(10):
        write_utterance(folder / "train", f"u{i}", 6 + i % 4, i)
    for i in range(3):
        write_utterance(folder / "test", f"v{i}", 6 + i, 20 + i)
    return folder


def arguments(corpus, root, *more):
    return [
        "-c", "phones/russian_small", "--data.corpus.root", str(corpus),
        "--data.cache", str(corpus / "cache"), "--data.batch_size=4", "--data.segment=50",
        "--trainer.default_root_dir", str(root), *more,
    ]  # fmt: skip


def rows(path):
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


CONFIGS = [
    name
    for name in available_configs()
    if name.startswith("phones/") and not any(name in names for names in OVERLAYS.values())
]


@pytest.mark.parametrize("name", CONFIGS)
def test_every_configuration_runs_a_batch(name, corpus, tmp_path, capsys):
    main(["fit", "-c", name, *arguments(corpus, tmp_path, "--trainer.fast_dev_run=1")])
    assert "epoch 1/1" in capsys.readouterr().out
    header = (ROOT / "configs" / f"{name}.yaml").read_text(encoding="utf-8")
    assert f"snn-neuromod fit -c {name}" in header


def test_a_neuron_of_ones_own(corpus, tmp_path, monkeypatch, capsys):
    """The equations stand in a file of the user's, which the configuration names."""
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "toy_phones.py").write_text(FILE)
    own = "{class_path: snn_neuromod.Custom, init_args: {dynamics: toy_phones, learn: [omega]}}"
    (tmp_path / "own.yaml").write_text(
        f"model: {{init_args: {{network: {{init_args: {{neuron: {own}}}}}}}}}\n"
    )
    more = ["-c", str(tmp_path / "own.yaml"), "--trainer.fast_dev_run=1"]
    main(["fit", "-c", "smoke/phones", *arguments(corpus, tmp_path, *more)])
    assert "epoch 1/1" in capsys.readouterr().out


@pytest.mark.skipif(
    importlib.util.find_spec("espeakng_loader") is None, reason="espeakng-loader is missing"
)
def test_the_default_corpus(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("SNN_NEUROMOD_CACHE", str(tmp_path / "cache"))
    root = ["--trainer.default_root_dir", str(tmp_path)]
    main(["fit", "-c", "smoke/phones", *root, "--pictures.enabled=false"])
    out = capsys.readouterr().out
    assert "frame error after folding TIMIT's labels" in out
    (test,) = [r for r in rows(tmp_path / "smoke/phones/version_0/metrics.csv") if r["test/error"]]
    assert float(test["test/error_folded"]) < float(test["test/error"]) < 0.9


@pytest.mark.parametrize(
    ("under", "name"), [(under, name) for under, names in OVERLAYS.items() for name in names]
)
def test_overlays_say_so(under, name):
    header = (ROOT / "configs" / f"{name}.yaml").read_text(encoding="utf-8")
    assert "not a run of its own" in header
    assert f"-c {under} -c {name}" in header


@pytest.fixture(scope="module")
def run(corpus, tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    main(["fit", "-c", "phones/alif_eprop", *arguments(corpus, root, "--trainer.max_epochs=4")])
    return root / "phones" / "alif_eprop" / "version_0"


def test_fit_learns_and_leaves_everything(run):
    for name in ("checkpoints/last.ckpt", "config.yaml", "pictures/network.png",
                 "pictures/confusion_val.png", "pictures/confusion_test.png"):  # fmt: skip
        assert (run / name).stat().st_size > 0, name
    table = rows(run / "metrics.csv")
    errors = [float(row["val/error"]) for row in table if row["val/error"]]
    assert len(errors) == 4
    assert errors[-1] < 0.2
    (test,) = [row for row in table if row["test/error"]]
    assert float(test["test/accuracy"]) == pytest.approx(1 - float(test["test/error"]), abs=1e-6)
    assert float(test["test/rate/1"]) > 0
    assert float(test["test/error_speech"]) > 0


def test_validate_and_test(run, capsys):
    main(["test", "--ckpt_path", str(run)])
    out = capsys.readouterr().out
    (test,) = [row for row in rows(run / "metrics.csv") if row["test/error"]]
    assert f"held-out accuracy {float(test['test/accuracy']):.2%}" in out
    assert f"frame error {float(test['test/error']):.2%}" in out
    assert "firing rate, layer 1: " in out
    assert "frame error without pauses" in out
    main(["validate", "--ckpt_path", str(run)])
    assert "validation accuracy" in capsys.readouterr().out


def test_predict_writes_label_files_that_the_reader_reads(run, corpus, tmp_path, capsys):
    main(["predict", "--ckpt_path", str(run)])
    out = capsys.readouterr().out
    (test,) = [row for row in rows(run / "metrics.csv") if row["test/error"]]
    assert f"labels of 3 utterances, {float(test['test/accuracy']):.2%} of the frames right" in out
    folder = run / "predictions"
    names = sorted(path.name for path in (folder / "test").iterdir())
    assert names == ["v0.phn", "v1.phn", "v2.phn"]
    for split in ("train", "test"):
        (folder / split).mkdir(exist_ok=True)
        for path in (corpus / split).glob("*.wav"):
            (folder / split / path.name).write_bytes(path.read_bytes())
    for path in (corpus / "train").glob("*.phn"):
        (folder / "train" / path.name).write_bytes(path.read_bytes())
    found = TimitFolder(folder, labels="russian").read("test/v0")
    assert found.segments[0].start == 0
    assert 0 <= len(found.samples) - found.segments[-1].end < 160
    main(["predict", "--ckpt_path", str(run), "--output", str(tmp_path / "mine")])
    assert (tmp_path / "mine/test/v0.phn").read_text() == (folder / "test/v0.phn").read_text()


def test_predict_labels_a_folder_of_recordings(run, corpus, tmp_path, monkeypatch, capfd):
    """No corpus is needed, and the labels are those that the same recordings get as test data."""
    main(["predict", "--ckpt_path", str(run), "--output", str(tmp_path / "test")])
    for name in ("v0", "v1"):
        target = tmp_path / "wavs" / ("deep" if name == "v1" else "") / f"{name}.wav"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((corpus / "test" / f"{name}.wav").read_bytes())
    monkeypatch.chdir(tmp_path)
    capfd.readouterr()
    alone = [
        "predict",
        "--ckpt_path",
        str(run),
        "--data.corpus.root",
        "nowhere",
        "--data.cache",
        "new",
    ]
    main([*alone, "--input", "wavs", "--output", "labels"])
    assert "labels of 2 utterances: labels" in capfd.readouterr().out
    found = {
        path.relative_to("labels").as_posix(): path.read_text()
        for path in Path("labels").rglob("*.phn")
    }
    assert found.keys() == {"v0.phn", "deep/v1.phn"}
    assert found["v0.phn"] == (tmp_path / "test" / "test" / "v0.phn").read_text()
    (tmp_path / "wavs" / "cut.wav").write_bytes((corpus / "test" / "v2.wav").read_bytes()[:5000])
    fails([*alone, "--input", "wavs"], capfd, 1, "wavs/cut.wav: ")
    fails([*alone, "--input", "none"], capfd, 1, "root must be a folder of .wav files, got none")


OWN = """
import torch
from torch import nn
import snntorch

class Frames(nn.Module):
    def __init__(self, spikes: bool = False):
        super().__init__()
        self.spikes = spikes
        self.hidden, self.out = nn.Linear(39, 16), nn.Linear(16, 51)
        self.lif = snntorch.Leaky(beta=0.9)

    def forward(self, x):
        mem, seen = self.lif.init_leaky(), []
        for current in self.hidden(x):
            spk, mem = self.lif(current, mem)
            seen.append(spk)
        seen = torch.stack(seen)
        return (self.out(seen), seen) if self.spikes else self.out(seen)
"""


@pytest.mark.parametrize("options", [[], ["--model.network.spikes=true"]])
def test_any_module_of_ones_own_labels_frames(options, corpus, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    Path("own_frames.py").write_text(OWN)
    args = arguments(corpus, "runs", "--trainer.max_epochs=2", "--pictures.enabled=false")
    main(["fit", "-c", "phones/alif_eprop", *args, "--model.network=own_frames.Frames", *options])
    out = capfd.readouterr().out
    assert ("firing rate, layer 1" in out) == bool(options)
    main(["predict", "--ckpt_path", "runs/phones/alif_eprop/version_0"])
    assert "labels of 3 utterances" in capfd.readouterr().out


def fails(args, capfd, code, message):
    with pytest.raises(SystemExit) as stop:
        main(args)
    error = capfd.readouterr().err
    assert stop.value.code == code, error
    assert error.count("snn-neuromod: error: ") == 1
    assert message in error
    assert "Traceback" not in error


def test_mistakes_give_one_message(run, corpus, tmp_path, capfd):
    missing = str(tmp_path / "no" / "where")
    fails(["predict", "--ckpt_path", str(run), "--output", missing], capfd, 2,
          "output must lie in an existing folder")  # fmt: skip
    start = ["fit", "-c", "phones/alif_eprop", *arguments(corpus, tmp_path)]
    fails([*start, "--data.corpus.root", missing], capfd, 1, "root must hold a folder train")
    network = "--model.init_args.network.init_args"
    fails([*start, f"{network}.num_classes=61"], capfd, 2, "num_classes must be 51")
    fails([*start, f"{network}.sizes=[36,10]"], capfd, 2, "the number of inputs must be 39")
    fails([*start, f"{network}.n_repeat=0"], capfd, 2, "n_repeat must be an integer >= 1")


def last(root, version=0):
    path = root / "phones" / "alif_eprop" / f"version_{version}" / "checkpoints" / "last.ckpt"
    return torch.load(path, weights_only=True)


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_an_interrupted_run_resumes_bit_by_bit(corpus, tmp_path):
    args = ["fit", "-c", "phones/alif_eprop", "--trainer.max_epochs=12", "--pictures.enabled=false",
            "--trainer.logger=false", "--model.init_args.scheduler=cosine"]  # fmt: skip
    main([*args, *arguments(corpus, tmp_path / "whole")])
    cut = tmp_path / "cut"
    checkpoint = cut / "phones/alif_eprop/version_0/checkpoints/last.ckpt"
    code, output = until_first_checkpoint(
        [*args, *arguments(corpus, cut)], checkpoint, signal.SIGINT
    )
    assert code == 130, output
    whole = last(tmp_path / "whole")
    assert 0 < last(cut)["global_step"] < whole["global_step"]
    main([*args, *arguments(corpus, cut, "--ckpt_path", "last")])
    resumed = last(cut, 1)
    assert resumed["global_step"] == whole["global_step"]
    for name, value in whole["state_dict"].items():
        assert torch.equal(value, resumed["state_dict"][name]), name


def test_a_wrong_label_file_is_named_without_a_traceback(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SNN_NEUROMOD_CACHE", str(tmp_path / "cache"))
    for split in ("train", "test"):
        for k in range(2):
            write_utterance(tmp_path / "corpus" / split, f"u{k}", 6, k)
    wrong = tmp_path / "corpus" / "train" / "u0.phn"
    wrong.write_text("0 1200 aa\n1200 2400 nothing\n")
    args = ["fit", "-c", "phones/alif_eprop", "-c", "phones/russian_small"]
    args += ["--data.corpus.root", str(tmp_path / "corpus")]
    with pytest.raises(SystemExit) as stop:
        main([*args, "--trainer.default_root_dir", str(tmp_path / "runs")])
    assert stop.value.code == 1
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.startswith(f"snn-neuromod: error: {wrong}: label 'nothing' is not in the label set")


@pytest.mark.skipif(
    importlib.util.find_spec("espeakng_loader") is None, reason="espeakng-loader is missing"
)
def test_izhikevich_neurons_stay_alive_under_bptt(tmp_path, monkeypatch):
    """Their gradient through time, too large, once made every weight NaN and every neuron silent."""
    monkeypatch.setenv("SNN_NEUROMOD_CACHE", str(tmp_path / "cache"))
    main(["fit", "-c", "phones/izhikevich_bptt", "--data.corpus.minutes=2", "--trainer.max_epochs=2",
          "--pictures.enabled=false", "--trainer.default_root_dir", str(tmp_path)])  # fmt: skip
    run = tmp_path / "phones/izhikevich_bptt/version_0"
    (test,) = [r for r in rows(run / "metrics.csv") if r["test/error"]]
    assert float(test["test/rate/1"]) > 10
