"""Label sets and folding."""

from collections import Counter

import pytest

from snn_neuromod.data.phones import RUSSIAN_LABELS, TIMIT_LABELS, fold


def test_sizes():
    assert len(TIMIT_LABELS) == len(set(TIMIT_LABELS)) == 61
    assert len(RUSSIAN_LABELS) == len(set(RUSSIAN_LABELS)) == 51


@pytest.mark.parametrize("classes", [61, 48, 39])
def test_number_of_classes(classes):
    folded = {fold(label, to=classes) for label in TIMIT_LABELS}
    assert len(folded - {None}) == classes
    assert (None in folded) == (classes < 61)


def test_groups_of_the_39():
    """The groups of Lee and Hon's paper, written out."""
    groups = [
        {"sil", "cl", "vcl", "epi"},
        {"el", "l"},
        {"en", "n"},
        {"sh", "zh"},
        {"ao", "aa"},
        {"ih", "ix"},
        {"ah", "ax"},
    ]
    of_48 = {fold(label, to=48) for label in TIMIT_LABELS} - {None}
    pairs = {fold(label, to=48): fold(label, to=39) for label in TIMIT_LABELS}
    merged = Counter(pairs[label] for label in of_48)
    assert sorted(merged.values()) == [1] * 32 + [2] * 6 + [4]
    for group in groups:
        assert len({pairs[label] for label in group}) == 1


def test_mistakes():
    with pytest.raises(ValueError, match="one of TIMIT's 61 labels, got 'sil'"):
        fold("sil")
    with pytest.raises(ValueError, match="to must be 61, 48 or 39, got 40"):
        fold("iy", to=40)
