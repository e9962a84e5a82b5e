"""RIFF and SPHERE files."""

from pathlib import Path

import numpy as np
import pytest

from snn_neuromod.data.phones.audio import read_audio
from snn_neuromod.errors import DataError
from tests.data.phones.recordings import noise, write_riff, write_sphere

soundfile = pytest.importorskip("soundfile")

SHARED = Path(__file__).parents[3] / ".." / "shared" / "data" / "sphere_sample"


@pytest.mark.parametrize("order", ["01", "10"])
def test_sphere_as_on_the_timit_disc(tmp_path, order):
    write_sphere(tmp_path / "SX1.WAV", order=order)
    samples, rate = read_audio(tmp_path / "SX1.WAV")
    assert (samples.dtype, rate) == (np.float32, 16_000)
    np.testing.assert_array_equal(samples * 32768, noise())


@pytest.mark.parametrize(("coding", "suffix"), [("ulaw", ".au"), ("alaw", ".wav")])
def test_sphere_as_of_telephones(tmp_path, coding, suffix):
    """Libsndfile writes one byte a sample; the same bytes behind a SPHERE header read the same."""
    plain = tmp_path / f"a{suffix}"
    soundfile.write(plain, noise(), 8000, subtype=coding.upper())
    body = np.frombuffer(plain.read_bytes()[-1600:], np.uint8)
    write_sphere(
        tmp_path / "b.wav", body, rate=8000, extra=[f"sample_coding -s4 {coding}"], width=1
    )
    samples, rate = read_audio(tmp_path / "b.wav")
    assert rate == 8000
    np.testing.assert_array_equal(samples, read_audio(plain)[0])
    np.testing.assert_allclose(samples * 32768, noise(), rtol=0.04, atol=20)


def test_riff_equals_sphere(tmp_path):
    write_riff(tmp_path / "a.wav", rate=8000)
    samples, rate = read_audio(tmp_path / "a.wav")
    assert (samples.dtype, samples.shape, rate) == (np.float32, (1600,), 8000)
    np.testing.assert_array_equal(samples * 32768, noise())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"extra": ["sample_coding -s26 pcm,embedded-shorten-v2.00"]}, "sph2pipe"),
        ({"extra": ["sample_coding -s5 mu-17"]}, "must be plain pcm, ulaw or alaw, got 'mu-17'"),
        ({"extra": ["sample_coding -s4 ulaw"]}, "sample_n_bytes must be 1, got 2"),
        ({"extra": ["channel_count -i 2"]}, "channel_count must be 1, got 2"),
        ({"extra": ["sample_n_bytes -i 1"]}, "sample_n_bytes must be 2, got 1"),
        ({"extra": ["sample_byte_format -s1 1"]}, 'sample_byte_format must be "01"'),
        ({"extra": ["sample_rate -r 16000.0"]}, "sample_count and sample_rate as integers"),
        ({"extra": ["sample_rate -i many"]}, "header is damaged"),
        ({"announced": 1601}, "announces 1601 samples, the file holds 1600"),
        ({"announced": 160}, "announces 160 samples, the file holds 1600"),
        ({"announced": 0}, "sample_count and sample_rate as integers"),
        ({"announced": "9" * 5000}, "header is damaged"),
        ({"announced": "1_600"}, "header is damaged"),
        ({"rate": 16}, "must have 1000 to 1000000 samples per second, got 16"),
        ({"rate": -16_000}, "must have 1000 to 1000000 samples per second, got -16000"),
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
    (tmp_path / "a.wav").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_audio(tmp_path / "a.wav")


@pytest.mark.parametrize("length", ["0", "-1024", "1025", "2048", "1e3", "9" * 5000, "102400"])
def test_sphere_headers_of_a_length_that_makes_no_sense(tmp_path, length):
    write_sphere(tmp_path / "a.wav")
    raw = (tmp_path / "a.wav").read_bytes()
    (tmp_path / "a.wav").write_bytes(raw.replace(b"   1024", length.encode().rjust(7), 1))
    with pytest.raises(DataError, match=r"a\.wav: (the SPHERE header is damaged|header announces)"):
        read_audio(tmp_path / "a.wav")


