"""Two thousand bad calls in child processes: each is an exception; none kills the interpreter or is answered."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

import pytest

from tests.fresh import Fresh

CALLS, BATCH = 2000, 1000


class Outcome(NamedTuple):
    """How a call ended: "raised", "unclear" (another exception than one that callers expect), "silent" or "died"."""

    index: int
    kind: str
    label: str
    end: str
    message: str


def outcomes(fresh: Fresh, start: int, stop: int, before: str = "") -> list[Outcome]:
    """Run calls in children; one that dies is followed by another that goes on behind its last call."""
    found: list[Outcome] = []
    while start < stop:
        child = fresh(f"from tests.borders import child\n{before}child.main({start}, {stop})")
        for line in child.stdout.splitlines():
            index, kind, label, *end = line.split("\t")
            end = end if end and end[0] else [f"died with code {child.returncode}"]
            word, _, message = end[0].partition(" ")
            found.append(Outcome(int(index), kind, label, word, message))
        if child.returncode == 1 or (child.returncode and not child.stdout):
            raise RuntimeError(f"a bad call could not be drawn: {child.stderr}")
        start = found[-1].index + 1
    return found


@pytest.mark.slow
@pytest.mark.parametrize("start", range(0, CALLS, BATCH))
def test_every_bad_call_is_an_exception(start: int, fresh: Fresh) -> None:
    found = outcomes(fresh, start, start + BATCH)
    assert [outcome.index for outcome in found] == list(range(start, start + BATCH))
    wrong = [outcome for outcome in found if outcome.end in ("died", "silent")]
    lines = [f"{o.index} {o.end} {o.message} {o.kind}: {o.label}" for o in wrong]
    assert not wrong, f"{Counter(o.end for o in wrong)}\n" + "\n".join(lines)


def test_the_harness_tells_the_ends_apart(fresh: Fresh) -> None:
    """Negative control: a child that dies, and one that answers, are seen."""
    code = (
        "import os, torch; from tests.borders import kinds\n"
        "ends = [lambda: 1, lambda: torch.zeros(2) + torch.zeros(3), lambda: [][1], lambda: os.abort(), lambda: 2]\n"
        "child.bad_call = lambda i: kinds.BadCall('control', str(i), ends[i])\n"
    )
    ends = [outcome.end for outcome in outcomes(fresh, 0, 5, code)]
    assert ends == ["silent", "raised", "unclear", "died", "silent"]
