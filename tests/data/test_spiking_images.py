"""Images coded when they are read."""

from functools import partial

import pytest
import torch
from torch.utils.data import DataLoader

from snn_neuromod import encoders
from snn_neuromod.data.keyed import KeyedSampler, sample_seeds
from snn_neuromod.data.spiking_images import SpikeBatch, SpikingImages, collate_time_first

RATE = partial(encoders.rate, num_steps=12, blank_steps=3, dtype=torch.uint8)


def make(seed=0, n=10, encode=RATE):
    images = torch.randint(256, (n, 36), generator=torch.Generator().manual_seed(1)).byte()
    return SpikingImages(images, torch.arange(n) % 10, encode, seed=seed)


def epoch_of(data, epoch, batch_size, **options):
    sampler = KeyedSampler(data, seed=data.seed, epoch=epoch)
    loader = DataLoader(
        data, batch_size=batch_size, sampler=sampler, collate_fn=collate_time_first, **options
    )
    batches = list(loader)
    return torch.cat([s for s, _ in batches], dim=1), torch.cat([y for _, y in batches])


def test_a_sample_is_the_public_encoder_with_the_sample_s_seed():
    data = make(seed=4)
    (seed,) = sample_seeds(4, 6, [2])
    expected = RATE(data.images[2][None] / 255, seeds=[seed])[:, 0]
    assert torch.equal(data[6, 2][0], expected)
    assert expected.sum() > 0


def test_batch_is_time_first_and_uint8():
    spikes, labels = epoch_of(make(), epoch=0, batch_size=10)
    assert spikes.shape == (15, 10, 36)
    assert spikes.dtype == torch.uint8
    assert spikes.is_contiguous()
    assert labels.dtype == torch.int64
    assert labels.shape == (10,)


def test_labels_stay_with_their_images():
    data = make(encode=partial(encoders.latency, num_steps=12))
    spikes, labels = epoch_of(data, epoch=3, batch_size=4)
    for b, label in enumerate(labels.tolist()):
        assert torch.equal(spikes[:, b], data[label][0])


def test_noise_is_independent_of_the_batch_size_and_of_history():
    one = epoch_of(make(), epoch=1, batch_size=1)
    for batch_size in (3, 10):
        data = make()
        epoch_of(data, epoch=0, batch_size=2)
        other = epoch_of(data, epoch=1, batch_size=batch_size)
        assert torch.equal(one[0], other[0])
        assert torch.equal(one[1], other[1])


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_noise_is_independent_of_worker_processes():
    here = epoch_of(make(), epoch=1, batch_size=3)
    there = epoch_of(make(), epoch=1, batch_size=3, num_workers=2, multiprocessing_context="fork")
    assert torch.equal(here[0], there[0])
    assert torch.equal(here[1], there[1])


def test_noise_changes_with_epoch_and_seed():
    reference = make()[0, 5][0]
    assert not torch.equal(reference, make()[1, 5][0])
    assert not torch.equal(reference, make(seed=1)[0, 5][0])
    assert torch.equal(reference, make()[5][0])


def test_a_batch_may_mix_epochs():
    data = make()
    mixed = data.__getitems__([(0, 1), (4, 1), 7])
    for b, key in enumerate([(0, 1), (4, 1), (0, 7)]):
        assert torch.equal(mixed[b][0], data[key][0])


def test_without_a_keyed_sampler_every_pass_sees_the_same_spikes():
    loader = DataLoader(make(), batch_size=4, collate_fn=collate_time_first)
    first, second = list(loader), list(loader)
    assert all(torch.equal(a[0], b[0]) for a, b in zip(first, second, strict=True))


def test_batch_is_a_sequence_of_samples():
    batch = make().__getitems__([3, 4, 5])
    assert isinstance(batch, SpikeBatch)
    spikes, labels = collate_time_first(list(batch))
    assert torch.equal(spikes, batch.spikes)
    assert labels.tolist() == [3, 4, 5]
    assert batch[1:].labels.tolist() == [4, 5]
    default = next(iter(DataLoader(make(), batch_size=4)))
    assert default[0].shape == (4, 15, 36)


def test_iteration_ends():
    assert len([label for _, label in make(n=3)]) == 3


def test_misuse():
    labels = torch.arange(2)
    with pytest.raises(ValueError, match="images must be uint8"):
        SpikingImages(torch.rand(2, 4), labels, RATE, seed=0)
    with pytest.raises(ValueError, match="equally many, got 3 and 2"):
        SpikingImages(torch.zeros(3, 4, dtype=torch.uint8), labels, RATE, seed=0)
    with pytest.raises(IndexError, match="index must be below 10"):
        make()[3, 10]
