"""Goes through the cases: checks each variant, times them in turns, measures memory, writes what is done."""

from __future__ import annotations

import contextlib
import random
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from snn_neuromod.benchmarks import table
from snn_neuromod.benchmarks.measure import WrongResultError
from snn_neuromod.benchmarks.outcome import UnableError
from snn_neuromod.benchmarks.reading import Record
from snn_neuromod.benchmarks.results import Results, environment
from snn_neuromod.benchmarks.table import Case, Variant
from snn_neuromod.benchmarks.worker import DiedError, Worker

__all__ = ["Options", "run"]

WARM_UPS = 3


@dataclass(frozen=True)
class Options:
    """How to measure.

    Attributes:
        repeats: Timed runs of each variant.
        budget: Seconds that the timed runs of one variant may take; fewer are made then, and at least one.
        threads: Number of threads.
        device: Where PyTorch computes.
        data: Folder of MNIST, or None.
        memory: Whether memory is measured.
        peers: Names of the variants; empty for all that are not optional.
        pythons: Interpreters of variants that have their own.
        overwrite: Measure again what is there.
    """

    repeats: int = 10
    budget: float = 60.0
    threads: int = 1
    device: str = "cpu"
    data: str | None = None
    memory: bool = True
    peers: Sequence[str] = ()
    pythons: Mapping[str, str] = field(default_factory=dict)
    overwrite: bool = False


