"""The results as a picture: how many times as long each variant takes as this package's layer."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path

from snn_neuromod._palette import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PALE,
    PURPLE,
    SKY,
    VERMILION,
    YELLOW,
)
from snn_neuromod._storage import write_atomically
from snn_neuromod.benchmarks import table
from snn_neuromod.benchmarks.reading import Record
from snn_neuromod.benchmarks.results import Results
from snn_neuromod.benchmarks.table import Case
from snn_neuromod.benchmarks.variants import OURS

__all__ = ["NAME", "draw", "ratios"]

NAME = "benchmarks.png"

MARKS = {
    "bytes": ("input spikes as bytes", PALE, "o"),
    "plain": ("without C kernels", PALE, "D"),
    "reference": ("loop under autograd", GREY, "o"),
    "compile": ("torch.compile", GREY, "P"),
    "snntorch": ("snnTorch", BLUE, "o"),
    "norse": ("Norse", ORANGE, "o"),
    "spikingjelly": ("SpikingJelly", GREEN, "o"),
    "sinabs": ("Sinabs", SKY, "o"),
    "jax": ("JAX", VERMILION, "o"),
    "spyx": ("Spyx", PURPLE, "o"),
    "traces": ("explicit traces", YELLOW, "s"),
    "eprop_pytorch": ("eprop-PyTorch's algorithm", YELLOW, "^"),
    "eprop": ("BrainTrace EProp", BLACK, "s"),
    "es_d_rtrl": ("BrainTrace ES-D-RTRL", BLACK, "v"),
}
"""Label, colour and marker of each variant."""


def ratios(results: Results, case: Case) -> dict[str, float]:
    """Least time of each timed variant of a case over that of this package's, which is left out.

    Args:
        results: The results.
        case: The case.

    Returns:
        Ratios by the names of the variants; empty where this package was not timed.
    """
    found: dict[str, Record] = {}
    for variant in table.of(case.workload):
        record = results.find(case.workload, case.label, variant.name)
        if record is not None and record["status"] == "timed":
            found[variant.name] = record
    ours = found.pop(OURS, None)
    if ours is None:
        return {}
    return {name: min(r["seconds"]) / min(ours["seconds"]) for name, r in found.items()}


def draw(results: Results, folder: Path, cases: Sequence[Case] = table.CASES) -> Path | None:
    """Draw all cases, one below the other.

    Args:
        results: The results.
        folder: Where the picture goes, as `NAME`.
        cases: Their order; those without results are left out.

    Returns:
        The file; None where matplotlib is not installed or there is nothing to compare.
    """
    rows = [(case, found) for case in cases if (found := ratios(results, case))]
    if not rows or importlib.util.find_spec("matplotlib") is None:
        return None
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    figure = Figure(figsize=(8, 1.6 + 0.28 * len(rows)), layout="constrained")
    ax = figure.subplots()
    for y, (_, found) in enumerate(rows):
        ax.axhline(y, color=PALE, linewidth=0.6, zorder=0)
        for name, ratio in found.items():
            _, colour, marker = MARKS[name]
            ax.plot(ratio, y, marker, color=colour, markeredgecolor=BLACK, markeredgewidth=0.4)
    ax.axvline(1, color=BLACK, linewidth=0.8)
    ax.set(xscale="log", ylim=(len(rows) - 0.5, -0.5), xlabel="time over that of snn_neuromod")
    ax.set_yticks(
        range(len(rows)), [f"{case.workload} {case.label}" for case, _ in rows], fontsize=8
    )
    ax.spines[["top", "right"]].set_visible(False)
    used = [name for name in MARKS if any(name in found for _, found in rows)]
    handles = [
        Line2D(
            [],
            [],
            linestyle="",
            marker=MARKS[n][2],
            color=MARKS[n][1],
            markeredgecolor=BLACK,
            label=MARKS[n][0],
        )
        for n in used
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=4, fontsize=8, frameon=False)
    write_atomically(folder / NAME, lambda file: figure.savefig(file, format="png", dpi=130))
    return folder / NAME
