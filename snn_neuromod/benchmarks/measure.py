"""One variant measured: is its result right, how long does it take, how much memory does it use."""

from __future__ import annotations

import gc
import importlib
import importlib.util
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from snn_neuromod.benchmarks import outcome, problems
from snn_neuromod.benchmarks.outcome import Double, Outcome, Run, UnableError
from snn_neuromod.benchmarks.problems import Problem
from snn_neuromod.benchmarks.table import CHECKS, Case, Variant

__all__ = ["Bench", "Quality", "WrongResultError", "build", "compare", "missing"]

COSINE, NORM = 0.999, 0.02
"""What a variant of the same function must reach: cosine with the float64 gradient, and relative error of its norm."""

RATES = (0.0005, 0.6)
"""Spikes per neuron and step between which a network counts as alive."""

ORACLE_BYTES = 6e9
"""Largest estimated memory of the float64 run of a whole workload; above, only the short check is made."""


class WrongResultError(Exception):
    """A variant whose result is wrong, and which is therefore not timed."""


class Quality(NamedTuple):
    """How right a result is.

    Attributes:
        rate: Spikes per neuron and step.
        cosine: Cosine of the gradient with that of the reference in float64; None if they are not comparable.
        norm: Ratio of their norms; None likewise.
    """

    rate: float
    cosine: float | None = None
    norm: float | None = None


def missing(variant: Variant) -> str | None:
    """Why a variant cannot run in this interpreter; None if it can."""
    absent = [name for name in variant.needs if importlib.util.find_spec(name) is None]
    return f"{', '.join(absent)} not installed" if absent else None


def build(variant: Variant, problem: Problem) -> Run:
    """What is timed."""
    module, name = variant.build.split(":")
    function = getattr(importlib.import_module(f"snn_neuromod.benchmarks.peers.{module}"), name)
    run: Run = function(problem, **variant.arguments)
    return run


def reference(problem: Problem) -> Double:
    """Gradient of the reference in float64, as one vector."""
    name = "training:loop" if problem.workload == "W7" else f"reference:{problem.workload.lower()}"
    return outcome.flat(build(Variant("", problem.workload, "", name), problem.double())())


def compare(found: Outcome, expected: Double | None) -> Quality:
    """A result beside the expected gradient, if there is one of the same function."""
    rate, gradient = outcome.rate(found), outcome.flat(found)
    if expected is None or not gradient.size or not expected.size:
        return Quality(rate)
    size = float(np.linalg.norm(expected)), float(np.linalg.norm(gradient))
    with np.errstate(invalid="ignore", divide="ignore"):
        cosine = float(expected @ gradient / size[0] / size[1])
        return Quality(rate, cosine, size[1] / size[0])


def checked(variant: Variant, found: Outcome, expected: Double | None) -> Quality:
    """The quality of a result that is right.

    Raises:
        WrongResultError: If it is not: silent, not finite, or another gradient than the expected one.
    """
    quality, gradient = compare(found, expected), outcome.flat(found)
    if not RATES[0] < quality.rate < RATES[1]:
        raise WrongResultError(f"{variant.title}: {quality.rate:.5f} spikes per neuron and step")
    if not np.isfinite(gradient).all() or not gradient.any():
        raise WrongResultError(f"{variant.title}: the gradient is zero or not finite")
    if expected is not None and not (
        quality.cosine is not None
        and quality.norm is not None
        and quality.cosine > COSINE
        and abs(quality.norm - 1) < NORM
    ):
        raise WrongResultError(
            f"{variant.title}: the gradient's cosine with the reference is {quality.cosine:.4f}, "
            f"the ratio of norms {quality.norm:.3f}"
        )
    return quality


