"""Event data sets in Tonic's form: structured arrays (x, y, t in microseconds, p), sensor_size.

Tonic's transforms, slicers and caches take them as they take Tonic's own data sets.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snn_neuromod.data.keyed import Indexed, Key
from snn_neuromod.data.spiking_images import SpikingImages
from snn_neuromod.errors import ConfigError

__all__ = ["EVENT_DTYPE", "Events", "SpikeEvents", "Transform"]

EVENT_DTYPE = np.dtype([("x", np.int16), ("y", np.int16), ("t", np.int64), ("p", np.bool_)])
"""One event, as in `tonic.io.events_struct`."""

Events = NDArray[np.void]
Transform = Callable[[Any], Any]


class SpikeEvents(Indexed[tuple[Any, Any]]):
    """Spike-coded images, such as spike-coded MNIST, as event recordings.

    Args:
        images: The coded images, each of shape (H, W).
        step_us: Length of a time step in microseconds, >= 1.
        transform: Applied to the events, for example Tonic's.
        target_transform: Applied to the label.

    Attributes:
        sensor_size: (W, H, 1).

    Raises:
        ValueError: If the images have another shape, or step_us is not positive.

    Example:
        >>> import torch
        >>> from functools import partial
        >>> from snn_neuromod import encoders
        >>> images = torch.zeros(1, 28, 28, dtype=torch.uint8)
        >>> images[0, 2, 5] = 255
        >>> encode = partial(encoders.rate, num_steps=3, p_max=1.0)
        >>> coded = SpikingImages(images, torch.tensor([7]), encode, seed=0)
        >>> events, label = SpikeEvents(coded, step_us=1000)[0]
        >>> events["x"].tolist(), events["y"].tolist(), events["t"].tolist(), label
        ([5, 5, 5], [2, 2, 2], [0, 1000, 2000], 7)
    """

    def __init__(
        self,
        images: SpikingImages,
        *,
        step_us: int = 1000,
        transform: Transform | None = None,
        target_transform: Transform | None = None,
    ) -> None:
        if images.images.ndim != 3:
            raise ConfigError(
                f"SpikeEvents: images must have the shape (N, H, W), "
                f"got {tuple(images.images.shape)}"
            )
        if not step_us >= 1:
            raise ConfigError(f"SpikeEvents: step_us must be at least 1, got {step_us}")
        self.images = images
        self.step_us = step_us
        self.transform = transform
        self.target_transform = target_transform
        height, width = images.images.shape[1:]
        self.sensor_size = (width, height, 1)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, key: Key) -> tuple[Any, Any]:
        spikes, label = self.images[key]
        step, y, x = spikes.nonzero().numpy().T
        events = np.zeros(len(step), dtype=EVENT_DTYPE)
        events["x"], events["y"], events["t"] = x, y, step * self.step_us
        return apply_transforms(events, label.item(), self.transform, self.target_transform)


def apply_transforms(
    events: Events, label: Any, transform: Transform | None, target_transform: Transform | None
) -> tuple[Any, Any]:
    """Events and label after the transforms that are not None."""
    return (
        events if transform is None else transform(events),
        label if target_transform is None else target_transform(label),
    )
