"""Files below folders, through links too, without going in circles."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

__all__ = ["files_below"]


def files_below(folders: Sequence[Path]) -> list[list[Path]]:
    """Files below each of several folders, which links to folders may hold; hidden ones are left out.

    A folder that is reached in several ways counts once: where it lies itself, else below the first of `folders` from
    which a link leads to it. A link to a folder that holds one of `folders` leads back and is not followed.

    Args:
        folders: The folders, those first to which a folder that several link to shall belong.

    Returns:
        For each folder the paths below it, as they are reached.

    Raises:
        OSError: If a folder cannot be read.
    """
    above = {parent for folder in folders for parent in folder.resolve().parents}
    seen: set[Path] = set()
    walks = [_Walk(folder, seen) for folder in folders]
    for walk in walks:
        walk.follow_links(above)
    return [walk.files for walk in walks]


class _Walk:
    """The files of one folder, first without its links; `seen` is shared by all walks."""

    def __init__(self, folder: Path, seen: set[Path]) -> None:
        self.files: list[Path] = []
        self.links: list[Path] = []
        self.seen = seen
        self.files.extend(self._own(folder))

    def follow_links(self, above: set[Path]) -> None:
        while self.links:
            link = self.links.pop(0)
            if link.resolve() not in above:
                self.files.extend(self._own(link))

    def _own(self, folder: Path) -> Iterator[Path]:
        """Files below a folder, without those behind links; notes the links."""
        for parent, folders, files in os.walk(folder, onerror=_raise):
            here = Path(parent)
            if here.resolve() in self.seen:
                folders.clear()
                continue
            self.seen.add(here.resolve())
            names = sorted(name for name in folders if not name.startswith("."))
            self.links += [here / name for name in names if (here / name).is_symlink()]
            folders[:] = [name for name in names if not (here / name).is_symlink()]
            yield from (here / name for name in sorted(files) if _is_recording(here / name))


def _is_recording(path: Path) -> bool:
    """Whether it is no hidden file, pipe or device; a broken link is told when it is read."""
    return path.name[0] != "." and (path.is_file() or path.is_symlink())


def _raise(error: OSError) -> None:
    raise error
