"""Checkpoints and folders of runs: whole after any end, one folder a run, none for a run that did not start."""

from __future__ import annotations

import errno
import importlib.metadata
import importlib.util
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

if importlib.util.find_spec("pytorch_lightning") is None:
    pytest.skip("pytorch_lightning is not installed", allow_module_level=True)

from lightning_modules.checkpoints import DurableCheckpoints, read_checkpoint
from lightning_modules.cli_messages import readable
from lightning_modules.run_folder import (
    MetricsLogger,
    RunFolder,
    claim_version,
    next_version,
    record,
    without_unserialisable,
)
from snn_neuromod._storage import write_text_atomically
from snn_neuromod.errors import DataError, StorageError


def checkpoint(value: float) -> dict:
    return {
        "pytorch-lightning_version": "2.6.6",
        "state_dict": {"weight": torch.full((100,), value)},
    }


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "checkpoints" / "last.ckpt"
    DurableCheckpoints().save_checkpoint(checkpoint(1.0), path)
    return path


def test_the_earlier_one_stays_until_the_next_is_complete(saved, monkeypatch) -> None:
    """At every call to the system on the way the file is a whole checkpoint, and nothing is written elsewhere."""
    seen = []

    def look(name, call):
        def looked(*args, **kwargs):
            seen.append((name, float(read_checkpoint(saved)["state_dict"]["weight"][0])))
            return call(*args, **kwargs)

        return looked

    for name in ("fsync", "replace"):
        monkeypatch.setattr(os, name, look(name, getattr(os, name)))
    monkeypatch.setenv("TMPDIR", str(saved.parents[1] / "there_is_no_such_folder"))
    DurableCheckpoints().save_checkpoint(checkpoint(2.0), saved)
    assert seen == [("fsync", 1.0), ("replace", 1.0), ("fsync", 2.0)]  # the file, then its folder
    assert sorted(saved.parent.iterdir()) == [saved]
    (saved.parent / "plain").touch()
    assert saved.stat().st_mode == (saved.parent / "plain").stat().st_mode  # others may read it


def full(descriptor):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EIO])
def test_a_disk_that_takes_no_more(saved, monkeypatch, code) -> None:
    def failing(descriptor):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", failing)
    with pytest.raises(StorageError, match=rf"last\.ckpt: cannot be written \({os.strerror(code)}"):
        DurableCheckpoints().save_checkpoint(checkpoint(2.0), saved)
    with pytest.raises(StorageError, match="nothing is there yet"):
        DurableCheckpoints().save_checkpoint(checkpoint(2.0), saved.with_name("new.ckpt"))
    assert read_checkpoint(saved)["state_dict"]["weight"][0] == 1
    assert sorted(saved.parent.iterdir()) == [saved]


