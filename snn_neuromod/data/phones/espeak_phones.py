"""From espeak-ng's phoneme events to TIMIT's labels, closures included.

espeak-ng reports the sample at which each phoneme of "en-us" begins. Three things differ from
TIMIT's way of labelling and are derived from the samples here:

- A stop's event stands at its burst. Its closure is the silence before it and, in voiced stops,
  also the voice bar, which lies after the event: a low hum whose differences from sample to sample
  are small beside its level.
- An l after a vowel is spoken within the vowel; its own event comes when it is over.
- Vowels with r and some diphthongs are one phoneme there, two labels here.

The last two are cut at a fixed proportion, found from the movement of the second formant.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from snn_neuromod.data.phones.corpus import Segment
from snn_neuromod.data.phones.labels import SILENCE
from snn_neuromod.errors import ConfigError

__all__ = ["join_pauses", "timit_segments"]

Samples = NDArray[np.int16]

_PAUSE = SILENCE["timit"]
_STRESS = "',%=|"
_LABELS: dict[str, tuple[str, ...]] = {
    # vowels
    "i:": ("iy",),
    "i": ("iy",),
    "I": ("ih",),
    "I2": ("ix",),
    "I#": ("ix",),
    "E": ("eh",),
    "eI": ("ey",),
    "a": ("ae",),
    "aa": ("ae",),
    "a#": ("ax",),
    "@": ("ax",),
    "@2": ("ax",),
    "@-": ("ax-h",),
    "3": ("axr",),
    "3:": ("er",),
    "V": ("ah",),
    "0": ("aa",),
    "A:": ("aa",),
    "O:": ("ao",),
    "O2": ("ao",),
    "OI": ("oy",),
    "oU": ("ow",),
    "U": ("uh",),
    "u:": ("uw",),
    "aI": ("ay",),
    "aU": ("aw",),
    # two labels in one phoneme
    "A@": ("aa", "r"),
    "O@": ("ao", "r"),
    "o@": ("ao", "r"),
    "e@": ("eh", "r"),
    "i@3": ("ih", "r"),
    "U@": ("uh", "r"),
    "aI3": ("ay", "axr"),
    "aI@": ("ay", "ax"),
    "i@": ("iy", "ax"),
    # syllabic consonants, nasals, glides
    "@L": ("el",),
    "n-": ("en",),
    "m": ("m",),
    "n": ("n",),
    "N": ("ng",),
    "l": ("l",),
    "r": ("r",),
    "r-": ("r",),
    "w": ("w",),
    "j": ("y",),
    "h": ("hh",),
    # fricatives, affricates, stops
    "f": ("f",),
    "v": ("v",),
    "T": ("th",),
    "D": ("dh",),
    "s": ("s",),
    "z": ("z",),
    "S": ("sh",),
    "Z": ("zh",),
    "tS": ("ch",),
    "dZ": ("jh",),
    "p": ("p",),
    "b": ("b",),
    "t": ("t",),
    "t2": ("t",),
    "d": ("d",),
    "k": ("k",),
    "g": ("g",),
    "t#": ("dx",),
    "?": ("q",),
}
_LINK = ";"  # transition between two vowels, left to the first
_CLOSURES = {
    "p": "pcl",
    "b": "bcl",
    "t": "tcl",
    "d": "dcl",
    "k": "kcl",
    "g": "gcl",
    "ch": "tcl",
    "jh": "dcl",
}
_VOICED_STOPS = ("b", "d", "g", "jh")
_GLIDES = ("l", "r")

_QUIET = 0.003  # of the utterance's peak
_MIN_CLOSURE = 0.005  # s
_HUM_WINDOW = 0.005  # s
_HUM = 0.12  # ratio of the levels of difference and signal; 0.05 is usual in the bar, 0.2 after it
_FIRST_SHARE = {"l": 0.67, "r": 0.5, "axr": 0.6, "ax": 0.6}


def timit_segments(
    phonemes: Sequence[tuple[int, str]], samples: Samples, rate: int
) -> list[Segment]:
    """TIMIT's labels of one synthesised utterance.

    Args:
        phonemes: (first sample, mnemonic) of each phoneme event, in order.
        samples: int16, shape (samples,), as synthesised: silence is zero.
        rate: Samples per second.

    Returns:
        Segments that follow one another without gap from 0 to the end, none of them empty.

    Raises:
        ValueError: If a mnemonic is unknown.
    """
    quiet = np.abs(samples.astype(np.int32)) <= _QUIET * np.abs(samples.astype(np.int32)).max()
    marks = _merged_vowels(_marks(phonemes, len(samples)), quiet)
    segments: list[Segment] = []
    for start, end, label in marks:
        before = segments.pop() if segments else Segment(0, start, _PAUSE)
        silent = start
        if before.label != _PAUSE and (label in _CLOSURES or label == "q"):
            tail = _tail(quiet, before.start, start)
            silent -= tail if tail >= _MIN_CLOSURE * rate else 0
        parts = [before._replace(end=silent), Segment(silent, end, label)]
        if label in _CLOSURES:
            burst = start + _voice_bar(samples[start:end], rate) * (label in _VOICED_STOPS)
            parts[1:] = [Segment(silent, burst, _CLOSURES[label]), Segment(burst, end, label)]
        segments += [part for part in parts if part.end > part.start]
    return join_pauses(segments)


def _marks(phonemes: Sequence[tuple[int, str]], num_samples: int) -> list[Segment]:
    """Phonemes under their labels; those of two labels still hold both, as "aa r"."""
    marks = [Segment(0, phonemes[0][0] if phonemes else num_samples, _PAUSE)]
    ends = [start for start, _ in phonemes[1:]] + [num_samples]
    for (start, mnemonic), end in zip(phonemes, ends, strict=True):
        name = mnemonic.lstrip(_STRESS)
        if name == _LINK:
            marks[-1] = marks[-1]._replace(end=end)
        elif not name or name.startswith("_"):
            marks.append(Segment(start, end, _PAUSE))
        elif name in _LABELS:
            marks.append(Segment(start, end, " ".join(_LABELS[name])))
        else:
            raise ConfigError(
                f"timit_segments: espeak-ng's phoneme {mnemonic!r} has no TIMIT label here; "
                "use the espeakng-loader of constraints.txt (0.2.4)"
            )
    return marks


def _merged_vowels(marks: Sequence[Segment], quiet: NDArray[np.bool_]) -> list[Segment]:
    """Cut vowels of two labels, and vowels whose l is over when its event comes."""
    cut: list[Segment] = []
    following = [mark.label for mark in marks[1:]] + [_PAUSE]
    for (start, end, label), after in zip(marks, following, strict=True):
        first, _, second = label.partition(" ")
        if second == "r" and after == "r":
            second = ""
        if label == "l" and cut and quiet[start:end].all():
            start, first, second = cut[-1].start, cut.pop().label, "l"
        if not second:
            cut.append(Segment(start, end, first))
            continue
        audible = end - _tail(quiet, start, end)
        middle = start + round(_FIRST_SHARE[second] * (audible - start))
        cut += [Segment(start, middle, first), Segment(middle, end, second)]
    return cut


def _tail(quiet: NDArray[np.bool_], start: int, end: int) -> int:
    """Number of quiet samples at the end of a stretch."""
    loud = np.flatnonzero(~quiet[start:end])
    return end - start - (int(loud[-1]) + 1 if loud.size else 0)


def _voice_bar(samples: Samples, rate: int) -> int:
    """Length of the hum at the beginning of a voiced stop, 0 if there is none."""
    width = round(_HUM_WINDOW * rate)
    count = len(samples) // width
    if count == 0:
        return 0
    windows = samples[: count * width].astype(np.float64).reshape(count, width)
    level = np.linalg.norm(windows, axis=1)
    hum = np.linalg.norm(np.diff(windows, axis=1), axis=1) <= _HUM * level
    # The first window may still hold the end of the sound before.
    others = np.flatnonzero(~hum[1:])
    length = 1 + int(others[0]) if others.size else count
    return 0 if length < 2 else (len(samples) if length == count else length * width)


def join_pauses(segments: Sequence[Segment]) -> list[Segment]:
    """Make one of pauses that follow one another, and leave out empty segments."""
    joined: list[Segment] = []
    for segment in segments:
        if joined and joined[-1].label == segment.label == _PAUSE:
            joined[-1] = joined[-1]._replace(end=segment.end)
        elif segment.end > segment.start:
            joined.append(segment)
    return joined
