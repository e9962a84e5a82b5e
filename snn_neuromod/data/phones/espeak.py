"""Synthetic English speech with TIMIT's labels, from the espeak-ng that comes with pip."""

from __future__ import annotations

import contextlib
import functools
import importlib.metadata
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from snn_neuromod.data.cache import CACHE_VARIABLE, cache_folder
from snn_neuromod.data.phones.corpus import Split, Utterance, fingerprint
from snn_neuromod.data.phones.espeak_recordings import VOICES, generate
from snn_neuromod.data.phones.folder import TimitFolder
from snn_neuromod.data.phones.labels import SILENCE, TIMIT_LABELS
from snn_neuromod.errors import ConfigError, RunError

__all__ = ["EspeakCorpus"]

_FORM = 3  # to be raised whenever the same arguments give another corpus
_COUNT = "corpus.json"
_STALE_SECONDS = 3600.0


class EspeakCorpus:
    """English sentences spoken by 61 voices of espeak-ng, with TIMIT's labels; made when first used.

    The speakers of train, validation and test are different voices, each with its own speed and
    pitch per utterance; the sentences are drawn from templates and word lists. Three quarters of
    the time are for train, a tenth for validation, the rest for test. 54 of the 61 labels occur
    (not em eng nx ux hv epi pau); the labels are derived from the synthesis, see
    `espeak_phones`. The recordings lie in the cache folder in TIMIT's conventions (`TimitFolder`
    reads them too), with weak noise, as silence would be exactly zero. The same arguments give the
    same corpus.

    Espeak-ng is under the GPL-3; it runs as a program of its own.

    Args:
        cache: Folder for the recordings; None takes the cache folder of this package, which the
            environment variable `SNN_NEUROMOD_CACHE` changes. An interrupted synthesis leaves nothing
            there.
        seed: Seed of sentences, speeds, pitches and noise.
        minutes: Length of the corpus in minutes, at least 1. 20 take 42 MB and some seconds.

    Attributes:
        name: "espeak".
        labels: TIMIT's 61 labels.
        silence: "h#".

    Raises:
        ValueError: If an argument is wrong.
        ImportError: On first use, if espeakng-loader or scipy is not installed.
        OSError: On first use, if the cache folder cannot be written to.
        RunError: On first use, if espeak-ng fails, or the folder has lost files.
    """

    name = "espeak"
    labels = TIMIT_LABELS
    silence = SILENCE["timit"]

    def __init__(
        self,
        cache: str | os.PathLike[str] | None = None,
        *,
        seed: int = 0,
        minutes: float = 20.0,
    ) -> None:
        if not 1 <= minutes < float("inf"):
            raise ConfigError(f"EspeakCorpus: minutes must be at least 1, got {minutes}")
        if not (isinstance(seed, int) and seed >= 0):
            raise ConfigError(f"EspeakCorpus: seed must be an integer of at least 0, got {seed!r}")
        self.cache = None if cache is None else Path(cache).expanduser()
        self.seed = seed
        self.minutes = float(minutes)

    @property
    def identity(self) -> str:
        return self.folder.name

    @property
    def folder(self) -> Path:
        """Where the recordings lie, or will lie after the first use."""
        version = _espeak_version()
        key = fingerprint((_FORM, self.seed, self.minutes, version, VOICES))
        parent = cache_folder("corpora") if self.cache is None else self.cache
        return parent / f"espeak-{self.minutes:g}min-seed{self.seed}-{key}"

    def names(self, split: Split) -> Sequence[str]:
        return self._folder().names(split)

    def read(self, name: str) -> Utterance:
        return self._folder().read(name)

    def _folder(self) -> TimitFolder:
        folder = self.folder
        if not folder.is_dir():
            sys.stderr.write(f"EspeakCorpus: makes {self.minutes:g} minutes in {folder}\n")
            _make_whole(folder, self._fill)
        return _opened(folder)

    def _fill(self, folder: Path) -> None:
        count = generate(folder, seed=self.seed, minutes=self.minutes)
        about = {"utterances": count, "seed": self.seed, "minutes": self.minutes}
        (folder / _COUNT).write_text(json.dumps(about), "utf-8")


@functools.lru_cache(maxsize=8)
def _opened(folder: Path) -> TimitFolder:
    corpus = TimitFolder(folder)
    try:
        wanted = json.loads((folder / _COUNT).read_text("utf-8"))["utterances"]
        found = sum(len(corpus.names(split)) for split in VOICES)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _damaged(folder, str(error)) from error
    if found != wanted:
        raise _damaged(folder, f"{found} of {wanted} utterances are there")
    return corpus


def _damaged(folder: Path, what: str) -> RunError:
    return RunError(
        f"EspeakCorpus: {folder} has lost files ({what}). Delete this folder; it is made again "
        "at the next use"
    )


def _espeak_version() -> str:
    try:
        return importlib.metadata.version("espeakng-loader")
    except importlib.metadata.PackageNotFoundError:
        raise ImportError(
            "EspeakCorpus: espeakng-loader must be installed; run pip install 'snn-neuromod[audio]'"
        ) from None


def _make_whole(folder: Path, fill: Callable[[Path], None]) -> None:
    """Make a folder that is there with all its content or not at all.

    Two processes may do so at the same time: each fills a folder of its own, the first to finish
    gives it its name, the other throws its copy away.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    except OSError as error:
        raise OSError(
            f"EspeakCorpus: cannot write to {folder.parent} ({error}); give cache=FOLDER or set "
            f"the environment variable {CACHE_VARIABLE}"
        ) from error
    try:
        _remove_stale(folder)
        fill(draft)
        draft.chmod(0o755)
        try:
            draft.rename(folder)
        except OSError:
            if not folder.is_dir():
                raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _remove_stale(folder: Path) -> None:
    """Remove what processes left that were killed while they filled a folder of this name."""
    for draft in folder.parent.glob(f".{folder.name}.*"):
        # Another process may be removing it.
        with contextlib.suppress(OSError):
            if time.time() - draft.stat().st_mtime > _STALE_SECONDS:
                shutil.rmtree(draft, ignore_errors=True)
