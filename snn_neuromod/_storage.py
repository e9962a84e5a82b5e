"""Files that are there whole or not at all."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO

from snn_neuromod.errors import StorageError

__all__ = ["append_bytes", "write_atomically", "write_text_atomically"]

_SHOWN = 60
"""Letters of a file's name in that of the one beside it, which must not be too long where the file's own is not."""


def write_atomically(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Write a file so that its name never stands for half of it, whatever happens to the process or the machine.

    It is written beside its target, so on the same file system, brought to the disk and renamed: until then the file
    that was there stays. A link stays one, and its target is the file; into a device or a pipe it is written as it is.

    Args:
        path: The file; its folder is made if missing.
        write: Writes the content into an open binary file.

    Raises:
        StorageError: If it cannot be written, for instance because the disk is full; what was there is there still.
    """
    name = None
    try:
        path = Path(os.path.realpath(path)) if path.is_symlink() else path
        if path.is_symlink():  # still: it leads to itself
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        if path.exists() and not (path.is_file() or path.is_dir()):
            with path.open("wb") as device:
                write(device)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:_SHOWN]}.")
        with os.fdopen(descriptor, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o666 & ~_umask())
        os.replace(name, path)
        _sync_folder(path.parent)
    except OSError as error:
        kept = (
            "the file that was there is whole" if os.path.isfile(path) else "nothing is there yet"
        )
        _discard(name)
        raise StorageError(
            f"{path}: cannot be written ({error.strerror or error}); {kept}"
        ) from error
    except BaseException:
        _discard(name)
        raise


def write_text_atomically(path: Path, text: str) -> None:
    """Write a text file in UTF-8, its line ends as they are, as `write_atomically` does."""
    write_atomically(path, lambda file: file.write(text.encode()))


def append_bytes(path: Path, content: bytes) -> None:
    """Write all of something behind the end of a file, or nothing of it.

    Raises:
        StorageError: If it cannot be written; the file is as it was.
    """
    try:
        before = path.stat().st_size
        try:
            with path.open("ab") as file:
                file.write(content)
        except OSError:
            os.truncate(path, before)
            raise
    except OSError as error:
        raise StorageError(
            f"{path}: cannot be written ({error.strerror or error}); what was there is whole"
        ) from error


def _umask() -> int:
    """The bits that a new file does not get; it can only be read by setting it."""
    now = os.umask(0o077)
    os.umask(now)
    return now


def _discard(name: str | None) -> None:
    if name is not None:
        Path(name).unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Bring a folder's own entries to the disk, where the system can."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:  # Windows
        return
    try:
        os.fsync(descriptor)
    except OSError:  # some network file systems
        pass
    finally:
        os.close(descriptor)
