"""Two tiny runs of the command line: mSRC on digits and e-prop on made-up phones, with a checkpoint of each epoch."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import warnings
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lightning_modules.classification import SpikeClassification
from lightning_modules.cli import main
from lightning_modules.framewise import FramewiseClassification
from tests.golden.storage import save

NETWORK = "--model.init_args.network.init_args"
LABELS = ("pau", "aa", "m", "s")
COMMON = [
    "--trainer.default_root_dir=runs", "--trainer.max_epochs=2", "--pictures.enabled=false",
    "--trainer.callbacks+=ModelCheckpoint", "--trainer.callbacks.filename={epoch}",
    "--trainer.callbacks.monitor=val/loss", "--trainer.callbacks.save_top_k=-1",
]  # fmt: skip
RUNS = {
    "mnist_msrc": [
        "-c", "smoke/msrc", f"{NETWORK}.sizes=[784,8,10]", "--data.val_fraction=0.1",
        "--trainer.limit_train_batches=8", "--trainer.limit_test_batches=4", *COMMON,
    ],
    "phones_eprop": [
        "-c", "phones/alif_eprop", "-c", "phones/russian_small", "--data.corpus.root=corpus", "--data.cache=cache",
        "--data.batch_size=4", "--data.segment=50", f"{NETWORK}.sizes=[39,10]", *COMMON,
    ],
}  # fmt: skip
TASKS = {"mnist_msrc": SpikeClassification, "phones_eprop": FramewiseClassification}


def write_corpus(folder: Path) -> None:
    """Thirteen utterances in which each label is a hum of its own pitch."""
    for split, index in [*(("train", i) for i in range(10)), *(("test", i) for i in range(3))]:
        (folder / split).mkdir(parents=True, exist_ok=True)
        generator = np.random.default_rng([len(split), index])
        parts, lines, now = [], [], 0
        for k in generator.integers(len(LABELS), size=6 + index % 4):
            n = int(generator.integers(1200, 3200))
            parts.append(0.2 * k * np.sin(2 * np.pi * 400 * (k + 1) * np.arange(n) / 16_000))
            lines.append(f"{now} {now + n} {LABELS[k]}\n")
            now += n
        samples = np.concatenate(parts) + 0.01 * generator.standard_normal(now)
        (folder / split / f"u{index}.phn").write_text("".join(lines))
        with wave.open(str(folder / split / f"u{index}.wav"), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(16_000)
            file.writeframes((32767 * samples).astype("<i2").tobytes())


@contextlib.contextmanager
def scratch_folder() -> Iterator[Path]:
    """An empty working directory with the corpus, on one thread."""
    threads, before = torch.get_num_threads(), Path.cwd()
    with tempfile.TemporaryDirectory() as name:
        os.chdir(name)
        torch.set_num_threads(1)
        try:
            write_corpus(Path("corpus"))
            yield Path(name)
        finally:
            torch.set_num_threads(threads)
            os.chdir(before)


def example(name: str) -> Tensor:
    """An input of the network."""
    generator = torch.Generator().manual_seed(1)
    if name == "mnist_msrc":
        return (torch.rand(20, 2, 784, generator=generator) < 0.1).to(torch.uint8)
    return torch.randn(30, 2, 39, generator=generator)


def network_of(name: str, checkpoint: Path) -> nn.Module:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="(?s).*(Jsonargparse|instantiate_classes)")
        task = TASKS[name].load_from_checkpoint(checkpoint)
    network: nn.Module = task.network
    return network


def without_folders(found: Any, folder: str) -> Any:
    """A checkpoint without the name of the folder that it was made in."""
    if isinstance(found, dict):
        return {key: without_folders(value, folder) for key, value in found.items()}
    return found.replace(folder, ".") if isinstance(found, str) else found


def make_runs(folder: Path) -> None:
    """Run, and keep what the tests read."""
    for name, arguments in RUNS.items():
        with scratch_folder() as place:
            main(["fit", *arguments])
            (run,) = Path("runs").rglob("version_0")
            main(["predict", "--ckpt_path", str(run)])
            kept = folder / name / "checkpoints"
            kept.mkdir(parents=True, exist_ok=True)
            for path in (
                run / "config.yaml",
                *run.rglob("predictions*/*"),
                *run.glob("predictions.csv"),
            ):
                target = folder / name / path.relative_to(run)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, target)
            for file, name_kept in (("epoch=0.ckpt", "first.ckpt"), ("last.ckpt", "last.ckpt")):
                (path,) = Path("runs").rglob(file)
                found = torch.load(path, weights_only=True)
                torch.save(without_folders(found, str(place)), kept / name_kept)
        x = example(name)
        with torch.no_grad():
            outputs, spikes = network_of(name, kept / "last.ckpt").eval()(x)
        save({"x": x, "outputs": outputs, "spikes": spikes}, folder / name / "outputs.pt.gz")
