"""The cache folder, and files that are there whole or not at all."""

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
