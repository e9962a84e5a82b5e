"""`python -m snn_neuromod.benchmarks [W1 ...]`: ratios in one run, on one thread unless told otherwise."""

from __future__ import annotations

import argparse
import platform
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from snn_neuromod.benchmarks.workloads import WORKLOADS, Workload

CHECK_STEPS = 20
"""Steps of the check before the timing: over long runs rounding alone can move a spike."""


def check(workload: Workload) -> None:
    """Refuse to time a wrong result.

    Raises:
        RuntimeError: If the reference and the layer do not agree on the gradient.
    """
    expected, found = workload.reference().flatten(), workload.layer().flatten()
    cosine = torch.nn.functional.cosine_similarity(expected, found, dim=0).item()
    if not (expected.norm() > 0 and cosine > 0.999):
        raise RuntimeError(f"{workload.title}: gradients must agree, got a cosine of {cosine:.4f}")


def measure(workload: Workload, repeats: int) -> tuple[list[float], list[float]]:
    """Seconds of the reference and of the layer, interleaved, after two warm-ups."""
    times: tuple[list[float], list[float]] = ([], [])
    for repeat in range(repeats + 2):
        for run, spent in zip((workload.reference, workload.layer), times, strict=True):
            seconds = _timed(run)
            if repeat >= 2:
                spent.append(seconds)
    return times


def _timed(run: Callable[[], Tensor]) -> float:
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    start = clock()
    run()
    return clock() - start


def main() -> None:
    """Print one row for each comparison, as it is measured."""
    parser = argparse.ArgumentParser(prog="python -m snn_neuromod.benchmarks", description=__doc__)
    known = ", ".join(WORKLOADS)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"workloads: {known}; default all")
    parser.add_argument("--repeats", type=int, default=9, help="timed repeats of each (default 9)")
    parser.add_argument("--threads", type=int, default=1, help="threads of PyTorch (default 1)")
    options = parser.parse_args()
    unknown = [name for name in options.names if name not in WORKLOADS]
    if unknown:
        parser.error(f"names must be among {known}, got {', '.join(unknown)}")
    if options.repeats < 1 or options.threads < 1:
        parser.error("--repeats and --threads must be at least 1")
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    what = "processor time" if options.threads == 1 else "wall time"
    print(f"torch {torch.__version__}, {platform.machine()}, {options.threads} thread(s), {what}")
    print(
        "| workload | reference scan, ms (min, median) | layer, ms (min, median) | ratio of minima |"
    )
    print("|---|---|---|---|")
    for name in options.names or WORKLOADS:
        for make, num_steps in WORKLOADS[name]:
            check(make(CHECK_STEPS))
            workload = make(num_steps)
            reference, layer = measure(workload, options.repeats)
            row = " | ".join(
                f"{min(spent) * 1e3:.0f}, {statistics.median(spent) * 1e3:.0f}"
                for spent in (reference, layer)
            )
            ratio = min(reference) / min(layer)
            print(f"| {name} {workload.title} | {row} | {ratio:.1f} |", flush=True)


if __name__ == "__main__":
    main()
