"""Recordings of synthesised English in TIMIT's folder conventions: what is drawn, and the files."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import wave
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from snn_neuromod.data.phones import espeak_worker
from snn_neuromod.data.phones.corpus import Segment, Split
from snn_neuromod.data.phones.espeak_phones import join_pauses, timit_segments
from snn_neuromod.data.phones.labels import SILENCE
from snn_neuromod.data.phones.resampling import resample
from snn_neuromod.data.phones.sentences import sentence
from snn_neuromod.errors import RunError

__all__ = ["VOICES", "generate"]

# espeak-ng's variants of en-us that are voiced, have no echo (closures are silent), and differ from
# one another in their spectra: of near copies one is here.
VOICES: dict[Split, tuple[str, ...]] = {
    "train": (
        *("Alex", "Andrea", "Andy", "AnxiousAndy", "Denis", "Diogo", "Gene", "Henrique", "Jacky"),
        *("Lee", "Mike", "Mr serious", "Nguyen", "Reed", "Tweaky", "anika", "antonio", "aunty"),
        *("benjamin", "boris", "ed", "edward", "grandma", "grandpa", "gustave", "ian", "iven3"),
        *("john", "kaukovalta", "klatt3", "linda", "m1", "m4", "m6", "m7", "m8", "marcelo", "max"),
        *("miguel", "mike2", "norbert", "pedro", "rob", "robert", "travis", "victor", "zac"),
    ),
    "validation": ("Mario", "f1", "m5", "quincy", "sandro", "shelby"),
    "test": ("Annie", "Gene2", "Michael", "belinda", "david", "m3", "paul", "steph"),
}
"""Voices of each split; no voice is in two of them."""

_SHARES: dict[Split, float] = {"train": 0.75, "validation": 0.1, "test": 0.15}
_RATE = 16_000
_PAUSE = SILENCE["timit"]

# Numbers of espeak-ng's parameters, and their ranges: words per minute, base and range of pitch.
_PARAMETERS = {"1": (140, 200), "3": (30, 70), "4": (30, 70)}
_PAUSE_SECONDS = (0.05, 0.15)  # added at both ends
_LEVEL_DB = (-26.0, -20.0)  # root mean square of an utterance, of full scale
_NOISE_DB = (-45.0, -35.0)  # white noise, of that
_PEAK = 0.95


class _Plan(NamedTuple):
    """What is drawn for one utterance."""

    voice: str
    text: str
    parameters: dict[str, int]
    pauses: tuple[float, float]
    level_db: float
    noise_db: float
    seed: int


def _plan(seed: int, split: Split, index: int) -> _Plan:
    voices = VOICES[split]
    generator = np.random.default_rng((seed, list(VOICES).index(split), index))
    parameters = {
        number: int(generator.integers(low, high, endpoint=True))
        for number, (low, high) in _PARAMETERS.items()
    }
    return _Plan(
        voices[index % len(voices)],
        sentence(generator),
        parameters,
        (generator.uniform(*_PAUSE_SECONDS), generator.uniform(*_PAUSE_SECONDS)),
        generator.uniform(*_LEVEL_DB),
        generator.uniform(*_NOISE_DB),
        int(generator.integers(2**31)),
    )


def generate(folder: Path, *, seed: int, minutes: float) -> int:
    """Write a corpus.

    Args:
        folder: Empty folder, gets `SPLIT/VOICE/uNNNNN.wav`, `.phn` and `.txt`.
        seed: Seed of all that is drawn.
        minutes: Length of all splits together; each ends with the first utterance that reaches it.

    Returns:
        The number of utterances.

    Raises:
        RunError: If espeak-ng fails.
    """
    total = 0
    with tempfile.TemporaryFile() as messages:
        worker = _Worker(messages)
        try:
            for split, share in _SHARES.items():
                seconds, index = 0.0, 0
                while seconds < 60 * minutes * share:
                    plan = _plan(seed, split, index)
                    samples, segments = _recording(plan, *worker.ask(plan))
                    speaker = plan.voice.lower().replace(" ", "_")
                    path = folder / split / speaker / f"u{index:05}"
                    _write(path, plan.text, samples, segments)
                    seconds, index, total = seconds + len(samples) / _RATE, index + 1, total + 1
                    _show(split, seconds / (60 * minutes * share))
        finally:
            worker.stop()
            _show("done", 1.0, end="\n")
    return total


def _show(what: str, share: float, end: str = "") -> None:
    """Show progress where somebody may be looking."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\rSpeech synthesis: {what:10} {min(share, 1):4.0%}{end}")
        sys.stderr.flush()


