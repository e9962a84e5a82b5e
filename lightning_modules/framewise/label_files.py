"""Phone label files from the classes of frames."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from torch import Tensor

from lightning_modules.framewise.task import FramePrediction
from snn_neuromod._storage import write_text_atomically
from snn_neuromod.data.phones.corpus import Segment
from snn_neuromod.data.phones.features import Mfcc
from snn_neuromod.errors import ConfigError, StorageError

__all__ = ["check_folder", "merge_frames", "write_label_files"]


def merge_frames(
    classes: Sequence[int] | Tensor, names: Sequence[str], framing: Mfcc
) -> list[Segment]:
    """Segments of equal neighbouring frames.

    A segment begins halfway between the centres of its first frame and the frame before, so that each frame's centre
    lies in a segment of its own class. The first begins at sample 0, the last ends with the last frame's window.

    Args:
        classes: Class of each frame, (frames,).
        names: Names of the classes.
        framing: Where the frames lie.

    Returns:
        Segments without gaps, times in samples.

    Example:
        >>> from snn_neuromod.data.phones.features import Mfcc
        >>> [tuple(segment) for segment in merge_frames([1, 1, 0], ["a", "pau"], Mfcc())]
        [(0, 440, 'pau'), (440, 720, 'a')]
    """
    found = np.asarray(classes)
    if not len(found):
        return []
    first = np.flatnonzero(np.diff(found, prepend=found[0] - 1))
    centres = framing.centres(len(found))
    starts = np.where(first > 0, centres[first] - framing.hop // 2, 0).tolist()
    last = int(centres[-1]) - framing.window // 2 + framing.window
    ends = [*starts[1:], last]
    labels = [names[k] for k in found[first]]
    return [Segment(*row) for row in zip(starts, ends, labels, strict=True)]


def check_folder(output: Path) -> None:
    """Refuse an output that cannot be written, before it is computed.

    Raises:
        ConfigError: If the folder around it does not exist.
        StorageError: If nothing can be written there.
    """
    place = Path(os.path.realpath(output))
    if not place.parent.is_dir():
        raise ConfigError(
            f"predict: output must lie in an existing folder, got {output}; make {output.parent} first"
        )
    replaced = place.is_file() or not place.exists()  # by another in the same folder
    if not os.access(place.parent if replaced else place, os.W_OK):
        raise StorageError(f"{output}: cannot be written (read-only, or another user's)")


def write_label_files(
    batches: Sequence[FramePrediction],
    folder: Path,
    *,
    names: Sequence[str],
    framing: Mfcc,
) -> str:
    """Write a file NAME.phn of lines "start end label", in samples, for each utterance.

    Args:
        batches: The predictions.
        folder: Folder of the files, made if its parent exists; names of utterances may hold folders below it.
        names: Names of the classes.
        framing: Where the frames lie.

    Returns:
        A sentence about it.

    Raises:
        ConfigError: If the folder's parent does not exist, or there is a file of the folder's name.
    """
    if folder.exists() and not folder.is_dir():
        raise ConfigError(
            f"predict: output must be a folder for label files, got the file {folder}"
        )
    check_folder(folder)
    number, right, total = 0, 0.0, 0
    for batch in batches:
        known = batch.labels >= 0
        hits = (batch.classes == batch.labels) & known if batch.right is None else batch.right
        right += float(hits.sum())
        total += int(known.sum())
        columns = batch.classes.cpu().T
        for name, classes, length in zip(batch.names, columns, batch.lengths.tolist(), strict=True):
            path = folder / f"{name}.phn"
            rows = merge_frames(classes[:length].numpy(), names, framing)
            text = "".join(f"{start} {end} {label}\n" for start, end, label in rows)
            write_text_atomically(path, text)
            number += 1
    share = f", {right / total:.2%} of the frames right" if total else ""
    return f"labels of {number} utterances{share}: {folder}"
