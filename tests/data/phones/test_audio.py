"""RIFF and SPHERE files."""

from pathlib import Path

import numpy as np
import pytest

from snn_neuromod.data.phones.audio import read_audio
from tests.data.phones.recordings import noise, write_riff, write_sphere

SHARED = Path(__file__).parents[3] / ".." / "shared" / "data" / "sphere_sample"


@pytest.mark.parametrize("order", ["01", "10"])
def test_sphere_as_on_the_timit_disc(tmp_path, order):
    write_sphere(tmp_path / "SX1.WAV", order=order)
    samples, rate = read_audio(tmp_path / "SX1.WAV")
    assert (samples.dtype, rate) == (np.float32, 16_000)
    np.testing.assert_array_equal(samples * 32768, noise())


def test_riff_equals_sphere(tmp_path):
    pytest.importorskip("soundfile")
    write_riff(tmp_path / "a.wav", rate=8000)
    samples, rate = read_audio(tmp_path / "a.wav")
    assert (samples.dtype, samples.shape, rate) == (np.float32, (1600,), 8000)
    np.testing.assert_array_equal(samples * 32768, noise())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"extra": ["sample_coding -s26 pcm,embedded-shorten-v2.00"]}, "sph2pipe"),
        ({"extra": ["sample_coding -s4 ulaw"]}, "must be plain pcm, got 'ulaw'"),
        ({"extra": ["channel_count -i 2"]}, "channel_count must be 1, got 2"),
        ({"extra": ["sample_n_bytes -i 1"]}, "sample_n_bytes must be 2, got 1"),
        ({"extra": ["sample_byte_format -s1 1"]}, 'sample_byte_format must be "01"'),
        ({"extra": ["sample_rate -r 16000.0"]}, "sample_count and sample_rate as integers"),
        ({"extra": ["sample_rate -i many"]}, "header is damaged"),
        ({"announced": 1601}, "announces 1601 samples, the file holds 1600"),
    ],
)
def test_sphere_files_that_cannot_be_read(tmp_path, arguments, message):
    write_sphere(tmp_path / "a.wav", **arguments)
    with pytest.raises(ValueError, match=message) as caught:
        read_audio(tmp_path / "a.wav")
    assert str(tmp_path / "a.wav") in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"NIST_1A\n", "header is damaged"),
        (b"NIST_1A\n   1024\nsample_rate -i 16000\n", "header is damaged"),
        (b"NIST_1A\n   1k\nend_head\n", "header is damaged"),
        (b"RIFF and then nothing of the kind", "cannot be read as audio"),
    ],
)
def test_files_that_are_no_audio(tmp_path, content, message):
    pytest.importorskip("soundfile")
    (tmp_path / "a.wav").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_audio(tmp_path / "a.wav")


def test_two_channels_and_no_file(tmp_path):
    pytest.importorskip("soundfile")
    write_riff(tmp_path / "a.wav", channels=2)
    with pytest.raises(ValueError, match="must have one channel, got 2"):
        read_audio(tmp_path / "a.wav")
    with pytest.raises(FileNotFoundError):
        read_audio(tmp_path / "b.wav")


@pytest.mark.parametrize("samples", [[], [0.1, float("nan"), 0.2]])
def test_no_samples_and_no_numbers(tmp_path, samples):
    soundfile = pytest.importorskip("soundfile")
    soundfile.write(tmp_path / "a.wav", np.array(samples, np.float32), 16_000, subtype="FLOAT")
    with pytest.raises(ValueError, match=r"a\.wav: must hold samples, all of them finite"):
        read_audio(tmp_path / "a.wav")


@pytest.mark.skipif(not SHARED.is_dir(), reason="the SPHERE sample is not here")
def test_sample_from_nist_tools():
    pytest.importorskip("soundfile")
    samples, rate = read_audio(SHARED / "chan3.sph")
    assert (len(samples), rate) == (230_108, 11_025)
    riff, riff_rate = read_audio(SHARED / "chan3.wav")
    assert riff_rate == rate
    np.testing.assert_array_equal(samples, riff)
    np.testing.assert_array_equal(samples * 32768, np.fromfile(SHARED / "chan3.raw", "<i2"))