class Bench:
    """Builds and runs variants in this process.

    Args:
        device: Where PyTorch computes.
        threads: Number of threads; with one on a CPU, processor time is measured.
        data: Folder of MNIST, or None.
    """

    def __init__(self, device: str = "cpu", threads: int = 1, data: str | None = None) -> None:
        import torch

        torch.set_num_threads(threads)
        self.device, self.data = device, data
        single = device == "cpu" and threads == 1
        self._clock = time.process_time if single else time.perf_counter
        self._runs: dict[tuple[str, str], Run] = {}
        self._expected: tuple[str, Double | None] = ("", None)

    def _problem(self, case: Case, check: Variant | None = None) -> Problem:
        size, overrides = case.size, dict(case.overrides)
        if check is not None:
            limit = CHECKS[case.workload]
            size = problems.Size(*(min(a, b) for a, b in zip(size, limit, strict=True)))
            if case.workload == "W5":
                overrides["segment"] = 5.0
            overrides.update(check.check)
        return problems.make(
            case.workload, size, overrides=overrides, device=self.device, data=self.data
        )

    def check(self, case: Case, variant: Variant) -> Quality:
        """Run a short form of the case, and compare.

        Raises:
            WrongResultError: If the result is wrong.
            UnableError: If the variant cannot run here.
        """
        if reason := missing(variant):
            raise UnableError(reason)
        problem = self._problem(case, variant)
        expected = reference(problem) if variant.same else None
        return checked(variant, build(variant, problem)(), expected)

    def start(self, case: Case, variant: Variant) -> tuple[float, Quality]:
        """Build a variant at full size and run it once.

        Returns:
            Seconds of that run, and the quality of its result against the whole sequence in float64, if that fits.
        """
        seconds, found = self._time(case, variant)
        expected = None
        if variant.same and not variant.check and case.workload not in ("W5", "W7"):
            if self._expected[0] != case.workload + case.label:
                self._expected = (case.workload + case.label, self._whole(case))
            expected = self._expected[1]
        return seconds, compare(found, expected)

    def time(self, case: Case, variant: Variant) -> tuple[float, dict[str, float]]:
        """Seconds of one run, and of its parts."""
        seconds, found = self._time(case, variant)
        return seconds, found.seconds or {}

    def _time(self, case: Case, variant: Variant) -> tuple[float, Outcome]:
        key = (case.label, variant.name)
        if key not in self._runs:
            self._runs[key] = build(variant, self._problem(case))
        self.synchronise()
        start = self._clock()
        found = self._runs[key]()
        self.synchronise()
        return self._clock() - start, found

    def synchronise(self) -> None:
        """Wait for the device."""
        if self.device != "cpu":
            import torch

            torch.cuda.synchronize(self.device)

    def _whole(self, case: Case) -> Double | None:
        steps, batch, n, _ = case.size
        if 8 * 16 * steps * batch * n > ORACLE_BYTES or (case.workload == "W2" and n > 1000):
            return None
        return reference(self._problem(case))

    def finish(self, case: Case) -> None:
        """Drop all that belongs to a case."""
        self._runs.clear()
        self._expected = ("", None)
        gc.collect()

    def memory(self, case: Case, variant: Variant) -> tuple[float, float]:
        """One run in a process that does nothing else: peak memory above that before it, MB, and seconds.

        What the run returns counts.
        """
        if self.device != "cpu":
            return self._device_memory(case, variant)
        build(variant, self._problem(case, variant))()  # libraries load what they load
        run = build(variant, self._problem(case))
        if variant.compiles:
            run()
        gc.collect()
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        before, start = _resident("VmRSS"), self._clock()
        kept = run()
        seconds, peak = self._clock() - start, _resident("VmHWM") - before
        del kept
        return peak, seconds

    def _device_memory(self, case: Case, variant: Variant) -> tuple[float, float]:
        import torch

        run = build(variant, self._problem(case))
        run()
        gc.collect()
        torch.cuda.reset_peak_memory_stats(self.device)
        before, start = torch.cuda.memory_allocated(self.device), self._clock()
        kept = run()
        self.synchronise()
        seconds = self._clock() - start
        peak = torch.cuda.max_memory_allocated(self.device) - before
        del kept
        return peak / 2**20, seconds


def _resident(field: str) -> float:
    """A field of this process's status in MB; `getrusage` would count the parent's memory too."""
    status = Path("/proc/self/status")
    if not status.exists():
        raise UnableError("memory is measured on Linux only")
    lines = dict(line.split(":", 1) for line in status.read_text(encoding="ascii").splitlines())
    return float(lines[field].split()[0]) / 1024
