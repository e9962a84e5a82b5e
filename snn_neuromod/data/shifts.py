"""Images moved by a few pixels, each by its seed alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from snn_neuromod.data.keyed import mix
from snn_neuromod.errors import ConfigError

__all__ = ["shifted"]

_WORD = np.uint32(0x9E3779B9)  # so that a shift is no function of the noise of the same seed


def shifted(images: Tensor, limit: int, size: tuple[int, int], *, seeds: Sequence[int]) -> Tensor:
    """Move each image by whole pixels, up to `limit` along either axis; what comes in at the edge is dark.

    All `(2 limit + 1)**2` shifts are equally probable.

    Args:
        images: (B, height * width), rows one after another; any type.
        limit: Largest shift in pixels, >= 0.
        size: Height and width in pixels.
        seeds: One integer in [0, 2**32) per image, for example from `keyed.sample_seeds`; an image is moved as if
            alone, whatever else is in the batch.

    Returns:
        Images of the same shape and type.

    Raises:
        ValueError: If `limit` is negative or no whole number, or the shape of `images` is another.

    Example:
        >>> image = torch.zeros(1, 9)
        >>> image[0, 4] = 1
        >>> shifted(image, 1, (3, 3), seeds=[7]).view(3, 3).tolist()
        [[1.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]
    """
    if not (isinstance(limit, int) and limit >= 0):
        raise ConfigError(f"shifted: limit must be a whole number >= 0, got {limit}")
    height, width = size
    if images.shape != (len(seeds), height * width):
        raise ConfigError(
            f"shifted: images must have shape ({len(seeds)}, {height * width}), one for each seed and flattened, "
            f"got {tuple(images.shape)}"
        )
    drawn = mix(np.asarray(seeds, dtype=np.uint32) + _WORD) % np.uint32((2 * limit + 1) ** 2)
    down, right = torch.from_numpy(np.stack(np.divmod(drawn.astype(np.int64), 2 * limit + 1)))
    padded = functional.pad(images.view(-1, height, width), (limit,) * 4)
    rows = (torch.arange(height) + 2 * limit - down[:, None])[:, :, None]
    columns = (torch.arange(width) + 2 * limit - right[:, None])[:, None, :]
    sample = torch.arange(len(images))[:, None, None]
    return padded[sample, rows, columns].flatten(1)
