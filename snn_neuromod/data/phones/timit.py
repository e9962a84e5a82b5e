"""The TIMIT corpus as its users have it from the LDC, with the usual three splits.

References:
    J. S. Garofolo et al., "TIMIT acoustic-phonetic continuous speech corpus", LDC93S1 (1993): the
    core test set.
    A. K. Halberstadt, "Heterogeneous acoustic measurements and multiple classifiers for speech
    recognition", PhD thesis, MIT (1998): the 50 speakers of the development set.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from snn_neuromod.data.phones.corpus import Split, Utterance, check_split
from snn_neuromod.data.phones.folder import TimitFolder
from snn_neuromod.data.phones.labels import SILENCE, TIMIT_LABELS

__all__ = ["CORE_TEST_SPEAKERS", "DEVELOPMENT_SPEAKERS", "Timit"]

_CORE_TEST = """
    mdab0 mwbt0 felc0  mtas1 mwew0 fpas0  mjmp0 mlnt0 fpkt0  mlll0 mtls0 fjlm0
    mbpm0 mklt0 fnlp0  mcmj0 mjdh0 fmgd0  mgrt0 mnjm0 fdhc0  mjln0 mpam0 fmld0
"""
CORE_TEST_SPEAKERS = frozenset(_CORE_TEST.split())
"""Two men and a woman of each of the eight dialect regions: 192 utterances without SA."""

_DEVELOPMENT = """
    fadg0 faks0 fcal1 fcmh0 fdac1 fdms0 fdrw0 fedw0 fgjd0 fjem0 fjmg0 fjsj0 fkms0 fmah0 fmml0 fnmr0
    frew0 fsem0 majc0 mbdg0 mbns0 mbwm0 mcsh0 mdlf0 mdls0 mdvc0 mers0 mgjf0 mglb0 mgwt0 mjar0 mjfc0
    mjsw0 mmdb1 mmdm2 mmjr0 mmwh0 mpdf0 mrcs0 mreb0 mrjm4 mrjr0 mroa0 mrtk0 mrws1 mtaa0 mtdt0 mteb0
    mthc0 mwjg0
"""
DEVELOPMENT_SPEAKERS = frozenset(_DEVELOPMENT.split())
"""Fifty speakers of the folder TEST that are not in the core test set: 400 utterances without SA."""

_SIZES: dict[Split, int] = {"train": 3696, "validation": 400, "test": 192}
_INSIDE = ("", "timit", "TIMIT", "data", "timit/timit", "TIMIT/TIMIT")


class Timit:
    """TIMIT, 61 labels: 3696 utterances for training, 400 for validation, 192 for test.

    The corpus is licensed by the LDC (LDC93S1) and has to be bought there. Its SPHERE files and
    RIFF copies are both read, in upper or lower case, see `TimitFolder`. The sentences SA1 and SA2,
    which every speaker reads, are left out. Validation and test are the utterances of
    `DEVELOPMENT_SPEAKERS` and `CORE_TEST_SPEAKERS` in the folder TEST; its other speakers are not
    used. It is usual to train on all 61 labels and to score on 39, see `labels.fold`.

    Args:
        root: Folder that holds TRAIN and TEST, or holds a folder `timit` or `data` that does.
        complete: Whether all of the 4288 utterances must be there. False allows a part of TIMIT;
            results on it are not comparable with others.

    Attributes:
        name: "timit".
        labels: The 61 labels.
        silence: "h#".

    Raises:
        FileNotFoundError: On first use, if root does not hold the corpus, utterances are missing,
            or audio or labels lack their counterpart.
        ValueError: On reading, if audio or labels are wrong.
    """

    name = "timit"
    labels = TIMIT_LABELS
    silence = SILENCE["timit"]

    def __init__(self, root: str | os.PathLike[str], *, complete: bool = True) -> None:
        self.root = Path(root).expanduser()
        self.complete = complete

    def names(self, split: Split) -> Sequence[str]:
        check_split("Timit", split)
        return self._splits[split]

    def read(self, name: str) -> Utterance:
        utterance = self._folder.read(name)
        return utterance._replace(speaker=utterance.speaker.lower())

    @property
    def identity(self) -> str:
        return f"{self.name}-{self._folder.identity}"

    @cached_property
    def _folder(self) -> TimitFolder:
        for inside in _INSIDE:
            folder = self.root / inside
            here = {path.name.lower() for path in folder.iterdir()} if folder.is_dir() else set()
            if {"train", "test"} <= here:
                return TimitFolder(folder)
        raise FileNotFoundError(
            f"Timit: root must hold the folders TRAIN and TEST of LDC93S1, got {self.root}. "
            "Copy the corpus there or correct root"
        )

    @cached_property
    def _splits(self) -> dict[Split, list[str]]:
        training = [*self._folder.names("train"), *self._folder.names("validation")]
        testing = self._folder.names("test")
        splits: dict[Split, list[str]] = {
            "train": sorted(filter(_counts, training), key=str.lower),
            "validation": [
                n for n in testing if _counts(n) and _speaker(n) in DEVELOPMENT_SPEAKERS
            ],
            "test": [n for n in testing if _counts(n) and _speaker(n) in CORE_TEST_SPEAKERS],
        }
        for split, size in _SIZES.items():
            wanted = len(splits[split]) == size if self.complete else splits[split]
            if not wanted:
                raise FileNotFoundError(
                    f"Timit: {self._folder.root} must hold {size} utterances for {split}, found "
                    f"{len(splits[split])}. Copy the corpus again; complete=False is content with one"
                )
        return splits


def _speaker(name: str) -> str:
    return name.lower().split("/")[-2]


def _counts(name: str) -> bool:
    """Whether it is no SA sentence."""
    return not name.lower().split("/")[-1].startswith("sa")
