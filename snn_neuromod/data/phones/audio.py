"""Audio files: NIST SPHERE, as on the TIMIT disc, and everything that libsndfile reads.

References:
    NIST, "SPHERE: speech header resources", version 2.6: "NIST_1A", the header's length in bytes,
    then lines "name -type value" up to "end_head", then the samples.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from snn_neuromod.data.phones.riff import check_riff
from snn_neuromod.errors import DataError

__all__ = ["read_audio", "read_sphere"]

Audio = tuple[NDArray[np.float32], int]

_LIMIT = 2**28
"""Samples that a file may unpack to: 4.6 hours at 16 kHz, 1 GiB."""

_RATES = (1000, 1_000_000)


def read_audio(path: str | Path) -> Audio:
    """Read a mono recording; its content, not its suffix, tells the format.

    Args:
        path: NIST SPHERE, RIFF, FLAC or another format of libsndfile.

    Returns:
        samples: float32, shape (samples,), in [-1, 1].
        rate: Samples per second.

    Raises:
        FileNotFoundError: If there is no such file.
        DataError: If it cannot be decoded, is cut, its header makes no sense, or it has more than
            one channel, is empty or not finite.
        ImportError: If the file is not SPHERE and soundfile is not installed.
    """
    path = Path(path)
    with path.open("rb") as file:
        start = file.read(12)
    if not start:
        raise DataError("the audio file is empty; copy it again", path)
    if start.startswith(b"NIST_1A"):
        return read_sphere(path)
    if start[:4] == b"RIFF" and start[8:] == b"WAVE":
        check_riff(path)
    samples, rate = _decoded(path)
    if samples.shape[1] != 1:
        raise DataError(f"must have one channel, got {samples.shape[1]}; mix it down", path)
    if not (len(samples) and np.isfinite(samples).all()):
        raise DataError("must hold samples, all of them finite; record or copy it again", path)
    return samples[:, 0], _check_rate(path, rate)


def _decoded(path: Path) -> Audio:
    """Samples (samples, channels) and rate, by libsndfile."""
    try:
        import soundfile
    except ImportError as error:
        raise ImportError(
            "read_audio: soundfile must be installed; run pip install 'snn-neuromod[audio]'"
        ) from error
    try:
        with path.open("rb") as file, soundfile.SoundFile(file) as sound:
            number = sound.frames
            if not number * sound.channels <= _LIMIT:
                raise DataError(f"must hold at most {_LIMIT} samples, got {number} announced", path)
            samples = sound.read(number, dtype="float32", always_2d=True)
            rate = sound.samplerate
    except (soundfile.SoundFileError, TypeError, MemoryError) as error:
        why = getattr(error, "error_string", error)
        raise DataError(
            f"cannot be read as audio ({why}); it must be a NIST SPHERE or RIFF file", path
        ) from error
    if len(samples) < number:
        raise DataError(
            f"header announces {number} samples, the file holds {len(samples)}; copy it again", path
        )
    return samples, rate


def _check_rate(path: str | Path, rate: int) -> int:
    if not _RATES[0] <= rate <= _RATES[1]:
        raise DataError(
            f"must have {_RATES[0]} to {_RATES[1]} samples per second, got {rate}; copy it again",
            path,
        )
    return int(rate)


def read_sphere(path: str | Path) -> Audio:
    """Read a NIST SPHERE file of 16-bit PCM samples.

    Args:
        path: The file.

    Returns:
        samples: float32, shape (samples,), in [-1, 1).
        rate: Samples per second.

    Raises:
        DataError: If the header is damaged, the samples are compressed ("shorten") or not 16-bit
            PCM, there is more than one channel, or there are not as many samples as it says.
    """
    raw = Path(path).read_bytes()
    size, fields = _sphere_header(path, raw)
    coding = str(fields.get("sample_coding", "pcm"))
    if coding != "pcm":
        raise DataError(
            f"samples must be plain pcm, got {coding!r}. Compressed SPHERE files must be unpacked "
            "first: sph2pipe -f rif IN.WAV OUT.wav, or NIST's w_decode -o pcm",
            path,
        )
    for name, wanted in (("channel_count", 1), ("sample_n_bytes", 2)):
        if fields.get(name, wanted) != wanted:
            raise DataError(f"{name} must be {wanted}, got {fields[name]}", path)
    order = str(fields.get("sample_byte_format", "01"))
    if order not in ("01", "10"):
        raise DataError(f'sample_byte_format must be "01" or "10", got {order!r}', path)
    count, rate = fields.get("sample_count"), fields.get("sample_rate")
    if not (isinstance(count, int) and isinstance(rate, int) and count > 0):
        raise DataError("header must give sample_count and sample_rate as integers above 0", path)
    if len(raw) != size + 2 * count:
        raise DataError(
            f"header announces {count} samples, the file holds {(len(raw) - size) / 2:g}; copy it again",
            path,
        )
    samples = np.frombuffer(raw, "<i2" if order == "01" else ">i2", count=count, offset=size)
    return samples.astype(np.float32) / np.float32(32768), _check_rate(path, rate)


def _sphere_header(path: str | Path, raw: bytes) -> tuple[int, dict[str, int | str]]:
    """Length of the header in bytes and its fields; real numbers stay text."""
    damaged = DataError("the SPHERE header is damaged; copy the file again", path)
    magic, length, *_ = [*raw[:4096].split(b"\n", 2), b"", b""]
    size = _integer(length.decode("ascii", "replace"))
    # NIST's headers are multiples of 1024 bytes long; others would shift the samples by a byte.
    if magic != b"NIST_1A" or size is None or size % 1024 or not 0 < size <= len(raw):
        raise damaged
    lines = [line.strip() for line in raw[:size].decode("ascii", "replace").split("\n")[2:]]
    if "end_head" not in lines:
        raise damaged
    fields: dict[str, int | str] = {}
    for line in lines[: lines.index("end_head")]:
        name, kind, value = [*line.split(None, 2), "", "", ""][:3]
        number = _integer(value)
        if kind == "-i" and number is None:
            raise damaged
        fields[name] = value.strip() if number is None or kind != "-i" else number
    return size, fields


def _integer(text: str) -> int | None:
    """An integer of as many digits as one of a header can have; None if it is none."""
    text = text.strip()
    digits = text.removeprefix("-")
    return int(text) if digits.isascii() and digits.isdecimal() and len(digits) <= 18 else None
