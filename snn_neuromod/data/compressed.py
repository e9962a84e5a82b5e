"""Files that may be gzipped, read up to a limit: a small file can unpack to any size."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

from snn_neuromod.data.naming import naming
from snn_neuromod.errors import DataError

__all__ = ["read_gzipped"]

_MAGIC = b"\x1f\x8b"


def read_gzipped(path: str | Path, limit: int) -> bytes:
    """Content of a file, unpacked if it is gzipped, which its first bytes tell and not its name.

    Args:
        path: The file.
        limit: Bytes that are unpacked at most.

    Returns:
        All of it, or its first `limit` + 1 bytes where it is longer.

    Raises:
        OSError: If the file cannot be read.
        DataError: If the compressed data are cut or corrupt.
    """
    with naming(path), Path(path).open("rb") as file:
        packed = file.read(len(_MAGIC)) == _MAGIC
        file.seek(0)
        if not packed:
            return file.read(limit + 1)
        try:
            with gzip.GzipFile(fileobj=file) as unpacked:
                return unpacked.read(limit + 1)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise DataError(
                f"the gzip file is cut or corrupt ({error}); copy it again", path
            ) from None
