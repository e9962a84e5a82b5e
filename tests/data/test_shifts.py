"""Images moved by a few pixels."""

import re
from itertools import product

import pytest
import torch
from torch.nn import functional

from snn_neuromod.data.keyed import sample_seeds
from snn_neuromod.data.shifts import shifted

SIZE = (6, 5)


def images(number=1):
    return torch.randint(1, 256, (number, SIZE[0] * SIZE[1]), dtype=torch.uint8)


def moved(image, down, right, limit):
    """One image, moved by padding and cutting."""
    padded = functional.pad(image.view(SIZE), (limit,) * 4)
    return padded[limit - down :][: SIZE[0], limit - right :][:, : SIZE[1]].flatten()


@pytest.mark.parametrize("limit", [1, 2])
def test_every_shift_in_range_comes_equally_often(limit):
    one = images()
    number = 2000 * (2 * limit + 1) ** 2
    out = shifted(one.expand(number, -1), limit, SIZE, seeds=sample_seeds(3, 0, range(number)))
    steps = range(-limit, limit + 1)
    known = {tuple(moved(one[0], a, b, limit).tolist()): 0 for a, b in product(steps, steps)}
    assert len(known) == (2 * limit + 1) ** 2
    for image in out.tolist():
        known[tuple(image)] += 1  # no other image comes
    counts = torch.tensor(list(known.values()), dtype=torch.float64)
    assert (counts - 2000).abs().max() < 5 * 2000**0.5


def test_a_shift_depends_on_the_seed_alone():
    many, seeds = images(50), sample_seeds(0, 4, range(50))
    before = many.clone()
    together = shifted(many, 2, SIZE, seeds=seeds)
    alone = [shifted(many[k : k + 1], 2, SIZE, seeds=seeds[k : k + 1]) for k in range(50)]
    assert torch.equal(together, torch.cat(alone))
    assert torch.equal(many, before)
    other = shifted(many, 2, SIZE, seeds=sample_seeds(0, 5, range(50)))
    assert not torch.equal(together, other)
    assert together.dtype == torch.uint8


def test_no_shift_and_one_beyond_the_edge():
    many = images(20)
    seeds = sample_seeds(0, 0, range(20))
    assert torch.equal(shifted(many, 0, SIZE, seeds=seeds), many)
    far = shifted(many, 100, SIZE, seeds=seeds)
    assert far.shape == many.shape
    assert (far == 0).all(dim=1).any()


@pytest.mark.parametrize(
    ("limit", "given", "message"),
    [
        (-1, 2, "limit must be a whole number >= 0, got -1"),
        (0.5, 2, "limit must be a whole number >= 0, got 0.5"),
        (1, 3, "images must have shape (3, 30), one for each seed and flattened, got (2, 30)"),
    ],
)
def test_wrong_arguments(limit, given, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        shifted(images(2), limit, SIZE, seeds=range(given))
