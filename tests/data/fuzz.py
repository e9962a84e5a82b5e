"""Damaged files for every reader: none may end in anything but a typed error that names the file.

    python -m tests.data.fuzz --inputs 200000 --seed 0

prints the table of docs/reliability.md; test_fuzz.py runs a small part of it. A file is damaged in one to three places
by cuts, flipped bits, other bytes or numbers, repeated or missing parts; what is accepted all the same must still be a
possible result.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from snn_neuromod.errors import DataError

OUTCOMES = (
    "refused by name",
    "read with a warning",
    "read",
    "not named",
    "another error",
    "misread",
)
FAULTS = OUTCOMES[3:]

Write = Callable[[Path], None]
Read = Callable[[Path], None]


class Reader(NamedTuple):
    """One reader under test.

    Attributes:
        write: Writes a folder of whole files.
        damaged: Names of the files below it, one of which is damaged at a time.
        read: Reads the folder, and asserts that what it gets can be.
    """

    name: str
    write: Write
    damaged: tuple[str, ...]
    read: Read


def mutate(content: bytes, draw: Random) -> bytes:
    """Damage a file in one to three ways."""
    for _ in range(draw.randint(1, 3)):
        content = draw.choice(_WAYS)(content, draw)
    return content


def _place(content: bytes, draw: Random) -> int:
    """A position, every second time among the first bytes, where headers are."""
    return draw.randrange(min(len(content), draw.choice([64, len(content) or 1])) or 1)


def _cut(content: bytes, draw: Random) -> bytes:
    return content[: draw.randint(0, len(content))]


def _flip(content: bytes, draw: Random) -> bytes:
    at = _place(content, draw)
    return (
        content[:at]
        + bytes(b ^ 1 << draw.randrange(8) for b in content[at : at + 1])
        + content[at + 1 :]
    )


def _overwrite(content: bytes, draw: Random) -> bytes:
    at, new = _place(content, draw), draw.choice(_PIECES)
    return content[:at] + new + content[at + len(new) :]


def _insert(content: bytes, draw: Random) -> bytes:
    at = _place(content, draw)
    return content[:at] + draw.choice([*_PIECES, draw.randbytes(draw.randint(1, 9))]) + content[at:]


def _remove(content: bytes, draw: Random) -> bytes:
    at = _place(content, draw)
    return content[:at] + content[at + draw.randint(1, 16) :]


def _repeat(content: bytes, draw: Random) -> bytes:
    at = _place(content, draw)
    return content[:at] + content[at : at + draw.randint(1, 64)] + content[at:]


def _digit(content: bytes, draw: Random) -> bytes:
    """Another digit or sign in the place of one, as in headers of text and tables."""
    places = [i for i, b in enumerate(content[:4096]) if 48 <= b < 58]
    if not places:
        return _flip(content, draw)
    at = draw.choice(places)
    return (
        content[:at]
        + draw.choice([b"0", b"9", b"-", b".", b"e", b" ", b"99999999999"])
        + content[at + 1 :]
    )


def _other(content: bytes, draw: Random) -> bytes:
    return draw.choice([b"", b"<html>404</html>", bytes(50), draw.randbytes(50), content + content])


_PIECES = (
    b"\0", b"\xff", b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"\x80\0\0\0",
    b"\n", b"\r\n", b"\xef\xbb\xbf", b"nan", b"inf", b"1e999", b"-1", b" ", b",", b'"', b"{", b"NaN",
)  # fmt: skip
_WAYS = (_cut, _flip, _flip, _overwrite, _insert, _remove, _repeat, _digit, _other)


@contextmanager
def folder_of(reader: Reader) -> Iterator[tuple[Path, dict[str, bytes]]]:
    """A folder of whole files, and the content of those that are to be damaged."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "data"
        folder.mkdir()
        reader.write(folder)
        yield folder, {name: (folder / name).read_bytes() for name in reader.damaged}


def outcome(reader: Reader, folder: Path, whole: dict[str, bytes], draw: Random) -> tuple[str, str]:
    """What becomes of one damaged file, and the error if there was one; leaves the folder whole again."""
    name = draw.choice(reader.damaged)
    (folder / name).write_bytes(mutate(whole[name], draw))
    try:
        return _outcome(reader, folder)
    finally:
        for other, content in whole.items():
            (folder / other).write_bytes(content)


def _outcome(reader: Reader, folder: Path) -> tuple[str, str]:
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            reader.read(folder)
        except AssertionError as error:
            return "misread", repr(error)
        except (DataError, FileNotFoundError) as error:
            return ("refused by name" if str(folder) in str(error) else "not named"), repr(error)
        except Exception as error:
            return "another error", repr(error)
    named = any(str(folder) in str(warning.message) for warning in said)
    return ("read with a warning" if named else "read"), ""


def table(counts: dict[str, Counter[str]]) -> str:
    """The outcomes, in Markdown."""
    lines = [
        "| reader | inputs | " + " | ".join(OUTCOMES) + " |",
        "|---" * (2 + len(OUTCOMES)) + "|",
    ]
    total = Counter[str]()
    for name, found in counts.items():
        total += found
        lines.append(_row(name, found))
    return "\n".join([*lines, _row("all", total)])


def _row(name: str, found: Counter[str]) -> str:
    cells = [f"{number:,}" for number in (sum(found.values()), *(found[kind] for kind in OUTCOMES))]
    return f"| {name} | " + " | ".join(cells) + " |"


def main() -> int:
    """Run all readers over as many inputs as are asked for; returns the number of faults."""
    from tests.data.fuzz_readers import READERS

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--inputs", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    counts: dict[str, Counter[str]] = {}
    examples: dict[tuple[str, str], Any] = {}
    for number, reader in enumerate(READERS):
        share = len(range(number, options.inputs, len(READERS)))
        counts[reader.name] = Counter()
        with folder_of(reader) as (folder, whole):
            for index in range(share):
                kind, error = outcome(
                    reader, folder, whole, Random(f"{options.seed} {number} {index}")
                )
                counts[reader.name][kind] += 1
                if kind in FAULTS:
                    examples.setdefault((reader.name, kind), (index, error))
            shutil.rmtree(folder)
        print(_row(reader.name, counts[reader.name]), file=sys.stderr, flush=True)
    print(table(counts))
    for key, example in examples.items():
        print(*key, *example, file=sys.stderr)
    return sum(found[kind] for found in counts.values() for kind in FAULTS)


if __name__ == "__main__":
    sys.exit(min(1, main()))
