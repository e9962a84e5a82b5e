"""Data modules for the Lightning command line.

A batch of images or events is `(spikes, labels)`: spikes (T, B, N), time first, with T = `total_steps` and
N = `num_inputs`; labels int64 (B,), or (T, B) where each step has one. Loaders give uint8, a quarter of the memory of
float32; `on_after_batch_transfer` turns the spikes into the network's dtype on its device.
A batch of speech is a `lightning_modules.data.phones.FrameBatch`; of `PatternGeneration` it holds targets (T, B, K) in
the place of labels.
"""

from lightning_modules.data.events import NMNIST, EventFrames
from lightning_modules.data.images import MNIST, EmbeddedDigits, FashionMNIST, LatencyOptions
from lightning_modules.data.phones import PhoneFramesData
from lightning_modules.data.sequences import DigitMemory, EvidenceAccumulation, PatternGeneration

__all__ = [
    "MNIST",
    "NMNIST",
    "DigitMemory",
    "EmbeddedDigits",
    "EventFrames",
    "EvidenceAccumulation",
    "FashionMNIST",
    "LatencyOptions",
    "PatternGeneration",
    "PhoneFramesData",
]
