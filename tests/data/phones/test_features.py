"""MFCC features: number and place of frames, differences, labels, against a plain computation."""

import math
from typing import NamedTuple

import numpy as np
import pytest

from snn_neuromod.data.phones.features import Mfcc, differences, frame_labels

needs_kaldi = pytest.mark.usefixtures("_kaldi")


@pytest.fixture
def _kaldi():
    pytest.importorskip("kaldi_native_fbank")


class Phone(NamedTuple):
    start: int
    end: int
    label: str


def noise(n, seed=0):
    return (0.1 * np.random.default_rng(seed).standard_normal(n)).astype(np.float32)


def plain_cepstrum(frame, *, filters=26, rate=16_000):
    """13 coefficients of 400 samples in float64, from the definition."""
    x = frame.astype(np.float64)
    x = x - x.mean()
    x = x - 0.97 * np.concatenate([x[:1], x[:-1]])
    n = np.arange(400)
    x = x * (0.5 - 0.5 * np.cos(2 * np.pi * n / 399)) ** 0.85
    power = np.abs(np.fft.rfft(x, 512)) ** 2

    def mel(f):
        return 1127 * np.log(1 + f / 700)

    edges = np.linspace(mel(20), mel(rate / 2), filters + 2)
    bins = mel(np.arange(256) * rate / 512)
    energies = []
    for left, centre, right in zip(edges, edges[1:], edges[2:], strict=False):
        rise, fall = (bins - left) / (centre - left), (right - bins) / (right - centre)
        energies.append(np.maximum(0, np.minimum(rise, fall)) @ power[:256])
    log = np.log(energies)
    k, m = np.arange(13)[:, None], np.arange(filters)
    dct = math.sqrt(2 / filters) * np.cos(np.pi * k * (m + 0.5) / filters)
    dct[0] = math.sqrt(1 / filters)
    return (1 + 11 * np.sin(np.pi * np.arange(13) / 22)) * (dct @ log)


@needs_kaldi
def test_coefficients_of_each_frame_are_those_of_its_samples():
    samples = noise(400 + 160 * 5 + 159)
    found = Mfcc()(samples)
    assert found.shape == (6, 39)
    assert found.dtype == np.float32
    for i in range(6):
        expected = plain_cepstrum(samples[160 * i : 160 * i + 400])
        np.testing.assert_allclose(found[i, :13], expected, rtol=1e-3, atol=2e-3)


@needs_kaldi
@pytest.mark.parametrize(("samples", "frames"), [(400, 1), (559, 1), (560, 2), (16_000, 98)])
def test_number_of_frames(samples, frames):
    assert Mfcc().num_frames(samples) == frames
    assert len(Mfcc()(noise(samples))) == frames
    assert len(Mfcc().centres(frames)) == frames


@needs_kaldi
def test_differences_follow_and_first_leaves_out_the_loudness():
    samples = noise(8000)
    full, part = Mfcc()(samples), Mfcc(first=2)(samples)
    np.testing.assert_array_equal(full[:, 13:26], differences(full[:, :13]))
    np.testing.assert_array_equal(full[:, 26:], differences(full[:, 13:26]))
    kept = [c for c in range(39) if c % 13]
    np.testing.assert_array_equal(part, full[:, kept])
    louder = Mfcc(first=2)(4 * samples)[:, :12]
    np.testing.assert_allclose(louder, part[:, :12], atol=1e-3)
    assert (Mfcc()(4 * samples)[:, 0] - full[:, 0] > 1).all()
    assert Mfcc(differences=0)(samples).shape[1] == Mfcc(differences=0).num_channels == 13
    assert Mfcc(differences=1, first=2).num_channels == 24


@needs_kaldi
def test_the_same_again_and_no_outliers_in_digital_silence():
    samples = noise(8000) * 0.01
    np.testing.assert_array_equal(Mfcc()(samples), Mfcc()(samples))
    silent, faint = np.zeros(8000, np.float32), np.round(noise(8000) * 5) / 32768
    level = Mfcc()(silent)[:, 0].mean(), Mfcc()(faint)[:, 0].mean(), Mfcc()(samples)[:, 0].mean()
    assert abs(level[0] - level[1]) < 0.5 * abs(level[2] - level[1])


def test_differences_by_hand():
    features = np.array([[0], [1], [4], [9], [9]], dtype=np.float32)
    # (1 (c+1 - c-1) + 2 (c+2 - c-2)) / 10 with 0 and 9 repeated
    expected = [
        (1 + 2 * 4) / 10,
        (4 + 2 * 9) / 10,
        (8 + 2 * 9) / 10,
        (5 + 2 * 8) / 10,
        (2 * 5) / 10,
    ]
    np.testing.assert_allclose(differences(features)[:, 0], expected, rtol=1e-6)
    ramp = np.arange(9, dtype=np.float32)[:, None]
    np.testing.assert_allclose(differences(ramp)[2:-2], 1.0, rtol=1e-6)


def test_a_label_is_that_of_the_segment_at_the_centre():
    # Centres are 200, 360, 520, 680, 840: on a start, on an exclusive end, in a gap, outside.
    phones = [Phone(200, 360, "a"), Phone(360, 520, "b"), Phone(600, 681, "a")]
    labels = frame_labels(phones, Mfcc().centres(5), ["b", "a", "pau"], silence="pau")
    assert labels.tolist() == [1, 0, 2, 1, 2]
    assert labels.dtype == np.int64
    late = frame_labels([Phone(300, 400, "a")], Mfcc().centres(3), ["a", "pau"], silence="pau")
    assert late.tolist() == [1, 0, 1]


def test_audio_without_labels():
    assert frame_labels([], Mfcc().centres(2), ["a"], silence="a").tolist() == [-100, -100]


def test_wrong_segments():
    with pytest.raises(ValueError, match=r"labels of the corpus, got \['zz'\]"):
        frame_labels([Phone(0, 9, "zz")], Mfcc().centres(1), ["a"], silence="a")
    overlap = [Phone(0, 300, "a"), Phone(299, 400, "a")]
    with pytest.raises(ValueError, match="not overlap"):
        frame_labels(overlap, Mfcc().centres(1), ["a"], silence="a")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_coefficients": 0}, "num_coefficients must"),
        ({"num_coefficients": 27}, "num_coefficients must"),
        ({"first": 0}, "first must"),
        ({"first": 14}, "first must"),
        ({"differences": 3}, "differences must"),
        ({"num_filters": 2}, "num_filters must"),
        ({"window_ms": float("nan")}, "window_ms must"),
        ({"hop_ms": 0.0}, "hop_ms must"),
        ({"hop_ms": 0.01}, "hop_ms must"),
        ({"rate": 0}, "rate must"),
    ],
)
def test_settings_out_of_range(options, message):
    with pytest.raises(ValueError, match=f"Mfcc: {message}"):
        Mfcc(**options)


@pytest.mark.parametrize(
    "samples", [np.zeros(399), np.zeros((800, 2)), np.full(800, np.nan), np.full(800, np.inf)]
)
def test_unusable_samples(samples):
    with pytest.raises(ValueError, match="Mfcc: samples must be"):
        Mfcc()(samples)
