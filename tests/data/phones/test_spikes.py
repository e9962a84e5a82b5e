"""Spike-coded speech: what the events say about the features, and Tonic's tools on them."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from snn_neuromod.data.events import EVENT_DTYPE
from snn_neuromod.data.frames import BinaryFrames, collate_framewise
from snn_neuromod.data.phones.frames import PhoneFrames
from snn_neuromod.data.phones.spikes import PhoneSpikes, delta_modulation, label_segments
from tests.data.phones.made_up import Plain, Tones


def spikes(**options):
    return PhoneSpikes(PhoneFrames(Tones(), "test", features=Plain(), cache=False), **options)


def levels(events, shape, *, threshold, frame_us):
    """What the events up to the end of each frame add up to."""
    steps = np.zeros(shape)
    np.add.at(steps, (events["t"] // frame_us, events["x"]), np.where(events["p"], 1, -1))
    return threshold * steps.cumsum(axis=0)


@pytest.mark.parametrize("threshold", [0.1, 0.5, 3.0])
def test_events_follow_the_features_within_a_threshold(threshold):
    features = np.random.default_rng(0).standard_normal((50, 7)).cumsum(axis=0)
    events = delta_modulation(features, threshold=threshold, frame_us=10_000)
    assert events.dtype == EVENT_DTYPE
    assert len(events) > 20
    assert 0.2 < events["p"].mean() < 0.8
    assert (np.diff(events["t"]) >= 0).all()
    followed = levels(events, features.shape, threshold=threshold, frame_us=10_000)
    assert np.abs(followed - features).max() < threshold * (1 + 1e-9)
    # Not one event more than needed: none turns back within a frame.
    ups = np.zeros((*features.shape, 2), int)
    np.add.at(ups, (events["t"] // 10_000, events["x"], events["p"].astype(int)), 1)
    assert ups.min(axis=-1).max() == 0


def test_times_are_those_of_the_crossings():
    ramp = np.array([[0.0, 0.0], [2.0, -1.0], [2.0, 3.0]])
    events = delta_modulation(ramp, threshold=1.0, frame_us=1000)
    found = [tuple(event) for event in events[["x", "t", "p"]].tolist()]
    assert found == [
        (0, 1500, True), (0, 1999, True), (1, 1999, False),
        (1, 2250, True), (1, 2500, True), (1, 2750, True), (1, 2999, True),
    ]  # fmt: skip


@given(st.integers(0, 2**32 - 1), st.floats(0.01, 5))
def test_any_signal_is_followed(seed, threshold):
    features = np.random.default_rng(seed).standard_normal((6, 3)).astype(np.float32)
    events = delta_modulation(features, threshold=threshold, frame_us=10_000)
    followed = levels(events, features.shape, threshold=threshold, frame_us=10_000)
    assert np.abs(followed - features).max() < threshold * (1 + 1e-6)


def test_recordings_and_targets():
    data = spikes(threshold=0.25)
    assert (len(data), data.sensor_size, data.frame_us) == (3, (3, 1, 2), 10_000)
    events, labels = data[0]
    features, classes = data.frames[0]
    assert labels.tolist() == classes.tolist()
    followed = levels(events, features.shape, threshold=0.25, frame_us=10_000)
    assert np.abs(followed - features.numpy()).max() < 0.25 + 1e-5
    assert set(events["x"].tolist()) == {0, 1}  # the third channel never changes
    assert not events["y"].any()
    assert np.array_equal(data[5, 0][0], events)
    assert len(spikes(threshold=1.0)[0][0]) < len(events)


def test_segments():
    data = spikes(target="segments")
    _, segments = data[0]
    assert segments.tolist() == [(0, 330_000, 2), (330_000, 490_000, 0), (490_000, 980_000, 1)]
    rebuilt = np.repeat(segments["label"], (segments["end"] - segments["start"]) // 10_000)
    assert rebuilt.tolist() == data.frames[0][1].tolist()
    assert len(label_segments(np.zeros(0, np.int64), frame_us=1)) == 0


def test_iteration_ends_and_transforms_are_applied():
    data = spikes(transform=len, target_transform=lambda labels: labels.max())
    assert [label for _, label in data] == [2, 2, 2]
    assert all(count > 10 for count, _ in data)
    with pytest.raises(IndexError):
        data[3]


def test_frames_in_step_with_the_labels():
    data = spikes(threshold=0.25)
    samples = []
    for events, labels in data:
        frames = BinaryFrames(data.sensor_size, len(labels), data.frame_us)(events)
        assert frames.shape == (len(labels), 6)
        samples.append((frames, labels))
    frames, labels, lengths = collate_framewise(samples)
    assert frames.shape == (158, 3, 6)
    assert labels.shape == (158, 3)
    assert lengths.tolist() == [98, 28, 158]
    # Loudness rises where the loud segment begins, and falls where it ends.
    up, down = frames[:98, 0, 3].nonzero(), frames[:98, 0, 0].nonzero()
    assert ((up - 33).abs() <= 2).any()
    assert ((down - 49).abs() <= 2).any()


def test_tonic_s_transforms_slicers_and_cache_accept_it(tmp_path):
    tonic = pytest.importorskip("tonic")
    data = spikes(threshold=0.25)
    events, labels = data[0]
    to_frame = tonic.transforms.ToFrame(
        sensor_size=data.sensor_size, time_window=10_000, start_time=0, end_time=980_000
    )
    counts = to_frame(events.copy())
    assert counts.shape == (98, 2, 1, 3)
    ups_and_downs = counts[:, 1, 0].astype(float) - counts[:, 0, 0]
    followed = 0.25 * ups_and_downs.cumsum(axis=0)
    assert np.abs(followed - data.frames[0][0].numpy()).max() < 0.25 + 1e-5
    assert torch.equal(
        BinaryFrames(data.sensor_size, 98, 10_000)(events),
        torch.from_numpy(counts.clip(max=1).reshape(98, -1)).byte(),
    )
    cached = tonic.DiskCachedDataset(data, cache_path=str(tmp_path))
    for _ in range(2):
        assert np.array_equal(cached[0][0], events)
        assert np.array_equal(cached[0][1], labels)
    sliced = tonic.SlicedDataset(data, slicer=tonic.slicers.SliceByTime(time_window=100_000))
    assert len(sliced) > 10
    assert len(sliced[0][0]) > 0


@pytest.mark.parametrize("threshold", [0.0, -1.0, float("nan"), float("inf")])
def test_threshold_out_of_range(threshold):
    with pytest.raises(ValueError, match="PhoneSpikes: threshold must be positive"):
        spikes(threshold=threshold)
    with pytest.raises(ValueError, match="delta_modulation: threshold must be positive"):
        delta_modulation(np.zeros((2, 2)), threshold=threshold, frame_us=1)


def test_misuse():
    with pytest.raises(ValueError, match='target must be "frames" or "segments"'):
        spikes(target="words")
    with pytest.raises(ValueError, match="frame_us must be at least 1"):
        delta_modulation(np.zeros((2, 2)), threshold=1.0, frame_us=0)
    with pytest.raises(ValueError, match="features must be finite"):
        delta_modulation(np.full((2, 2), np.nan), threshold=1.0, frame_us=1)