class _Crew:
    """The processes of a run, by interpreter; one that died is replaced when it is needed."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self._workers: dict[str, Worker] = {}

    def python(self, variant: Variant) -> str:
        return self.options.pythons.get(variant.name, sys.executable)

    def call(self, method: str, case: Case, variant: Variant) -> Any:
        python = self.python(variant)
        if python not in self._workers:
            self._workers[python] = self._hire(python)
        try:
            return self._workers[python].call(method, case, variant)
        except DiedError:
            self._workers.pop(python).close()
            raise

    def alone(self, method: str, case: Case, variant: Variant) -> Any:
        """A call in a process of its own."""
        worker = self._hire(self.python(variant), memory=True)
        try:
            return worker.call(method, case, variant)
        finally:
            worker.close()

    def finish(self, case: Case) -> None:
        """Drop what belongs to a case."""
        for worker in self._workers.values():
            with contextlib.suppress(DiedError):
                worker.call("finish", case)

    def close(self) -> None:
        for worker in self._workers.values():
            worker.close()
        self._workers.clear()

    def _hire(self, python: str, *, memory: bool = False) -> Worker:
        o = self.options
        return Worker(python, o.device, o.threads, o.data, memory)


@contextmanager
def _crew(options: Options) -> Iterator[_Crew]:
    crew = _Crew(options)
    try:
        yield crew
    finally:
        crew.close()


def run(
    cases: Sequence[Case], results: Results, options: Options, say: Callable[[str], None]
) -> None:
    """Measure cases; each variant is written when it is done.

    Args:
        cases: What to measure.
        results: Where the records go; what is there is not measured again unless `overwrite` is set.
        options: How to measure.
        say: Called with lines of progress.
    """
    where = environment(options.device, options.threads)
    with _crew(options) as crew:
        for case in cases:
            say(f"{case.workload} {case.label}")
            turn = _Turn(case, crew, lambda record: results.add([record], where), say)
            turn.measure([v for v in asked(case, options) if _missing(case, v, results, options)])
            if options.memory:
                for variant in asked(case, options):
                    turn.remember(variant, results.find(case.workload, case.label, variant.name))


def asked(case: Case, options: Options) -> list[Variant]:
    """The variants that run a case."""
    return [
        variant
        for variant in table.of(case.workload)
        if (variant.name in options.peers if options.peers else not variant.optional)
        and all(case.overrides.get(k) == v for k, v in variant.overrides.items())
    ]


def _missing(case: Case, variant: Variant, results: Results, options: Options) -> bool:
    record = results.find(case.workload, case.label, variant.name)
    return options.overwrite or record is None or record["status"] != "timed"


class _Turn:
    """One case."""

    def __init__(
        self,
        case: Case,
        crew: _Crew,
        keep: Callable[[Record], None],
        say: Callable[[str], None],
    ) -> None:
        self.case, self.crew, self.keep, self.say = case, crew, keep, say

    def measure(self, variants: Sequence[Variant]) -> None:
        """Check and time variants, in turns."""
        ready: dict[str, tuple[Variant, Record, int]] = {}
        for variant in variants:
            record = _record(self.case, variant)
            try:
                ready[variant.name] = (variant, record, self._begin(variant, record))
            except _ERRORS as error:
                self._give_up(variant, record, error)
        self._take_turns(ready)
        if ready:
            self.crew.finish(self.case)

    def _begin(self, variant: Variant, record: Record) -> int:
        """Check a variant and run it once; the number of runs to come, warm-ups included."""
        case, call = self.case, self.crew.call
        record["check"] = _quality(call("check", case, variant))
        if case.workload == "W5":  # a long run whose memory counts: once, in a process of its own
            memory, seconds = self.crew.alone("memory", case, variant)
            record.update(memory_mb=memory, seconds=[seconds], warm_ups=0, first_s=seconds)
            return 0
        first, quality = call("start", case, variant)
        record["first_s"], record["whole"] = first, _quality(quality)
        self.say(f"  {variant.title}: checked, first run {first:.3g} s")
        if variant.compiles:
            warm, _ = call("time", case, variant)
            record["compile_s"], first = max(0.0, first - warm), warm
        options = self.crew.options
        affordable = int(options.budget / first)
        if affordable < WARM_UPS:  # every run counts where there are few
            record["warm_ups"], record["seconds"] = int(variant.compiles), [first]
            return max(0, affordable - 1)
        repeats = min(options.repeats, affordable)
        record["warm_ups"] = WARM_UPS if affordable > 2 * options.repeats else 1
        record["seconds"] = []
        return repeats + int(record["warm_ups"]) - 1

    def _take_turns(self, ready: Mapping[str, tuple[Variant, Record, int]]) -> None:
        left = dict(ready)
        for turn in range(1 + max((runs for _, _, runs in ready.values()), default=0)):
            # Another order each turn: what ran before leaves its traces in the caches.
            order = sorted(left)
            random.Random(turn).shuffle(order)
            for name in order:
                variant, record, runs = left[name]
                try:
                    if turn < runs:
                        seconds, parts = self.crew.call("time", self.case, variant)
                        if turn + 1 >= record["warm_ups"]:
                            record["seconds"].append(seconds)
                            record["parts_s"] = parts
                        continue
                except _ERRORS as error:
                    self._give_up(variant, record, error)
                else:
                    record["status"] = "timed"
                    self.keep(record)
                    found = record["seconds"]
                    self.say(f"  {variant.title}: {len(found)} runs, {min(found):.4g} s")
                del left[name]

    def _give_up(self, variant: Variant, record: Record, error: Exception) -> None:
        kinds = {UnableError: "skipped", WrongResultError: "refused"}
        record["status"] = kinds.get(type(error), "failed")
        record["reason"] = str(error)
        self.keep(record)
        self.say(f"  {variant.title}: {record['status']}, {record['reason']}")

    def remember(self, variant: Variant, record: Record | None) -> None:
        """Measure a timed variant's memory, if that was not done."""
        if record is None or record["status"] != "timed" or "memory_mb" in record:
            return
        try:
            record["memory_mb"], _ = self.crew.alone("memory", self.case, variant)
        except _ERRORS as error:
            self.say(f"  {variant.title}: memory not measured, {error}")
            return
        self.keep(record)
        self.say(f"  {variant.title}: {record['memory_mb']:.0f} MB")


_ERRORS = (UnableError, WrongResultError, DiedError, RuntimeError)


def _record(case: Case, variant: Variant) -> Record:
    return {
        "workload": case.workload,
        "label": case.label,
        "size": case.size._asdict(),
        "constants": dict(case.overrides),
        "variant": variant.name,
        "title": variant.title,
        "same": variant.same,
        "status": "failed",
    }


def _quality(values: Sequence[float | None]) -> dict[str, float | None]:
    return dict(zip(("rate", "cosine", "norm"), values, strict=True))
