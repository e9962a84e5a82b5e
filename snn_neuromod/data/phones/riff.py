"""Whether the header of a RIFF WAVE file makes sense; libsndfile reads what is left of a cut file without a word.

References:
    IBM and Microsoft, "Multimedia programming interface and data specifications 1.0" (1991).
"""

from __future__ import annotations

import os
import struct
from pathlib import Path

from snn_neuromod.data.naming import naming
from snn_neuromod.errors import DataError

__all__ = ["check_riff"]

_PLAIN = (1, 3, 0xFFFE)  # integers, floats, and either of them in the extensible form
_STREAMED = 0x7FFFFFF0  # programs that write into a pipe announce as much as a header can


def check_riff(path: str | Path) -> None:
    """Check the chunks of a RIFF WAVE file.

    Args:
        path: The file, which begins with "RIFF", four bytes and "WAVE".

    Raises:
        OSError: If it cannot be read.
        DataError: If there is no format or no data, the format contradicts itself, or the data are shorter than
            announced.
    """
    with naming(path), Path(path).open("rb") as file:
        end = os.fstat(file.fileno()).st_size
        file.seek(12)
        block = 0
        while len(head := file.read(8)) == 8:
            name, size = head[:4], int.from_bytes(head[4:], "little")
            if name == b"fmt ":
                block = _block(path, file.read(min(size, 40)), size)
                file.seek(max(0, size - 40), os.SEEK_CUR)
            elif name == b"data":
                _check_data(path, size, end - file.tell(), block)
                return
            else:
                file.seek(size, os.SEEK_CUR)
            file.seek(size % 2, os.SEEK_CUR)
    raise DataError(
        "the RIFF header is damaged, there are no samples in it; copy the file again", path
    )


def _block(path: str | Path, content: bytes, size: int) -> int:
    """Bytes of a sample of all channels, 0 where the format is none of the plain ones."""
    if size < 16 or len(content) < 16:
        raise DataError("the RIFF header is damaged, its format is cut; copy the file again", path)
    numbers: tuple[int, ...] = struct.unpack("<HHIIHH", content[:16])
    kind, channels, rate, speed, block, bits = numbers
    if kind not in _PLAIN:
        return 0
    if not channels or block != channels * ((bits + 7) // 8) or speed != rate * block:
        raise DataError(
            f"the RIFF header contradicts itself: {channels} channels of {bits} bits at {rate} samples per second are "
            f"not {block} bytes a sample and {speed} a second; copy the file again, or write it anew",
            path,
        )
    return block


def _check_data(path: str | Path, size: int, held: int, block: int) -> None:
    if size >= _STREAMED:
        return
    if size > held:
        raise DataError(
            f"header announces {size} bytes of samples, the file holds {held}; copy it again", path
        )
    if block and size % block:
        raise DataError(
            f"samples must be of {block} bytes each, got {size} bytes; copy it again", path
        )
