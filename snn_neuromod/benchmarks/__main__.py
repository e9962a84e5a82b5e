"""`python -m snn_neuromod.benchmarks [W1 ...]`: ratios in one run, on one thread unless told otherwise."""

from __future__ import annotations

import argparse
import platform
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from snn_neuromod.benchmarks import backends, eprop, memory
from snn_neuromod.benchmarks.workloads import COMPARISONS, Workload

WORKLOADS = dict(
    sorted({**COMPARISONS, "C": backends.COMPARISONS, "W4": eprop.COMPARISONS}.items())
)
"""Comparisons of speed by the name of the workload."""

MEMORY = "W5"
"""Name of the comparison of memory."""

CHECK_STEPS = 20
"""Steps of the check before the timing: over long runs rounding alone can move a spike."""


def check(workload: Workload) -> None:
    """Refuse to time a wrong result.

    Raises:
        RuntimeError: If the reference and the layer do not agree on the gradient.
    """
    expected = (workload.oracle or workload.reference)().flatten()
    found = workload.layer().flatten()
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
    names = sorted([*WORKLOADS, MEMORY])
    known = ", ".join(names)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"workloads: {known}; default all")
    parser.add_argument("--repeats", type=int, default=9, help="timed repeats of each (default 9)")
    parser.add_argument("--threads", type=int, default=1, help="threads of PyTorch (default 1)")
    options = parser.parse_args()
    unknown = [name for name in options.names if name not in names]
    if unknown:
        parser.error(f"names must be among {known}, got {', '.join(unknown)}")
    if options.repeats < 1 or options.threads < 1:
        parser.error("--repeats and --threads must be at least 1")
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    what = "processor time" if options.threads == 1 else "wall time"
    print(f"torch {torch.__version__}, {platform.machine()}, {options.threads} thread(s), {what}")
    wanted = options.names or names
    if speed := [name for name in wanted if name in WORKLOADS]:
        print_speed(speed, options.repeats)
    if MEMORY in wanted:
        print_memory()


def print_speed(names: list[str], repeats: int) -> None:
    """Print one row for each comparison of speed."""
    print("| workload | reference, ms (min, median) | layer, ms (min, median) | ratio of minima |")
    print("|---|---|---|---|")
    for name in names:
        for make, num_steps in WORKLOADS[name]:
            check(make(CHECK_STEPS))
            workload = make(num_steps)
            reference, layer = measure(workload, repeats)
            row = " | ".join(
                f"{min(spent) * 1e3:.0f}, {statistics.median(spent) * 1e3:.0f}"
                for spent in (reference, layer)
            )
            ratio = min(reference) / min(layer)
            print(f"| {name} {workload.title} | {row} | {ratio:.1f} |", flush=True)


def print_memory() -> None:
    """Print the memory of online e-prop for each number of steps."""
    print("| workload | steps | memory, MB | processor time per step, ms |")
    print("|---|---|---|---|")
    for num_steps in memory.STEPS:
        size = memory.Size(steps=num_steps)
        used, seconds = memory.measure(size)
        title = f"{MEMORY} online e-prop, ALIF, N{size.neurons} B{size.batch}"
        per_step = seconds / num_steps * 1e3
        print(f"| {title} | {num_steps} | {used:.0f} | {per_step:.1f} |", flush=True)


if __name__ == "__main__":
    main()
