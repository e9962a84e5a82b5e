"""Lines of small text files that come with recordings, as people's editors and systems leave them."""

from __future__ import annotations

from pathlib import Path

from snn_neuromod.data.naming import naming
from snn_neuromod.errors import DataError

__all__ = ["numbered_lines"]

_LIMIT = 64 * 2**20  # bytes; a list of a million recordings takes a quarter of it


def numbered_lines(path: str | Path) -> list[tuple[int, str]]:
    """Lines with their numbers from 1, stripped, without empty ones and without a byte order mark.

    Args:
        path: A text file in UTF-8, with any ends of lines.

    Raises:
        OSError: If the file cannot be read.
        DataError: If it is no text in UTF-8, or longer than any such file.
    """
    path = Path(path)
    if (size := path.stat().st_size) > _LIMIT:
        raise DataError(f"must be a text file of at most {_LIMIT} bytes, got {size}", path)
    try:
        with naming(path):
            text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"must be text in UTF-8, got {error.reason} at byte {error.start}", path
        ) from None
    lines = enumerate(text.splitlines(), start=1)
    return [(number, stripped) for number, line in lines if (stripped := line.strip())]
