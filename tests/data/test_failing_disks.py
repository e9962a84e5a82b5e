"""Files that a disk does not give: told from damaged ones, by name, and never taken for shorter ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from snn_neuromod.data.compressed import read_gzipped
from snn_neuromod.data.images import read_idx
from snn_neuromod.data.naming import naming
from snn_neuromod.data.phones import TimitFolder
from snn_neuromod.data.phones.audio import read_audio
from snn_neuromod.data.phones.riff import check_riff
from snn_neuromod.data.pictures import read_pictures
from snn_neuromod.data.recording import read_recording
from snn_neuromod.data.text import numbered_lines
from tests.data.phones.recordings import write_utterance

MEMORY = Path("/proc/self/mem")
"""The process's own memory, a file of which the first byte cannot be read."""
READERS: dict[str, Callable[[Path], object]] = {
    "recording": lambda path: read_recording(path, (34, 34, 2)),
    "gzipped": lambda path: read_gzipped(path, 10),
    "idx": read_idx,
    "audio": read_audio,
    "riff": check_riff,
    "lines": numbered_lines,
    "pictures": lambda path: read_pictures(path.parent),
}


@pytest.mark.skipif(not MEMORY.is_file(), reason="there is no file here that cannot be read")
@pytest.mark.parametrize("name", READERS)
def test_what_the_disk_does_not_give_is_named_and_not_called_damaged(name, tmp_path) -> None:
    path = tmp_path / "a.png"
    path.symlink_to(MEMORY)
    with pytest.raises(OSError, match="Input/output error") as error:
        READERS[name](path)
    assert error.value.filename == str(path)


def test_the_system_names_a_file_itself_where_it_opens_it(tmp_path) -> None:
    with pytest.raises(FileNotFoundError) as error, naming("another"):
        (tmp_path / "a").read_bytes()
    assert error.value.filename == str(tmp_path / "a")


def test_a_recording_that_leads_to_itself_is_one_that_is_missing(tmp_path) -> None:
    for split, name in (("train", "a"), ("train", "b"), ("test", "c")):
        (tmp_path / split).mkdir(exist_ok=True)
        write_utterance(tmp_path / split, name)
    path = tmp_path / "train" / "b.wav"
    path.unlink()
    path.symlink_to("b.wav")
    corpus = TimitFolder(tmp_path)
    assert "train/b" in corpus.names("train")
    with pytest.raises(OSError, match="symbolic links") as error:
        corpus.read("train/b")
    assert error.value.filename == str(path)


def test_a_picture_behind_a_broken_link_is_not_left_out(tmp_path) -> None:
    (tmp_path / "a.png").symlink_to(tmp_path / "gone.png")
    with pytest.raises(FileNotFoundError) as error:
        read_pictures(tmp_path)
    assert error.value.filename == str(tmp_path / "a.png")
