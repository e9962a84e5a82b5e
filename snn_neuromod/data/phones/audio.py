"""Audio files: NIST SPHERE, as on the TIMIT disc, and everything that libsndfile reads."""

from __future__ import annotations

import io
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from snn_neuromod.data.naming import naming
from snn_neuromod.data.phones.riff import check_riff
from snn_neuromod.data.phones.sphere import SphereForm, sphere_form
from snn_neuromod.errors import DataError

__all__ = ["read_audio"]

_LIMIT = 2**28
"""Samples that a file may unpack to: 4.6 hours at 16 kHz, 1 GiB."""

_RATES = (1000, 1_000_000)


def read_audio(path: str | Path) -> tuple[NDArray[np.float32], int]:
    """Read a mono recording; its content, not its suffix, tells the format.

    libsndfile decodes the samples, those of a SPHERE file by what `sphere_form` finds in its header.

    Args:
        path: NIST SPHERE, RIFF, FLAC or another format of libsndfile.

    Returns:
        samples: float32, shape (samples,), in [-1, 1].
        rate: Samples per second.

    Raises:
        FileNotFoundError: If there is no such file.
        DataError: If it cannot be decoded, is cut, its header makes no sense, or it has more than
            one channel, is empty or not finite.
        ImportError: If soundfile is not installed.
    """
    path = Path(path)
    with naming(path), path.open("rb") as file:
        start = file.read(12)
        file.seek(0)
        if not start:
            raise DataError("the audio file is empty; copy it again", path)
        if start.startswith(b"NIST_1A"):
            form = sphere_form(path, file)
            _check_rate(path, form.samplerate)
            samples, rate = _decoded(path, io.BytesIO(file.read()), form)
        else:
            if start[:4] == b"RIFF" and start[8:] == b"WAVE":
                check_riff(path)
            # Read here: libsndfile would take what a failing disk gives for all there is.
            samples, rate = _decoded(path, io.BytesIO(file.read()))
    if samples.shape[1] != 1:
        raise DataError(f"must have one channel, got {samples.shape[1]}; mix it down", path)
    if not (len(samples) and np.isfinite(samples).all()):
        raise DataError("must hold samples, all of them finite; record or copy it again", path)
    _check_rate(path, rate)
    return samples[:, 0], rate


def _decoded(
    path: Path, file: BinaryIO, form: SphereForm | None = None
) -> tuple[NDArray[np.float32], int]:
    """Samples (samples, channels) and rate, by libsndfile; `form` tells what has no header."""
    try:
        import soundfile
    except ImportError as error:
        raise ImportError(
            "read_audio: soundfile must be installed; run pip install 'snn-neuromod[audio]'"
        ) from error
    try:
        with soundfile.SoundFile(file, **(form._asdict() if form else {})) as sound:
            number, rate = sound.frames, int(sound.samplerate)
            if not number * sound.channels <= _LIMIT:
                raise DataError(f"must hold at most {_LIMIT} samples, got {number} announced", path)
            samples = sound.read(number, dtype="float32", always_2d=True)
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


def _check_rate(path: Path, rate: int) -> None:
    if not _RATES[0] <= rate <= _RATES[1]:
        raise DataError(
            f"must have {_RATES[0]} to {_RATES[1]} samples per second, got {rate}; copy it again",
            path,
        )
