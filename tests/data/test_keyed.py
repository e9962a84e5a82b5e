"""Shuffling and noise keyed by (seed, epoch, index)."""

import numpy as np
import pytest
import torch
from torch.utils.data import BatchSampler

from snn_neuromod.data.keyed import KeyedSampler, sample_seeds, split_key


def test_seeds_of_one_epoch_are_all_different_and_well_mixed():
    seeds = np.array(sample_seeds(0, 3, range(60_000)))
    assert len(np.unique(seeds)) == 60_000
    # Neighbouring indices share half of their 32 bits, as unrelated numbers do.
    bits = np.unpackbits((seeds[1:] ^ seeds[:-1]).astype(np.uint32).view(np.uint8))
    assert abs(bits.mean() - 0.5) < 0.003
    every_bit = np.unpackbits(seeds.astype(np.uint32).view(np.uint8)).reshape(-1, 32).mean(axis=0)
    assert np.abs(every_bit - 0.5).max() < 0.01


def test_seeds_depend_on_seed_epoch_and_index_alone():
    assert sample_seeds(1, 2, [5, 9]) == [sample_seeds(1, 2, [i])[0] for i in (5, 9)]
    variants = [sample_seeds(s, e, [i])[0] for s in (0, 1) for e in (0, 1) for i in (0, 1)]
    assert len(set(variants)) == 8


def test_seeds_stay_the_same_from_release_to_release():
    assert sample_seeds(0, 0, [0, 1]) == [2408978632, 705698682]


def test_sampler_yields_every_key_once_in_an_order_of_its_own_per_epoch():
    sampler = KeyedSampler(range(100), seed=0)
    orders = []
    for epoch in (0, 1):
        sampler.set_epoch(epoch)
        keys = list(sampler)
        assert {key[0] for key in keys} == {epoch}
        orders.append([key[1] for key in keys])
        assert sorted(orders[-1]) == list(range(100))
    assert orders[0] != orders[1]
    assert len(sampler) == 100


def test_sampler_order_depends_on_seed_and_epoch_not_on_history():
    used = KeyedSampler(range(50), seed=3)
    list(used)
    used.set_epoch(7)
    assert list(used) == list(KeyedSampler(range(50), seed=3, epoch=7))
    assert list(used) != list(KeyedSampler(range(50), seed=4, epoch=7))


def test_global_generators_are_left_alone():
    before, np_before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    list(KeyedSampler(range(50), seed=3))
    assert torch.equal(before, torch.get_rng_state())
    assert (np_before == np.random.get_state()[1]).all()  # noqa: NPY002


def test_two_processes_share_the_epoch_without_overlap():
    distributed = pytest.importorskip("lightning_fabric.utilities.distributed")
    shares = []
    for rank in range(2):
        wrapped = distributed.DistributedSamplerWrapper(
            KeyedSampler(range(20), seed=0), num_replicas=2, rank=rank, shuffle=False
        )
        wrapped.set_epoch(5)
        shares.append(list(wrapped))
    assert len(shares[0]) == len(shares[1]) == 10
    assert sorted(shares[0] + shares[1]) == [(5, index) for index in range(20)]


def test_keys_survive_a_batch_sampler():
    batches = list(BatchSampler(KeyedSampler(range(5), seed=0, epoch=2), 2, drop_last=False))
    assert [len(batch) for batch in batches] == [2, 2, 1]
    assert [split_key(key)[0] for batch in batches for key in batch] == [2] * 5
    assert split_key(4) == (0, 4)


def test_the_order_is_that_of_any_default_device():
    expected = list(KeyedSampler(range(9), seed=3))
    with torch.device("meta"):
        assert list(KeyedSampler(range(9), seed=3)) == expected
