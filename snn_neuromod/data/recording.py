"""Reader of event recordings of five bytes an event, as those of N-MNIST."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from snn_neuromod.data.events import EVENT_DTYPE, Events
from snn_neuromod.data.naming import naming
from snn_neuromod.errors import DataError

__all__ = ["read_recording"]

_BYTES = 5


def read_recording(path: str | Path, sensor_size: tuple[int, int, int]) -> Events:
    """Read a recording: for each event x, y, then one bit of polarity and 23 bits of microseconds, big-endian.

    Args:
        path: The file.
        sensor_size: (W, H, 2).

    Returns:
        The events in order of time, at least one.

    Raises:
        OSError: If the file cannot be read.
        DataError: If it is empty or no multiple of five bytes long, an event lies off the sensor, or time runs
            backwards.
    """
    with naming(path):  # NumPy's own reader takes what a failing disk gives for all there is
        raw = np.frombuffer(Path(path).read_bytes(), dtype=np.uint8)
    if not len(raw) or len(raw) % _BYTES:
        raise DataError(
            f"a recording must hold {_BYTES} bytes an event, at least one, got {len(raw)} bytes; copy it again",
            path,
        )
    x, y, *time = raw.reshape(-1, _BYTES).T.astype(np.int64)
    events = np.zeros(len(x), dtype=EVENT_DTYPE)
    events["x"], events["y"], events["p"] = x, y, time[0] >> 7
    events["t"] = (time[0] & 127) << 16 | time[1] << 8 | time[2]
    _check(path, events, sensor_size)
    return events


def _check(path: str | Path, events: Events, sensor_size: tuple[int, int, int]) -> None:
    width, height, _ = sensor_size
    if (off := (events["x"] >= width) | (events["y"] >= height)).any():
        first = int(off.argmax())
        raise DataError(
            f"events must lie on the sensor of {width} x {height} pixels, got x={events['x'][first]}, "
            f"y={events['y'][first]} in event {first} and {off.sum()} such events; copy the recording again",
            path,
        )
    if (back := np.diff(events["t"]) < 0).any():
        first = int(back.argmax()) + 1
        raise DataError(
            f"time must not run backwards, got {events['t'][first]} us in event {first} after "
            f"{events['t'][first - 1]} us; copy the recording again",
            path,
        )
