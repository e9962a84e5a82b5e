"""Small recordings with labels, written by the tests."""

import wave

import numpy as np

LABELS = [(0, 400, "h#"), (400, 900, "sh"), (900, 1600, "iy")]


def noise(num_samples=1600, seed=0):
    """int16 samples that differ everywhere."""
    return np.random.default_rng(seed).integers(-20_000, 20_000, num_samples).astype(np.int16)


def write_riff(path, samples=None, *, rate=16_000, channels=1):
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((noise() if samples is None else samples).astype("<i2").tobytes())


def write_sphere(path, samples=None, *, rate=16_000, order="01", extra=(), announced=None, width=2):
    """A NIST SPHERE file with a header like that of the TIMIT disc."""
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = noise() if samples is None else samples
    fields = [
        "database_id -s5 TIMIT",
        "database_version -s3 1.0",
        "utterance_id -s8 cjf0_sa1",
        "channel_count -i 1",
        f"sample_count -i {len(samples) if announced is None else announced}",
        f"sample_rate -i {rate}",
        "sample_min -i -2191",
        "sample_max -i 2790",
        f"sample_n_bytes -i {width}",
        f"sample_byte_format -s2 {order}",
        "sample_sig_bits -i 16",
        *extra,
        "end_head",
    ]
    header = "\n".join(["NIST_1A", "   1024", *fields, ""]).encode().ljust(1024)
    path.write_bytes(
        header
        + samples.astype(f"{'<' if order == '01' else '>'}{'i2' if width == 2 else 'u1'}").tobytes()
    )


def write_phn(path, rows=LABELS):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{start} {end} {label}\n" for start, end, label in rows))


def write_utterance(folder, name, rows=LABELS, *, sphere=False, upper=False):
    """NAME.wav and NAME.phn below a folder; the noise is drawn from the name."""
    cased = str.upper if upper else str
    path = folder / cased(name)
    samples = noise(seed=sum(map(ord, name)))
    (write_sphere if sphere else write_riff)(path.with_suffix(cased(".wav")), samples)
    write_phn(path.with_suffix(cased(".phn")), rows)
    return samples
