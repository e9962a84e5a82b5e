"""Change of the sampling rate."""

import numpy as np
import pytest

from snn_neuromod.data.phones.resampling import resample


def burst(rate, frequency, seconds=0.2):
    """A tone that begins and ends softly, and its times."""
    t = np.arange(round(rate * seconds)) / rate
    return np.sin(2 * np.pi * frequency * t) * np.sin(np.pi * t / seconds) ** 4


@pytest.mark.parametrize(("rate", "new"), [(22_050, 16_000), (8000, 16_000), (16_000, 16_000)])
def test_a_tone_keeps_its_pitch_level_and_time(rate, new):
    found = resample(burst(rate, 1234.5), rate, new)
    expected = burst(new, 1234.5)
    assert abs(len(found) - len(expected)) <= 1
    size = min(len(found), len(expected))
    np.testing.assert_allclose(found[:size], expected[:size], atol=1e-6)


def test_what_the_new_rate_cannot_hold_is_gone():
    assert np.abs(resample(burst(22_050, 9500), 22_050, 16_000)).max() < 1e-6
    assert np.abs(resample(burst(22_050, 7500), 22_050, 16_000)).max() > 0.9


@pytest.mark.parametrize("number", [1, 7, 440, 441, 66_151])
def test_length(number):
    assert len(resample(np.ones(number), 22_050, 16_000)) == -(-number * 320 // 441)
