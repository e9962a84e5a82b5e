r"""Speech features as spikes: events in Tonic's form by delta modulation of each channel.

A channel keeps a level, 0 at first, the mean of the training frames. Whenever the feature $x$ has moved from the
level by the threshold $\theta$, the level follows by one threshold and an event is sent, of polarity 1 upwards and 0
downwards, so that after every frame $i$

$$
\lvert x_i - \theta\, (\text{ups} - \text{downs up to } i) \rvert < \theta
$$

Between frames the feature is taken to change linearly. The events on the way to frame i carry times in
[i hop, (i + 1) hop): bins of one hop give frames that stand in step with the labels.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from snn_neuromod.data.events import EVENT_DTYPE, Events, Transform, apply_transforms
from snn_neuromod.data.keyed import Indexed, Key, split_key
from snn_neuromod.data.phones.frames import PhoneFrames
from snn_neuromod.errors import ConfigError

__all__ = ["SEGMENT_DTYPE", "PhoneSpikes", "delta_modulation", "label_segments"]

SEGMENT_DTYPE = np.dtype([("start", np.int64), ("end", np.int64), ("label", np.int64)])
"""A run of frames of one class: times in microseconds, end exclusive, and the class."""


class PhoneSpikes(Indexed[tuple[Any, Any]]):
    """Spike-coded speech with framewise labels, as event recordings that Tonic's tools accept.

    Args:
        frames: The utterances, with normalised features.
        threshold: Change of a feature, in standard deviations, that makes an event; > 0.
        target: "frames" gives the class of each frame, int64 (frames,); "segments" gives the runs
            of equal classes as an array of `SEGMENT_DTYPE`.
        transform: Applied to the events, for example Tonic's.
        target_transform: Applied to the target.

    Attributes:
        sensor_size: (channels, 1, 2); x is the channel, y is 0, p the direction.
        frame_us: Length of a frame in microseconds.

    Raises:
        ValueError: If threshold is not positive, or target is neither of the two.
    """

    dtype = EVENT_DTYPE
    ordering = EVENT_DTYPE.names

    def __init__(
        self,
        frames: PhoneFrames,
        *,
        threshold: float = 0.5,
        target: Literal["frames", "segments"] = "frames",
        transform: Transform | None = None,
        target_transform: Transform | None = None,
    ) -> None:
        _check_threshold("PhoneSpikes", threshold)
        if target not in ("frames", "segments"):
            raise ConfigError(f'PhoneSpikes: target must be "frames" or "segments", got {target!r}')
        self.frames = frames
        self.threshold = threshold
        self.target = target
        self.transform = transform
        self.target_transform = target_transform
        self.frame_us = round(1e6 * frames.features.hop / frames.features.rate)
        self.sensor_size = (frames.features.num_channels, 1, 2)
        self.classes = frames.classes

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, key: Key) -> tuple[Any, Any]:
        features, labels = self.frames[split_key(key)[1]]
        events = delta_modulation(
            features.numpy(), threshold=self.threshold, frame_us=self.frame_us
        )
        target = labels.numpy().copy()
        if self.target == "segments":
            target = label_segments(target, frame_us=self.frame_us)
        return apply_transforms(events, target, self.transform, self.target_transform)


def delta_modulation(
    features: NDArray[np.floating[Any]], *, threshold: float, frame_us: int
) -> Events:
    """Events of features that change over time.

    Args:
        features: Shape (frames, channels).
        threshold: Change that makes an event, > 0.
        frame_us: Length of a frame in microseconds, >= 1.

    Returns:
        Events in order of time, then channel; a fast change gives several in a frame.

    Raises:
        ValueError: If threshold or frame_us is not positive, or features are not finite.

    Example:
        >>> events = delta_modulation(np.array([[0.0], [2.5], [1.0]]), threshold=1.0, frame_us=100)
        >>> events["t"].tolist(), events["p"].tolist()
        ([140, 180, 299], [True, True, False])
    """
    _check_threshold("delta_modulation", threshold)
    if not frame_us >= 1:
        raise ConfigError(f"delta_modulation: frame_us must be at least 1, got {frame_us}")
    values = np.asarray(features, dtype=np.float64) / threshold
    if not np.isfinite(values).all():
        raise ConfigError("delta_modulation: features must be finite, got NaN or infinity")
    before = np.zeros(values.shape[1:])
    level = np.zeros(values.shape[1:])
    parts = []
    for frame, value in enumerate(values):
        moved = np.trunc(value - level)
        channels = np.repeat(np.arange(len(value)), np.abs(moved).astype(int))
        parts.append(_crossings(frame, frame_us, channels, before, value, level, moved))
        level, before = level + moved, value
    events = np.concatenate(parts) if parts else np.zeros(0, dtype=EVENT_DTYPE)
    return events[np.argsort(events["t"], kind="stable")]


def label_segments(labels: NDArray[np.int64], *, frame_us: int) -> NDArray[np.void]:
    """Runs of equal labels.

    Args:
        labels: Class of each frame, shape (frames,).
        frame_us: Length of a frame in microseconds.

    Returns:
        An array of `SEGMENT_DTYPE`, in order of time, without gaps.

    Example:
        >>> label_segments(np.array([4, 4, 7]), frame_us=10).tolist()
        [(0, 20, 4), (20, 30, 7)]
    """
    edges = np.flatnonzero(np.diff(labels, prepend=labels[:1] - 1, append=labels[-1:] - 1))
    segments = np.zeros(max(0, len(edges) - 1), dtype=SEGMENT_DTYPE)
    segments["start"], segments["end"] = edges[:-1] * frame_us, edges[1:] * frame_us
    segments["label"] = labels[edges[:-1]]
    return segments


def _crossings(
    frame: int,
    frame_us: int,
    channels: NDArray[np.int64],
    before: NDArray[np.float64],
    value: NDArray[np.float64],
    level: NDArray[np.float64],
    moved: NDArray[np.float64],
) -> Events:
    """Events of one frame; all values in thresholds."""
    first = np.searchsorted(channels, channels)  # where the channel's own events begin
    number = np.arange(len(channels)) - first + 1
    crossed = level[channels] + number * np.sign(moved[channels])
    way = (crossed - before[channels]) / (value - before)[channels]
    events = np.zeros(len(channels), dtype=EVENT_DTYPE)
    events["x"], events["p"] = channels, moved[channels] > 0
    events["t"] = frame * frame_us + np.minimum(way * frame_us, frame_us - 1).astype(np.int64)
    return events


def _check_threshold(where: str, threshold: float) -> None:
    if not 0 < threshold < np.inf:
        raise ConfigError(f"{where}: threshold must be positive and finite, got {threshold}")
