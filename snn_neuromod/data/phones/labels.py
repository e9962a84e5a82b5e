"""Phone labels of the corpora, and the folding of TIMIT's labels for scoring.

References:
    J. S. Garofolo et al., "DARPA TIMIT acoustic-phonetic continuous speech corpus CD-ROM",
    NISTIR 4930 (1993): the 61 labels.
    K.-F. Lee, H.-W. Hon, "Speaker-independent phone recognition using hidden Markov models",
    IEEE Trans. ASSP 37:1641 (1989): the 48 classes for training, the 39 for scoring.
"""

from __future__ import annotations

from typing import Literal

from snn_neuromod.errors import ConfigError

__all__ = ["RUSSIAN_LABELS", "SILENCE", "TIMIT_LABELS", "fold"]

_TIMIT = (
    "iy ih eh ey ae aa aw ay ah ao oy ow uh uw ux er ax ix axr ax-h "
    "jh ch s sh z zh f th v dh m n ng em en eng nx l r w y hh hv el "
    "b d g p t k dx q bcl dcl gcl pcl tcl kcl pau epi h#"
)
TIMIT_LABELS: tuple[str, ...] = tuple(_TIMIT.split())
"""TIMIT's 61 labels: vowels, affricates and fricatives, nasals, glides, stops, closures, pauses."""

_RUSSIAN = (
    "a aa ae ay e ee i ii oo u ur uu y yy "
    "b bb c ch d dd f ff g gg h hh j k kk l ll m mm n nn p pp r rr s sch sh ss t tt v vv z zh zz "
    "pau"
)
RUSSIAN_LABELS: tuple[str, ...] = tuple(_RUSSIAN.split())
"""The 51 labels of festvox-ru: vowels, consonants (doubled: palatalised), pause."""

SILENCE = {"timit": "h#", "russian": "pau"}
"""Label of the pause in each of the named label sets."""

# Lee and Hon's table 2; labels that are not listed stay what they are.
_TO_48 = {
    "axr": "er",
    "ax-h": "ax",
    "ux": "uw",
    "em": "m",
    "nx": "n",
    "eng": "ng",
    "hv": "hh",
    "pcl": "cl",
    "tcl": "cl",
    "kcl": "cl",
    "bcl": "vcl",
    "dcl": "vcl",
    "gcl": "vcl",
    "h#": "sil",
    "pau": "sil",
}
# Lee and Hon's groups of classes whose confusions are not counted.
_TO_39 = {
    "ax": "ah",
    "ix": "ih",
    "ao": "aa",
    "el": "l",
    "en": "n",
    "zh": "sh",
    "cl": "sil",
    "vcl": "sil",
    "epi": "sil",
}


def fold(label: str, to: Literal[61, 48, 39] = 39) -> str | None:
    """Class of a TIMIT label after Lee and Hon's folding.

    Args:
        label: One of `TIMIT_LABELS`.
        to: Number of classes: 61 changes nothing, 48 merges allophones, 39 also merges the classes
            whose confusions are not counted. Training on 61 and scoring on 39 is usual.

    Returns:
        The class; None for the glottal stop `q`, which has no class among the 48 and 39.

    Raises:
        ValueError: If the label or the number of classes is unknown.

    Example:
        >>> fold("tcl"), fold("tcl", to=48), fold("zh"), fold("q")
        ('sil', 'cl', 'sh', None)
    """
    if label not in TIMIT_LABELS:
        raise ConfigError(f"fold: label must be one of TIMIT's 61 labels, got {label!r}")
    if to not in (61, 48, 39):
        raise ConfigError(f"fold: to must be 61, 48 or 39, got {to!r}")
    if to == 61:
        return label
    if label == "q":
        return None
    label = _TO_48.get(label, label)
    return label if to == 48 else _TO_39.get(label, label)
