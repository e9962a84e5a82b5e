"""A process that measures: requests come as JSON lines, answers go back the same way.

Variants of one interpreter share a process; one that is asked to run elsewhere, or whose memory is measured, has its
own. So a variant that dies takes no other with it.
"""

from __future__ import annotations

import contextlib
import faulthandler
import json
import os
import subprocess
import sys
from typing import Any, TextIO

from snn_neuromod.benchmarks.measure import Bench, WrongResultError
from snn_neuromod.benchmarks.outcome import UnableError
from snn_neuromod.benchmarks.problems import Size
from snn_neuromod.benchmarks.table import Case
from snn_neuromod.benchmarks.variants import VARIANTS, Variant

__all__ = ["DiedError", "Worker"]

LIMIT = 240
"""Seconds of a request on a device; what takes longer hangs."""


class DiedError(Exception):
    """The process ended before it answered, or with its answer."""


ERRORS = {
    "WrongResultError": WrongResultError,
    "UnableError": UnableError,
    "DiedError": DiedError,
}


class Worker:
    """The parent's end.

    Args:
        python: The interpreter.
        device: Where PyTorch computes.
        threads: Number of threads, and of cores the process is held to.
        data: Folder of MNIST, or None.
        memory: Whether freed memory is given back at once, so that a peak can be read; else glibc keeps it, as in
            training by the command line, so that no variant is timed with the page faults of another.
    """

    def __init__(
        self,
        python: str = sys.executable,
        device: str = "cpu",
        threads: int = 1,
        data: str | None = None,
        memory: bool = False,
    ) -> None:
        environment = {**os.environ, **_environment(device, threads, memory)}
        options = json.dumps({"device": device, "threads": threads, "data": data})
        self._process = subprocess.Popen(
            [python, "-m", __name__, options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
            start_new_session=True,
        )

    def call(self, method: str, case: Case, variant: Variant | None = None) -> Any:
        """Ask for a method of `Bench`.

        Raises:
            DiedError: If the process ended.
            WrongResultError: If a result is wrong.
            UnableError: If the variant cannot run there.
            RuntimeError: If it failed otherwise.
        """
        request = {
            "method": method,
            "case": {**vars(case), "size": list(case.size)},
            "variant": None if variant is None else [variant.workload, variant.name],
        }
        try:
            self._stdin.write(json.dumps(request) + "\n")
            self._stdin.flush()
            line = self._stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise DiedError(f"the process ended with status {self._process.wait()}")
        answer = json.loads(line)
        if "error" in answer:
            raise ERRORS.get(answer["kind"], RuntimeError)(answer["error"])
        return answer["result"]

    @property
    def _stdin(self) -> Any:
        return self._process.stdin

    @property
    def _stdout(self) -> Any:
        return self._process.stdout

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        self._stdin.close()
        self._stdout.close()


def _environment(device: str, threads: int, memory: bool) -> dict[str, str]:
    found = {
        "OMP_NUM_THREADS": str(threads),
        "MKL_NUM_THREADS": str(threads),
        "NPROC": str(threads),
        "PYTHONWARNINGS": "ignore",
    }
    if threads == 1:
        found["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"
    if device == "cpu":
        found["JAX_PLATFORMS"] = "cpu"
    if memory:
        return found | {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "0"}
    return found | {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**40)}


def _hold(threads: int) -> None:
    """Hold the process to as many cores as it may use threads, those that come last."""
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, cores[-threads:])


def _find(key: list[str] | None) -> Variant | None:
    if key is None:
        return None
    return next(v for v in VARIANTS if [v.workload, v.name] == key)


def serve(bench: Bench, requests: TextIO, answers: TextIO) -> None:
    """Answer requests until there are none, or the device answers no more."""
    for line in requests:
        if bench.device != "cpu":
            faulthandler.dump_traceback_later(LIMIT, exit=True)
        request = json.loads(line)
        case = Case(**{**request["case"], "size": Size(*request["case"]["size"])})
        variant = _find(request["variant"])
        arguments = [case] if variant is None else [case, variant]
        try:
            answer: dict[str, Any] = {"result": getattr(bench, request["method"])(*arguments)}
        except Exception as error:
            text = str(error).strip().splitlines() or [""]
            known = type(error).__name__ in ERRORS
            reason = text[0] if known else f"{type(error).__name__}: {text[0]}"
            kind = type(error).__name__ if _answers(bench) else "DiedError"
            answer = {"error": reason, "kind": kind}
        faulthandler.cancel_dump_traceback_later()
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
        if answer.get("kind") == "DiedError":
            return


def _answers(bench: Bench) -> bool:
    """Whether the device can go on after an error."""
    try:
        bench.synchronise()
    except Exception:
        return False
    return True


def main() -> None:
    """Serve on standard input and output; what libraries print goes to standard error."""
    options = json.loads(sys.argv[1])
    _hold(options["threads"])
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    with contextlib.suppress(BrokenPipeError):
        serve(Bench(**options), sys.stdin, answers)


if __name__ == "__main__":
    main()
