"""TIMIT's labels from phoneme events and samples made by hand, at 1 sample per 0.1 ms."""

import numpy as np
import pytest

from snn_neuromod.data.phones.espeak_phones import timit_segments
from snn_neuromod.data.phones.sentences import sentence, vocabulary

RATE = 10_000


def signal(*parts):
    """Stretches of (number of samples, "noise", "hum" or "silence")."""
    random = np.random.default_rng(0)
    sounds = {
        "noise": lambda n: random.choice([-9000, 9000], n),
        "hum": lambda n: np.round(3000 * np.cos(2 * np.pi * 100 / RATE * np.arange(n))),
        "silence": np.zeros,
    }
    return np.concatenate([sounds[kind](n) for n, kind in parts]).astype(np.int16)


def labels(phonemes, *parts):
    return [tuple(segment) for segment in timit_segments(phonemes, signal(*parts), RATE)]


def test_closure_is_the_silence_before_the_burst():
    events = [(100, "'a"), (900, "t"), (1200, "_:")]
    parts = [(100, "silence"), (500, "noise"), (300, "silence"), (300, "noise"), (50, "silence")]
    assert labels(events, *parts) == [
        (0, 100, "h#"),
        (100, 600, "ae"),
        (600, 900, "tcl"),
        (900, 1200, "t"),
        (1200, 1250, "h#"),
    ]


def test_no_closure_after_a_pause_and_none_below_5_ms():
    events = [(100, "t"), (400, "a"), (900, "k")]
    parts = [(100, "silence"), (760, "noise"), (40, "silence"), (300, "noise")]
    assert [label for *_, label in labels(events, *parts)] == ["h#", "t", "ae", "k"]
    parts = [(100, "silence"), (750, "noise"), (50, "silence"), (300, "noise")]
    assert [label for *_, label in labels(events, *parts)] == ["h#", "t", "ae", "kcl", "k"]


def test_voice_bar_belongs_to_the_closure():
    events = [(0, "a"), (700, "b"), (1300, "i:")]
    parts = [(500, "noise"), (200, "silence"), (400, "hum"), (900, "noise")]
    assert labels(events, *parts) == [
        (0, 500, "ae"),
        (500, 1100, "bcl"),
        (1100, 1300, "b"),
        (1300, 2000, "iy"),
    ]
    # never released
    parts = [(500, "noise"), (200, "silence"), (600, "hum"), (700, "noise")]
    assert labels(events, *parts)[1:] == [(500, 1300, "bcl"), (1300, 2000, "iy")]
    # without any: no closure, as after a nasal
    parts = [(2000, "noise")]
    assert labels(events, *parts)[1:2] == [(700, 1300, "b")]


def test_affricate_flap_and_glottal_stop():
    for mnemonic, expected in (
        ("tS", [(500, 700, "tcl"), (700, 900, "ch")]),
        ("t#", [(700, 900, "dx")]),
        ("?", [(500, 900, "q")]),
    ):
        found = labels(
            [(0, "a"), (700, mnemonic)], (500, "noise"), (200, "silence"), (200, "noise")
        )
        assert found[1:] == expected


def test_an_l_that_is_over_at_its_event_takes_the_end_of_the_vowel():
    events = [(0, "'E"), (1000, "l"), (1200, "p")]
    found = labels(events, (1000, "noise"), (200, "silence"), (100, "noise"))
    assert found == [(0, 670, "eh"), (670, 1000, "l"), (1000, 1200, "pcl"), (1200, 1300, "p")]
    events = [(0, "'E"), (1000, "l"), (1000, "D")]
    found = labels(events, (1300, "noise"))
    assert found == [(0, 670, "eh"), (670, 1000, "l"), (1000, 1300, "dh")]
    # an audible one keeps its own times
    events = [(0, "'E"), (1000, "l"), (1200, "D")]
    assert labels(events, (1300, "noise"))[:2] == [(0, 1000, "eh"), (1000, 1200, "l")]


def test_vowels_with_r():
    assert labels([(0, "A@"), (800, "m")], (1000, "noise")) == [
        (0, 400, "aa"),
        (400, 800, "r"),
        (800, 1000, "m"),
    ]
    found = labels([(0, "A@"), (800, "r-"), (900, "I")], (1000, "noise"))
    assert [label for *_, label in found] == ["aa", "r", "ih"]


def test_links_and_pauses():
    events = [(0, "i"), (300, ";"), (400, "I"), (600, "_:"), (700, "_"), (800, ""), (900, "%m")]
    assert labels(events, (600, "noise"), (300, "silence"), (100, "noise")) == [
        (0, 400, "iy"),
        (400, 600, "ih"),
        (600, 900, "h#"),
        (900, 1000, "m"),
    ]


def test_unknown_phoneme():
    with pytest.raises(ValueError, match="phoneme 'x' has no TIMIT label"):
        labels([(0, "x")], (100, "noise"))


def test_sentences():
    drawn = [sentence(np.random.default_rng(seed)) for seed in range(300)]
    assert drawn == [sentence(np.random.default_rng(seed)) for seed in range(300)]
    assert len(set(drawn)) == 300
    assert not any(mark in text for text in drawn for mark in "{}_")
    assert all(text[0].isupper() and text[-1] in ".?!" for text in drawn)
    assert len(vocabulary()) > 1200
