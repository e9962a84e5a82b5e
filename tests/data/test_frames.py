"""Frames from events, and collation of samples of unequal length."""

import numpy as np
import pytest
import torch

from snn_neuromod.data.events import EVENT_DTYPE
from snn_neuromod.data.frames import BinaryFrames, collate_framewise
from snn_neuromod.errors import DataError


def random_events(polarities=2, n=500, duration=12_000):
    rng = np.random.default_rng(0)
    events = np.zeros(n, dtype=EVENT_DTYPE)
    events["x"], events["y"] = rng.integers(7, size=n), rng.integers(5, size=n)
    events["t"] = np.sort(rng.integers(duration, size=n))
    events["p"] = rng.integers(polarities, size=n)
    return events


def test_each_event_has_its_bit():
    events = np.array([(2, 1, 0, 0), (2, 1, 999, 0), (6, 4, 1000, 1)], dtype=EVENT_DTYPE)
    frames = BinaryFrames((7, 5, 2), num_steps=3, time_window=1000)(events)
    assert frames.shape == (3, 70)
    assert frames.dtype == torch.uint8
    assert frames.nonzero().tolist() == [[0, 1 * 7 + 2], [1, 35 + 4 * 7 + 6]]
    assert frames.max() == 1


@pytest.mark.parametrize("polarities", [1, 2])
def test_equals_tonic_s_frames_clipped(polarities):
    transforms = pytest.importorskip("tonic.transforms")
    events = random_events(polarities)
    before = events.copy()
    ours = BinaryFrames((7, 5, polarities), num_steps=10, time_window=1000)(events)
    assert np.array_equal(events, before)
    to_frame = transforms.ToFrame(
        sensor_size=(7, 5, polarities), time_window=1000, start_time=0, end_time=10_000
    )
    counts = to_frame(events.copy())
    assert counts.max() > 1
    assert np.array_equal(ours.numpy(), counts.clip(max=1).reshape(10, -1))


def test_empty_and_late_recordings_keep_the_number_of_frames():
    transform = BinaryFrames((7, 5, 2), num_steps=4, time_window=1000)
    assert transform(random_events()[:0]).shape == (4, 70)
    late = random_events()
    late["t"] += 4000
    assert transform(late).shape == (4, 70)
    assert transform(late).sum() == 0


@pytest.mark.parametrize(
    "event",
    [
        (7, 0, 0, 0),
        (-1, 0, 0, 0),
        (0, 5, 0, 0),
        (0, -1, 0, 1),
        (0, 5, 0, 1),
        (32_767, 32_767, 0, 1),
    ],
)
def test_events_off_the_sensor_land_nowhere(event):
    events = np.array([(6, 4, 0, 1), event], dtype=EVENT_DTYPE)
    x, y, _, p = event
    with pytest.raises(DataError, match=f"sensor of 7 x 5 x 2, got x={x}, y={y}, p={p} in event 1"):
        BinaryFrames((7, 5, 2), 1, 1000)(events)
    assert BinaryFrames((7, 5, 2), 1, 1000)(events[:1]).nonzero().tolist() == [[0, 69]]


@pytest.mark.parametrize(("p", "polarities"), [(1, 1), (2, 2), (-1, 2)])
def test_polarities_that_the_sensor_lacks(p, polarities):
    events = np.array([(0, 0, 0, p)], dtype=[(name, np.int32) for name in "xytp"])
    with pytest.raises(DataError, match=f"got x=0, y=0, p={p} in event 0"):
        BinaryFrames((7, 5, polarities), 1, 1000)(events)


@pytest.mark.parametrize(("num_steps", "time_window"), [(0, 10), (5, 0)])
def test_frames_out_of_range(num_steps, time_window):
    wrong = "num_steps" if num_steps == 0 else "time_window"
    with pytest.raises(ValueError, match=f"BinaryFrames: {wrong} must"):
        BinaryFrames((7, 5, 2), num_steps, time_window)


def test_collate_pads_at_the_end_and_tells_the_lengths():
    samples = [
        (torch.full((length, 3), float(length)), torch.arange(length) % 4) for length in (2, 5, 1)
    ]
    frames, labels, lengths = collate_framewise(samples)
    assert frames.shape == (5, 3, 3)
    assert labels.shape == (5, 3)
    assert lengths.tolist() == [2, 5, 1]
    for b, (sample, target) in enumerate(samples):
        n = len(sample)
        assert torch.equal(frames[:n, b], sample)
        assert frames[n:, b].sum() == 0
        assert torch.equal(labels[:n, b], target)
        assert (labels[n:, b] == -100).all()


def test_collated_loss_leaves_the_padding_out():
    logits = [torch.randn(length, 6) for length in (2, 5)]
    targets = [torch.randint(6, (length,)) for length in (2, 5)]
    frames, labels, _ = collate_framewise(list(zip(logits, targets, strict=True)), ignore_index=9)
    loss = torch.nn.functional.cross_entropy(frames.flatten(0, 1), labels.flatten(), ignore_index=9)
    expected = torch.nn.functional.cross_entropy(torch.cat(logits), torch.cat(targets))
    assert torch.allclose(loss, expected)


def test_collate_takes_arrays_and_keeps_the_dtype():
    frames, labels, _ = collate_framewise([(np.ones((2, 3), np.uint8), np.array([1, 2], np.int32))])
    assert frames.dtype == torch.uint8
    assert labels.dtype == torch.int64


def test_collate_needs_one_label_per_frame():
    with pytest.raises(ValueError, match="one label per frame"):
        collate_framewise([(torch.ones(3, 2), torch.tensor(1))])
