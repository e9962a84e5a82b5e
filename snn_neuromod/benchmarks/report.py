"""The results as Markdown."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence

from snn_neuromod.benchmarks import table
from snn_neuromod.benchmarks.reading import Record
from snn_neuromod.benchmarks.results import Results
from snn_neuromod.benchmarks.table import Case
from snn_neuromod.benchmarks.variants import OURS

__all__ = ["markdown"]

HEAD = (
    "| variant | median, ms (quartiles) | min, ms | ratio | compile, s | memory, MB | spikes per step | "
    "cosine: short, whole | runs |\n|---|---|---|---|---|---|---|---|---|"
)


def markdown(results: Results, cases: Sequence[Case] = table.CASES) -> str:
    """All results: a table for each case, what was left out and why, and what each variant does differently.

    Args:
        results: The results.
        cases: The order of the cases; those without results are left out.

    Returns:
        Markdown, with headings of the second level.
    """
    parts = [_environments(results.environments)]
    for workload in table.WORKLOADS:
        found = [
            part for case in cases if case.workload == workload and (part := _case(case, results))
        ]
        if found:
            parts += [f"## {workload}: {table.TITLES[workload]}", *found, _differences(workload)]
    return "\n\n".join(parts) + "\n"


def _environments(environments: Iterable[Record]) -> str:
    lines = []
    for e in environments:
        versions = ", ".join(f"{name} {version}" for name, version in e["versions"].items())
        lines.append(
            f"- {e['date']}, commit {e['commit']}: {e['processor']} ({e['machine']}, {e['capability']}), "
            f"{e['cores']} cores, {e['memory_gb']} GB; {e['device']}, {e['threads']} thread(s), {e['clock']}; "
            f"Python {e['python']}, {versions}"
        )
    return "\n".join(dict.fromkeys(lines))


def _case(case: Case, results: Results) -> str | None:
    records = [
        record
        for variant in table.of(case.workload)
        if (record := results.find(case.workload, case.label, variant.name))
    ]
    timed = [record for record in records if record["status"] == "timed"]
    if not records:
        return None
    ours = next((min(r["seconds"]) for r in timed if r["variant"] == OURS), None)
    lines = [f"### {case.workload} {case.label}"]
    if timed:
        lines += ["", HEAD, *(_row(record, ours) for record in timed)]
    left = [f"- {r['title']}: {r['status']}, {r['reason']}" for r in records if r not in timed]
    return "\n".join([*lines, *([""] if left else []), *left])


def _row(record: Record, ours: float | None) -> str:
    seconds = record["seconds"]
    low, middle, high = _quartiles(seconds)
    ratio = "" if ours is None else f"{min(seconds) / ours:.3g}"
    compiled, memory = record.get("compile_s"), record.get("memory_mb")
    runs = f"{record['warm_ups']} + {len(seconds)}"
    parts = "".join(f"; {name} {_ms(value)}" for name, value in record.get("parts_s", {}).items())
    cells = [
        record["title"] + ("" if record["same"] else " *"),
        f"{_ms(middle)} ({_ms(low)} to {_ms(high)})" if len(seconds) > 1 else _ms(middle),
        _ms(min(seconds)) + parts,
        ratio,
        "" if compiled is None else f"{compiled:.1f}",
        "" if memory is None else f"{memory:.0f}",
        f"{_rate(record):.3f}",
        _cosines(record),
        runs,
    ]
    return f"| {' | '.join(cells)} |"


def _quartiles(seconds: Sequence[float]) -> tuple[float, float, float]:
    if len(seconds) < 2:
        return seconds[0], seconds[0], seconds[0]
    low, middle, high = statistics.quantiles(seconds, n=4, method="inclusive")
    return low, middle, high


def _ms(seconds: float) -> str:
    ms = 1e3 * seconds
    return f"{ms:.0f}" if ms >= 100 else f"{ms:.3g}"


def _rate(record: Record) -> float:
    quality: Record = record.get("whole") or record["check"]
    found: float = quality["rate"]
    return found


def _cosines(record: Record) -> str:
    if not record["same"]:
        return "own equations"
    short = f"{record['check']['cosine']:.5f}"
    whole: float | None = record.get("whole", {}).get("cosine")
    return short if whole is None else f"{short}, {whole:.5f}"


def _differences(workload: str) -> str:
    lines = [f"- {v.title}: {v.differs}" for v in table.of(workload) if v.differs]
    return "\n".join(lines)