@pytest.mark.parametrize(
    ("at", "value", "message"),
    [
        (12, b"fmx ", "announces|no samples|contradicts|cannot be read"),
        (16, b"\x08\0\0\0", "its format is cut"),
        (22, b"\0\0", "contradicts itself: 0 channels"),
        (22, b"\2\0", "contradicts itself: 2 channels of 16 bits"),
        (24, b"\x80\x3f\0\0", "contradicts itself: .* at 16256 samples per second"),
        (24, b"\1\0\0\0\2\0\0\0", "1000 to 1000000 samples per second, got 1"),
        (32, b"\3\0", "not 3 bytes a sample"),
        (34, b"\x18\0", "of 24 bits"),
        (36, b"dat\0", "there are no samples in it"),
        (40, b"\x82\x0c\0\0", "announces 3202 bytes of samples, the file holds 3200"),
        (40, b"\xff\xff\xff\x0f", "announces 268435455 bytes"),
        (40, b"\x7f\x0c\0\0", "of 2 bytes each, got 3199 bytes"),
    ],
)
def test_riff_headers_that_make_no_sense(tmp_path, at, value, message):
    path = tmp_path / "a.wav"
    write_riff(path)
    raw = bytearray(path.read_bytes())
    raw[at : at + len(value)] = value
    path.write_bytes(raw)
    with pytest.raises(DataError, match=rf"a\.wav: .*({message})"):
        read_audio(path)


@pytest.mark.parametrize("cut", [50, 1000, 3243])
def test_a_cut_riff_file_is_not_a_shorter_one(tmp_path, cut):
    write_riff(tmp_path / "a.wav")
    raw = (tmp_path / "a.wav").read_bytes()
    (tmp_path / "a.wav").write_bytes(raw[:cut])
    with pytest.raises(DataError, match=r"a\.wav: header announces 3200 bytes of samples"):
        read_audio(tmp_path / "a.wav")


def test_riff_files_of_streams_and_with_more_chunks(tmp_path):
    write_riff(tmp_path / "a.wav")
    raw = (tmp_path / "a.wav").read_bytes()
    chunk = b"LIST\x03\0\0\0abc\0"
    for content in (raw[:40] + b"\xff" * 4 + raw[44:], raw[:36] + chunk + raw[36:], raw + chunk):
        (tmp_path / "a.wav").write_bytes(content)
        np.testing.assert_array_equal(read_audio(tmp_path / "a.wav")[0] * 32768, noise())


def test_a_small_compressed_file_does_not_unpack_to_any_size(tmp_path, monkeypatch):
    soundfile.write(tmp_path / "a.flac", np.zeros(20_000), 16_000)
    assert len(read_audio(tmp_path / "a.flac")[0]) == 20_000
    monkeypatch.setattr("snn_neuromod.data.phones.audio._LIMIT", 19_999)
    with pytest.raises(DataError, match=r"a\.flac: must hold at most 19999 samples, got 20000"):
        read_audio(tmp_path / "a.flac")
    monkeypatch.undo()
    raw = (tmp_path / "a.flac").read_bytes()
    (tmp_path / "a.flac").write_bytes(raw[: len(raw) // 2])
    with pytest.raises(DataError, match=r"a\.flac: "):
        read_audio(tmp_path / "a.flac")


def test_two_channels_and_no_file(tmp_path):
    write_riff(tmp_path / "a.wav", channels=2)
    with pytest.raises(ValueError, match="must have one channel, got 2"):
        read_audio(tmp_path / "a.wav")
    with pytest.raises(FileNotFoundError):
        read_audio(tmp_path / "b.wav")


@pytest.mark.parametrize("samples", [[], [0.1, float("nan"), 0.2]])
def test_no_samples_and_no_numbers(tmp_path, samples):
    soundfile.write(tmp_path / "a.wav", np.array(samples, np.float32), 16_000, subtype="FLOAT")
    with pytest.raises(ValueError, match=r"a\.wav: must hold samples, all of them finite"):
        read_audio(tmp_path / "a.wav")


@pytest.mark.skipif(not SHARED.is_dir(), reason="the SPHERE sample is not here")
def test_sample_from_nist_tools():
    samples, rate = read_audio(SHARED / "chan3.sph")
    assert (len(samples), rate) == (230_108, 11_025)
    riff, riff_rate = read_audio(SHARED / "chan3.wav")
    assert riff_rate == rate
    np.testing.assert_array_equal(samples, riff)
    np.testing.assert_array_equal(samples * 32768, np.fromfile(SHARED / "chan3.raw", "<i2"))
