"""From events to tensors: frames of a fixed number, and collation of samples of unequal length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from snn_neuromod.data.events import Events
from snn_neuromod.errors import ConfigError, DataError

__all__ = ["BinaryFrames", "collate_framewise"]


@dataclass(frozen=True)
class BinaryFrames:
    """Transform: events to `num_steps` flat frames of 0 and 1.

    Every recording starts at time 0 and gives exactly `num_steps` frames, also an empty one; events
    before and after them are left out. Events without a field y or p, as those of sound, have 0 there.
    A pixel and polarity with one or more events in a frame is 1. Equal to Tonic's ToFrame with start
    and end time given, clipped to 1 and flattened, but leaves its input alone, and much faster.
    `tonic.transforms.Compose` skips it for empty recordings: put it last and alone where those occur.

    Args:
        sensor_size: (W, H, P).
        num_steps: Number of frames, >= 1.
        time_window: Length of a frame in microseconds, > 0.

    Raises:
        ValueError: If num_steps or time_window is out of its range.
    """

    sensor_size: tuple[int, int, int]
    num_steps: int
    time_window: int

    def __post_init__(self) -> None:
        if not self.num_steps >= 1:
            raise ConfigError(f"BinaryFrames: num_steps must be at least 1, got {self.num_steps}")
        if not self.time_window > 0:
            raise ConfigError(f"BinaryFrames: time_window must be positive, got {self.time_window}")

    def __call__(self, events: Events) -> Tensor:
        """Frames, uint8, shape (num_steps, P * H * W), of structured events.

        Raises:
            DataError: If an event lies off the sensor, where it would land on another pixel.
        """
        width, height, polarities = self.sensor_size
        none = np.zeros(len(events), dtype=np.int64)
        there = events.dtype.names or ()
        x, y, p = (events[k].astype(np.int64) if k in there else none for k in ("x", "y", "p"))
        off = np.zeros(len(events), dtype=bool)
        for value, size in ((x, width), (y, height), (p, polarities)):
            off |= (value < 0) | (value >= size)
        if off.any():
            first = int(off.argmax())
            raise DataError(
                f"BinaryFrames: events must lie on the sensor of {width} x {height} x {polarities}, "
                f"got x={x[first]}, y={y[first]}, p={p[first]} in event {first}; drop them, or correct sensor_size"
            )
        frame = events["t"] // self.time_window
        seen = (frame >= 0) & (frame < self.num_steps)
        pixel = (p * height + y) * width + x
        frames = np.zeros((self.num_steps, polarities * height * width), dtype=np.uint8)
        frames[frame[seen], pixel[seen]] = 1
        return torch.from_numpy(frames)


def collate_framewise(
    samples: Sequence[tuple[Any, Any]], *, ignore_index: int = -100
) -> tuple[Tensor, Tensor, Tensor]:
    """Collate samples of unequal length, time first, with one label per frame.

    Args:
        samples: Pairs of frames (T_b, ...) and labels (T_b,), tensors or arrays.
        ignore_index: Label of the padding; -100 is what PyTorch's losses leave out.

    Returns:
        frames: Shape (T, B, ...), T the longest, padded with zeros at the end.
        labels: int64, shape (T, B), padded with `ignore_index`.
        lengths: int64, shape (B,), the T_b.

    Raises:
        ValueError: If a sample has unequally many frames and labels.

    Example:
        >>> short, long = (torch.ones(1, 4), [3]), (torch.ones(2, 4), [5, 6])
        >>> frames, labels, lengths = collate_framewise([short, long])
        >>> tuple(frames.shape), labels.tolist(), lengths.tolist()
        ((2, 2, 4), [[3, 5], [-100, 6]], [1, 2])
    """
    frames = [torch.as_tensor(sample) for sample, _ in samples]
    labels = [torch.as_tensor(target, dtype=torch.int64) for _, target in samples]
    for sample, target in zip(frames, labels, strict=True):
        if target.shape != sample.shape[:1]:
            raise ConfigError(
                f"collate_framewise: samples must hold one label per frame, got frames of shape "
                f"{tuple(sample.shape)} with labels of shape {tuple(target.shape)}"
            )
    return (
        pad_sequence(frames),
        pad_sequence(labels, padding_value=ignore_index),
        torch.tensor([len(sample) for sample in frames]),
    )