def damaged(path: Path, kind: str) -> None:
    whole = path.read_bytes()
    if kind == "foreign":
        torch.save([1, 2], path)
    elif kind == "without weights":
        torch.save({"epoch": 1}, path)
    elif kind == "with code":
        torch.save({**checkpoint(1.0), "hook": print}, path)
    elif kind == "named by a number":
        torch.save({**checkpoint(1.0), "state_dict": {1: torch.ones(3)}}, path)
    elif kind == "with a flipped bit":
        place = whole.index(torch.ones(8).numpy().tobytes()) + 2
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 64]) + whole[place + 1 :])
    else:
        path.write_bytes({"cut": whole[: len(whole) // 2], "empty": b"", "text": b"no"}[kind])


@pytest.mark.parametrize(
    "kind",
    [
        "cut", "empty", "text", "foreign", "without weights", "with code", "named by a number",
        "with a flipped bit",
    ],
)  # fmt: skip
def test_what_is_no_checkpoint_is_named(saved, kind) -> None:
    damaged(saved, kind)
    with pytest.raises(DataError, match=r"last\.ckpt: (the checkpoint cannot|must be a)") as found:
        read_checkpoint(saved)
    assert found.value.path == saved


def test_what_the_disk_does_not_give_is_not_called_damaged(saved) -> None:
    """The system's own memory, a file of which the first byte cannot be read."""
    memory = Path("/proc/self/mem")
    if not memory.is_file():
        pytest.skip("there is no file here that cannot be read")
    saved.unlink()
    saved.symlink_to(memory)
    for load in (read_checkpoint, DurableCheckpoints().load_checkpoint):
        with pytest.raises(
            OSError, match=r"last\.ckpt: cannot be read \(Input/output error"
        ) as error:
            load(saved)
        assert not isinstance(error.value, DataError)
        assert readable(error.value).endswith(
            "last.ckpt: cannot be read (Input/output error), so that it may be whole"
        )
    with saved.open("rb") as file, pytest.raises(OSError, match=r"cannot be read \(Input/output"):
        read_checkpoint(file)


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory")]
)
def test_too_little_memory_is_not_called_damage(saved, error, monkeypatch) -> None:
    def fail(*args, **kwargs):
        raise error

    monkeypatch.setattr(torch, "load", fail)
    with pytest.raises(type(error)) as found:
        read_checkpoint(saved)
    assert found.value is error


def test_an_open_file_is_read_from_its_beginning(saved) -> None:
    with saved.open("rb") as file:
        file.seek(9)
        found = read_checkpoint(file)
    assert torch.equal(found["state_dict"]["weight"], torch.ones(100))


def test_runs_that_start_at_the_same_moment_get_folders_of_their_own(tmp_path) -> None:
    with ThreadPoolExecutor(16) as pool:
        folders = list(pool.map(lambda _: claim_version(tmp_path / "a" / "b"), range(64)))
    assert len(set(folders)) == 64
    assert next_version(tmp_path / "a" / "b").name == "version_64"
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="must be a folder"):
        claim_version(tmp_path / "file")


def test_a_place_where_no_folder_can_be(tmp_path, monkeypatch) -> None:
    """Below /proc the system says that there is no such folder, however often one tries to make it."""

    def nowhere(*args, **kwargs):
        raise FileNotFoundError

    monkeypatch.setattr(Path, "mkdir", nowhere)
    with pytest.raises(StorageError, match="version_0: cannot be made"):
        claim_version(tmp_path / "x")


def test_only_a_run_that_has_started_keeps_its_folder(tmp_path) -> None:
    root = tmp_path / "runs"
    kept, other = (claim_version(root / "smoke" / "msrc") for _ in range(2))
    folder = RunFolder(other, root)
    folder.take_back()
    assert kept.is_dir()
    assert not other.exists()
    folder = RunFolder(kept, root)
    folder.on_train_batch_end()
    folder.take_back()
    assert kept.is_dir()
    RunFolder(kept, root).take_back()
    assert not root.exists()
    assert tmp_path.is_dir()


def test_metrics_are_whole_lines_with_single_neurons_last(tmp_path) -> None:
    logger = MetricsLogger(tmp_path, name="a", version="version_0")
    logger.log_metrics({"modulation/1/0": 1.0, "epoch": 0.0}, step=0)
    logger.save()
    logger.log_metrics({"train/accuracy": 0.5, "epoch": 0.0}, step=1)
    logger.save()
    logger.log_metrics({"train/accuracy": 0.75, "epoch": 1.0}, step=2)
    logger.save()
    path = tmp_path / "a" / "version_0" / "metrics.csv"
    assert path.read_text().splitlines() == [
        "epoch,step,train/accuracy,modulation/1/0", "0.0,0,,1.0", "0.0,1,0.5,", "1.0,2,0.75,",
    ]  # fmt: skip


def test_a_header_that_found_no_place_is_written_with_what_comes_next(
    tmp_path, monkeypatch
) -> None:
    logger = MetricsLogger(tmp_path, name="a", version="version_0")
    logger.log_metrics({"train/loss": 0.5}, step=0)
    logger.save()
    logger.log_metrics({"test/loss": 0.25, "train/loss": 1.0}, step=1)
    with monkeypatch.context() as disk:
        disk.setattr(os, "fsync", full)
        with pytest.raises(StorageError, match=r"metrics\.csv: cannot be written \(No space"):
            logger.save()
    logger.save()  # as Lightning does when a run has failed
    path = tmp_path / "a" / "version_0" / "metrics.csv"
    assert path.read_text().splitlines() == ["step,test/loss,train/loss", "0,,0.5", "1,0.25,1.0"]


@pytest.mark.parametrize("name", ["n" * 255, "\N{GREEK SMALL LETTER PSI}" * 127])
def test_the_longest_names_of_files(name, tmp_path) -> None:
    write_text_atomically(tmp_path / name, "a")
    assert (tmp_path / name).read_text() == "a"
    with pytest.raises(StorageError, match="File name too long"):
        write_text_atomically(tmp_path / f"{name}12", "a")


def test_a_link_that_leads_to_itself_is_no_place_for_a_file(tmp_path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(StorageError, match=r"loop: cannot be written \(Too many levels"):
        write_text_atomically(tmp_path / "loop", "a")
    assert (tmp_path / "loop").is_symlink()


def test_the_record_of_a_run() -> None:
    found = record()
    assert found["versions"]["torch"] == importlib.metadata.version("torch")
    assert found["python"].startswith("3.")
    value = {"a": [{"device": "Unable to serialize instance cpu", "b": 1}], "c": None}
    assert without_unserialisable(value) == {"a": [{"b": 1}], "c": None}
