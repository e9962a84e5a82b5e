"""The header of a NIST SPHERE file, as on the TIMIT disc: how its samples are to be read.

References:
    NIST, "SPHERE: speech header resources", version 2.6: "NIST_1A", the header's length in bytes,
    then lines "name -type value" up to "end_head", then the samples.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO, NamedTuple

from snn_neuromod.errors import DataError

__all__ = ["SphereForm", "sphere_form"]

_SUBTYPES = {"pcm": ("PCM_16", 2), "ulaw": ("ULAW", 1), "alaw": ("ALAW", 1)}
_ENDIANS = {"01": "LITTLE", "10": "BIG"}


class SphereForm(NamedTuple):
    """The form of the samples behind a header, in libsndfile's words.

    Attributes:
        samplerate: Samples per second.
        subtype: "PCM_16", "ULAW" or "ALAW".
        endian: "LITTLE" or "BIG".
        channels: 1.
        format: "RAW".
    """

    samplerate: int
    subtype: str
    endian: str
    channels: int = 1
    format: str = "RAW"


def sphere_form(path: str | Path, file: BinaryIO) -> SphereForm:
    """Check the header of a SPHERE file, and the length of the file against it.

    Args:
        path: Where it lies, for messages.
        file: Opened; is left where the samples begin.

    Returns:
        How the rest of the file is to be read.

    Raises:
        DataError: If the header is damaged, the samples are compressed ("shorten") or in another
            coding than 16-bit PCM, u-law or A-law, there is more than one channel, or there are not
            as many samples as it says.
    """
    held, fields = _header(path, file)
    coding = str(fields.get("sample_coding", "pcm"))
    if coding not in _SUBTYPES:
        raise DataError(
            f"samples must be plain pcm, ulaw or alaw, got {coding!r}. Compressed SPHERE files must "
            "be unpacked first: sph2pipe -f rif IN.WAV OUT.wav, or NIST's w_decode -o pcm",
            path,
        )
    subtype, width = _SUBTYPES[coding]
    for name, wanted in (("channel_count", 1), ("sample_n_bytes", width)):
        if fields.get(name, wanted) != wanted:
            raise DataError(f"{name} must be {wanted}, got {fields[name]}", path)
    order = str(fields.get("sample_byte_format", "01"))
    if width == 2 and order not in _ENDIANS:
        raise DataError(f'sample_byte_format must be "01" or "10", got {order!r}', path)
    count, rate = fields.get("sample_count"), fields.get("sample_rate")
    if not (isinstance(count, int) and isinstance(rate, int) and count > 0):
        raise DataError("header must give sample_count and sample_rate as integers above 0", path)
    if held != width * count:
        raise DataError(
            f"header announces {count} samples, the file holds {held / width:g}; copy it again",
            path,
        )
    return SphereForm(rate, subtype, _ENDIANS.get(order, "LITTLE"))


def _header(path: str | Path, file: BinaryIO) -> tuple[int, dict[str, int | str]]:
    """Bytes behind the header, and its fields; real numbers stay text."""
    damaged = DataError("the SPHERE header is damaged; copy the file again", path)
    end = os.fstat(file.fileno()).st_size
    file.seek(0)
    magic, size = file.readline(64), _integer(file.readline(64).decode("ascii", "replace"))
    # NIST's headers are multiples of 1024 bytes long; others would shift the samples by a byte.
    if magic != b"NIST_1A\n" or size is None or size % 1024 or not 0 < size <= end:
        raise damaged
    rest = file.read(size - file.tell()).decode("ascii", "replace")
    lines = [line.strip() for line in rest.split("\n")]
    if "end_head" not in lines:
        raise damaged
    fields: dict[str, int | str] = {}
    for line in lines[: lines.index("end_head")]:
        name, kind, value = [*line.split(None, 2), "", "", ""][:3]
        number = _integer(value)
        if kind == "-i" and number is None:
            raise damaged
        fields[name] = value.strip() if number is None or kind != "-i" else number
    return end - size, fields


def _integer(text: str) -> int | None:
    """An integer of as many digits as one of a header can have; None if it is none."""
    text = text.strip()
    digits = text.removeprefix("-")
    return int(text) if digits.isascii() and digits.isdecimal() and len(digits) <= 18 else None
