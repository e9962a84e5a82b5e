"""The cache folder, and files that are there whole or not at all."""

import os
from pathlib import Path

import pytest

from snn_neuromod.data.cache import cache_folder, write_atomically


def test_the_variable_names_the_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("SNN_NEUROMOD_CACHE", str(tmp_path / "here"))
    assert cache_folder("features", "a") == tmp_path / "here" / "features" / "a"
    assert not (tmp_path / "here").exists()


def test_default_folder(monkeypatch, tmp_path):
    monkeypatch.delenv("SNN_NEUROMOD_CACHE", raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "snn_neuromod"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder("x") == Path.home() / ".cache" / "snn_neuromod" / "x"
    monkeypatch.setattr("sys.platform", "darwin")
    assert cache_folder() == Path.home() / "Library" / "Caches" / "snn_neuromod"


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "new" / "file"
    write_atomically(path, lambda file: file.write(b"old"))

    def fail(file):
        file.write(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, fail)
    assert path.read_bytes() == b"old"
    assert list(path.parent.iterdir()) == [path]


def test_a_link_and_a_pipe_stay_what_they_are(tmp_path):
    """What is renamed over them would take their place, that of /dev/null too."""
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere" / "file")
    write_atomically(tmp_path / "link", lambda file: file.write(b"new"))
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "elsewhere" / "file").read_bytes() == b"new"
    os.mkfifo(tmp_path / "pipe")
    reading = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    write_atomically(tmp_path / "pipe", lambda file: file.write(b"new"))
    assert os.read(reading, 9) == b"new"
    os.close(reading)
    assert (tmp_path / "pipe").is_fifo()
