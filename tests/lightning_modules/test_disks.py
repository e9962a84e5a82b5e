"""Disks that are full or read-only, as the system itself says it: mounted for the test, where it may."""

from __future__ import annotations

import importlib.util
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

if importlib.util.find_spec("pytorch_lightning") is None:
    pytest.skip("pytorch_lightning is not installed", allow_module_level=True)

from lightning_modules.checkpoints import DurableCheckpoints, read_checkpoint
from lightning_modules.cli import main
from lightning_modules.run_folder import MetricsLogger, claim_version
from snn_neuromod.errors import StorageError

Mount = Callable[..., Path]


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Mount]:
    """A small file system of memory, or with "ro" the same again so that nothing can be written."""
    place = tmp_path / "disk"
    place.mkdir()

    def mounted(options: str) -> Path:
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)]
        try:
            found = subprocess.run(command, capture_output=True, text=True, check=False)
        except OSError as error:
            pytest.skip(f"a file system cannot be mounted here: {error}")
        if found.returncode:
            pytest.skip(f"a file system cannot be mounted here: {found.stderr.strip()}")
        return place

    yield mounted
    subprocess.run(["umount", str(place)], capture_output=True, check=False)


def checkpoint(number: int, value: float) -> dict:
    return {
        "pytorch-lightning_version": "2.6.6",
        "state_dict": {"weight": torch.full((number,), value)},
    }


def test_a_full_disk_keeps_the_checkpoint_before(mount: Mount) -> None:
    path = mount("size=64k") / "run" / "last.ckpt"
    DurableCheckpoints().save_checkpoint(checkpoint(8_000, 1.0), path)
    with pytest.raises(StorageError, match=r"last\.ckpt: .*No space left.*that was there is whole"):
        DurableCheckpoints().save_checkpoint(checkpoint(8_000, 2.0), path)
    assert read_checkpoint(path)["state_dict"]["weight"].eq(1).all()
    assert list(path.parent.iterdir()) == [path]  # and no part of the other
    DurableCheckpoints().save_checkpoint(checkpoint(100, 3.0), path)


def test_a_full_disk_keeps_the_lines_before(mount: Mount) -> None:
    disk = mount("size=16k")
    logger = MetricsLogger(disk, name="a", version="version_0")

    def fill() -> None:
        for step in range(10_000):
            logger.log_metrics({"loss": step / 3}, step=step)
            logger.save()

    with pytest.raises(StorageError, match=r"metrics\.csv: cannot be written \(No space left"):
        fill()
    text = (disk / "a" / "version_0" / "metrics.csv").read_text()
    assert text.endswith("\n")
    assert all(line.count(",") == 1 and line[-1] != "," for line in text.splitlines())


def test_a_disk_that_is_read_only(
    mount: Mount, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    disk = mount("size=64k,ro")
    with pytest.raises(StorageError, match="version_0: cannot be made"):
        claim_version(disk / "a")
    with pytest.raises(StorageError, match=r"last\.ckpt: cannot be written \(Read-only"):
        DurableCheckpoints().save_checkpoint(checkpoint(1, 1.0), disk / "last.ckpt")
    monkeypatch.chdir(disk)
    pytest.importorskip("mlxtend")
    with pytest.raises(SystemExit) as stop:
        main(["fit", "-c", "smoke/msrc"])
    assert stop.value.code == 1
    error = capfd.readouterr().err
    assert error.endswith("runs/smoke/msrc/version_0: cannot be made (Read-only file system)\n")
    assert error.count("\n") == 1
