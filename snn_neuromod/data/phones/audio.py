"""Audio files: NIST SPHERE, as on the TIMIT disc, and everything that libsndfile reads.

References:
    NIST, "SPHERE: speech header resources", version 2.6: "NIST_1A", the header's length in bytes,
    then lines "name -type value" up to "end_head", then the samples.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

__all__ = ["read_audio", "read_sphere"]

Audio = tuple[NDArray[np.float32], int]


def read_audio(path: str | Path) -> Audio:
    """Read a mono recording; its content, not its suffix, tells the format.

    Args:
        path: NIST SPHERE, RIFF, FLAC or another format of libsndfile.

    Returns:
        samples: float32, shape (samples,), in [-1, 1].
        rate: Samples per second.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it cannot be decoded, has more than one channel, is empty or not finite.
        ImportError: If the file is not SPHERE and soundfile is not installed.
    """
    path = Path(path)
    with path.open("rb") as file:
        start = file.read(7)
    if not start:
        raise ValueError(f"{path}: the audio file is empty; copy it again")
    if start == b"NIST_1A":
        return read_sphere(path)
    try:
        import soundfile
    except ImportError as error:
        raise ImportError(
            "read_audio: soundfile must be installed; run pip install 'snn-neuromod[audio]'"
        ) from error
    try:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise ValueError(
            f"{path}: cannot be read as audio ({error}); it must be a NIST SPHERE or RIFF file"
        ) from error
    if samples.shape[1] != 1:
        raise ValueError(f"{path}: must have one channel, got {samples.shape[1]}; mix it down")
    if not (len(samples) and np.isfinite(samples).all()):
        raise ValueError(f"{path}: must hold samples, all of them finite; record or copy it again")
    return samples[:, 0], int(rate)


def read_sphere(path: str | Path) -> Audio:
    """Read a NIST SPHERE file of 16-bit PCM samples.

    Args:
        path: The file.

    Returns:
        samples: float32, shape (samples,), in [-1, 1).
        rate: Samples per second.

    Raises:
        ValueError: If the header is damaged, the samples are compressed ("shorten") or not 16-bit
            PCM, there is more than one channel, or samples are missing.
    """
    raw = Path(path).read_bytes()
    size, fields = _sphere_header(path, raw)
    coding = str(fields.get("sample_coding", "pcm"))
    if coding != "pcm":
        raise ValueError(
            f"{path}: samples must be plain pcm, got {coding!r}. Compressed SPHERE files "
            "must be unpacked first: sph2pipe -f rif IN.WAV OUT.wav, or NIST's w_decode -o pcm"
        )
    for name, wanted in (("channel_count", 1), ("sample_n_bytes", 2)):
        if fields.get(name, wanted) != wanted:
            raise ValueError(f"{path}: {name} must be {wanted}, got {fields[name]}")
    order = str(fields.get("sample_byte_format", "01"))
    if order not in ("01", "10"):
        raise ValueError(f'{path}: sample_byte_format must be "01" or "10", got {order!r}')
    count, rate = fields.get("sample_count"), fields.get("sample_rate")
    if not (isinstance(count, int) and isinstance(rate, int) and count >= 0 and rate > 0):
        raise ValueError(f"{path}: header must give sample_count and sample_rate as integers")
    if len(raw) < size + 2 * count:
        raise ValueError(
            f"{path}: header announces {count} samples, the file holds {(len(raw) - size) // 2}; "
            "copy it again"
        )
    samples = np.frombuffer(raw, "<i2" if order == "01" else ">i2", count=count, offset=size)
    return samples.astype(np.float32) / np.float32(32768), rate


def _sphere_header(path: str | Path, raw: bytes) -> tuple[int, dict[str, int | str]]:
    """Length of the header in bytes and its fields; real numbers stay text."""
    damaged = ValueError(f"{path}: the SPHERE header is damaged; copy the file again")
    try:
        magic, length, _ = raw[:4096].split(b"\n", 2)
        size = int(length)
    except ValueError:
        raise damaged from None
    lines = raw[:size].decode("ascii", "replace").split("\n")[2:]
    if magic != b"NIST_1A" or "end_head" not in (line.strip() for line in lines):
        raise damaged
    fields: dict[str, int | str] = {}
    for line in lines[: [line.strip() for line in lines].index("end_head")]:
        name, kind, value = [*line.split(None, 2), "", "", ""][:3]
        if kind == "-i" and not value.strip().lstrip("-").isdecimal():
            raise damaged
        fields[name] = int(value) if kind == "-i" else value.strip()
    return size, fields
