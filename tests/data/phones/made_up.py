"""A made-up corpus and features that need no extra package."""

import numpy as np

from snn_neuromod.data.phones.corpus import Segment, Utterance

SECONDS = {"train": (0.4, 1.3, 0.9), "validation": (0.5,), "test": (1.0, 0.3, 1.6)}


class Tones:
    """Noise of changing loudness and colour; counts how often it is read."""

    name = "tones"
    labels = ("a", "b", "pau")
    silence = "pau"
    rate = 16_000

    def __init__(self, identity="1", **changed):
        self.identity = identity
        self.changed = changed
        self.reads = 0

    def names(self, split):
        return [f"{split}/{i}" for i in range(len(SECONDS[split]))]

    def read(self, name):
        self.reads += 1
        split, i = name.split("/")
        n = int(SECONDS[split][int(i)] * self.rate)
        rng = np.random.default_rng([len(split), int(i)])
        samples = rng.standard_normal(n).astype(np.float32) * 0.002 * len(split)
        samples[n // 3 : n // 2] *= 20
        segments = (
            Segment(0, n // 3, "pau"), Segment(n // 3, n // 2, "a"), Segment(n // 2, n, "b"),
        )  # fmt: skip
        return Utterance(name, "x", samples, self.rate, segments)._replace(**self.changed)


class Plain:
    """Features without an extra package: the loudness, its sign, and a channel that never changes."""

    rate, hop, num_channels = 16_000, 160, 3

    def __repr__(self):
        return "Plain()"

    def centres(self, num_frames):
        return np.arange(num_frames) * 160 + 200

    def __call__(self, samples):
        frames = [samples[i : i + 400] for i in range(0, len(samples) - 399, 160)]
        level = np.log(np.square(np.array(frames)).mean(axis=1))
        return np.stack([level, -level, np.full_like(level, 7)], axis=1).astype(np.float32)
