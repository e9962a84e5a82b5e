"""Spike-coded images as event recordings in Tonic's form."""

from functools import partial

import numpy as np
import pytest
import torch

from snn_neuromod import encoders
from snn_neuromod.data.events import EVENT_DTYPE, SpikeEvents
from snn_neuromod.data.spiking_images import SpikingImages


def coded(encode=None, n=4):
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (n, 6, 9), generator=generator).byte()
    encode = encode or partial(encoders.rate, num_steps=20, p_max=0.5)
    return SpikingImages(images, torch.arange(n), encode, seed=0)


def test_events_are_the_spikes():
    images = coded()
    data = SpikeEvents(images, step_us=500)
    events, label = data[2]
    spikes, _ = images[2]
    assert label == 2
    assert isinstance(label, int)
    assert data.sensor_size == (9, 6, 1)
    assert events.dtype == EVENT_DTYPE
    rebuilt = torch.zeros_like(spikes)
    rebuilt[events["t"] // 500, events["y"].astype(int), events["x"].astype(int)] += 1
    assert torch.equal(rebuilt, spikes)
    assert len(events) == spikes.sum() > 0
    assert (events["t"] % 500 == 0).all()
    assert (np.diff(events["t"]) >= 0).all()
    assert not events["p"].any()


def test_noise_is_keyed():
    data = SpikeEvents(coded())
    assert np.array_equal(data[1][0], data[0, 1][0])
    assert not np.array_equal(data[1][0], data[3, 1][0])


def test_iteration_ends_and_transforms_are_applied():
    data = SpikeEvents(coded(), transform=len, target_transform=str)
    items = list(data)
    assert [label for _, label in items] == ["0", "1", "2", "3"]
    assert all(count > 0 for count, _ in items)
    assert len(data) == 4
    with pytest.raises(IndexError):
        data[4]


def test_misuse():
    flat = SpikingImages(torch.zeros(2, 4, dtype=torch.uint8), torch.zeros(2), len, seed=0)
    with pytest.raises(ValueError, match=r"images must have the shape \(N, H, W\)"):
        SpikeEvents(flat)
    with pytest.raises(ValueError, match="step_us must be at least 1"):
        SpikeEvents(coded(), step_us=0)


def test_dtype_is_tonic_s():
    tonic_io = pytest.importorskip("tonic.io")
    assert tonic_io.events_struct == EVENT_DTYPE


def test_tonic_s_transforms_slicers_and_cache_accept_it(tmp_path):
    tonic = pytest.importorskip("tonic")
    frames = tonic.transforms.Compose(
        [
            tonic.transforms.DropEvent(p=0.0),
            tonic.transforms.ToFrame(
                sensor_size=(9, 6, 1), time_window=1000, start_time=0, end_time=20_000
            ),
        ]
    )
    data = SpikeEvents(coded(), transform=frames)
    counts, _ = data[1]
    assert counts.shape == (20, 1, 6, 9)
    assert counts.sum() > 0
    assert np.array_equal(counts[:, 0], coded()[1][0].numpy())
    cached = tonic.DiskCachedDataset(SpikeEvents(coded()), cache_path=str(tmp_path))
    for _ in range(2):
        assert np.array_equal(cached[1][0], SpikeEvents(coded())[1][0])
    sliced = tonic.SlicedDataset(
        SpikeEvents(coded()), slicer=tonic.slicers.SliceByTime(time_window=5000)
    )
    assert len(sliced) > 4
    assert len(sliced[0][0]) > 0