class _Worker:
    """The process that holds espeak-ng; its messages go to a file."""

    def __init__(self, messages: IO[bytes]) -> None:
        self._messages = messages
        self._process = subprocess.Popen(
            [sys.executable, espeak_worker.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=messages,
        )

    def ask(self, plan: _Plan) -> tuple[NDArray[np.int16], list[tuple[int, str]], int]:
        """Samples as synthesised, phoneme events, and rate."""
        request = {
            "text": plan.text,
            "voice": f"en-us+{plan.voice}",
            "seed": plan.seed,
            "parameters": plan.parameters,
        }
        try:
            head, raw = self._exchange(json.dumps(request).encode() + b"\n")
        except (OSError, ValueError) as error:
            self.stop()
            self._messages.seek(0)
            lines = self._messages.read().decode("utf-8", "replace").strip().splitlines()
            raise RunError(
                f"EspeakCorpus: espeak-ng failed on {plan.text!r} with voice {plan.voice!r}: "
                f"{lines[-1] if lines else 'no message'}. Is espeakng-loader whole? "
                "pip install --force-reinstall espeakng-loader"
            ) from error
        phonemes = [(int(sample), str(mnemonic)) for sample, mnemonic in head["phonemes"]]
        return np.frombuffer(raw, np.int16), phonemes, int(head["rate"])

    def _exchange(self, line: bytes) -> tuple[dict[str, Any], bytes]:
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None:
            raise OSError("no pipes")
        stdin.write(line)
        stdin.flush()
        head: dict[str, Any] = json.loads(stdout.readline())
        raw = stdout.read(2 * int(head["samples"]))
        if len(raw) < 2 * int(head["samples"]):
            raise OSError("answer cut short")
        return head, raw

    def stop(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()


def _recording(
    plan: _Plan, raw: NDArray[np.int16], phonemes: list[tuple[int, str]], rate: int
) -> tuple[NDArray[np.int16], list[Segment]]:
    """Speech at 16 kHz between two pauses, at its level and with its noise."""
    lead, trail = (round(seconds * _RATE) for seconds in plan.pauses)
    speech = resample(raw.astype(np.float64) / 32768, rate, _RATE)
    speech = np.pad(speech, (lead, trail))
    level = 10 ** (plan.level_db / 20)
    noise = np.random.default_rng(plan.seed).standard_normal(len(speech))
    speech *= min(level / np.sqrt(np.mean(speech**2)), _PEAK / np.abs(speech).max())
    speech += level * 10 ** (plan.noise_db / 20) * noise
    samples = np.clip(np.round(speech * 32768), -32768, 32767).astype(np.int16)
    bounds = [
        (lead + round(start * _RATE / rate), lead + round(end * _RATE / rate), label)
        for start, end, label in timit_segments(phonemes, raw, rate)
    ]
    pauses = (0, bounds[0][0], _PAUSE), (bounds[-1][1], len(samples), _PAUSE)
    return samples, join_pauses([Segment(*bound) for bound in (pauses[0], *bounds, pauses[1])])


def _write(path: Path, text: str, samples: NDArray[np.int16], segments: Sequence[Segment]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path.with_suffix(".wav")), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(_RATE)
        file.writeframes(samples.astype("<i2").tobytes())
    lines = [f"{start} {end} {label}\n" for start, end, label in segments]
    path.with_suffix(".phn").write_text("".join(lines), "utf-8")
    path.with_suffix(".txt").write_text(f"0 {len(samples)} {text}\n", "utf-8")
