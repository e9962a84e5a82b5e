"""A folder of audio without labels."""

import pytest

from snn_neuromod.data.phones import Recordings
from snn_neuromod.errors import DataError
from tests.data.phones.recordings import write_riff


def names(root):
    return Recordings(root, labels=("h#",), silence="h#").names()


def test_linked_folders_are_read_once(tmp_path):
    root = tmp_path / "root"
    write_riff(root / "a.WAV")
    write_riff(tmp_path / "other" / "b.wav")
    write_riff(root / ".hidden" / "c.wav")
    for name, target in {"one": tmp_path / "other", "two": tmp_path / "other", "up": root}.items():
        (root / name).symlink_to(target, target_is_directory=True)
    assert names(root) == ["a", "one/b"]
    (tmp_path / "link").symlink_to(root)
    assert names(tmp_path / "link") == ["a", "one/b"]


def test_two_recordings_of_one_name(tmp_path):
    write_riff(tmp_path / "a.wav")
    (tmp_path / "a.WAV").write_bytes((tmp_path / "a.wav").read_bytes())
    if len(list(tmp_path.iterdir())) == 1:
        pytest.skip("this file system takes both for the same name")
    with pytest.raises(DataError, match=r"a\.wav: must have another name than a\.WAV"):
        names(tmp_path)
