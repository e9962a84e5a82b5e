"""Results on disk: one JSON file, written as they come."""

from __future__ import annotations

import datetime
import json
import os
import platform
from collections.abc import Iterable
from pathlib import Path

import torch

from snn_neuromod._provenance import commit, version
from snn_neuromod._storage import write_text_atomically
from snn_neuromod.benchmarks.reading import Record, read_results

__all__ = ["NAME", "SCHEMA", "Results", "environment"]

NAME, SCHEMA = "benchmarks.json", 1

PACKAGES = (
    "snn-neuromod", "torch", "numpy", "snntorch", "norse", "spikingjelly", "sinabs", "jax", "jaxlib", "spyx", "flax",
    "braintrace", "brainstate",
)  # fmt: skip


class Results:
    """The records of a folder.

    Args:
        folder: Where the file is or will be.

    Raises:
        DataError: If the file is of another schema, or no such file.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME
        self.records: dict[tuple[str, str, str], Record] = {}
        self.environments: list[Record] = []
        self._seen: tuple[int, ...] = ()
        self._read()

    def _read(self) -> None:
        if (now := self._changed()) != self._seen:
            self.environments, records = read_results(self.path, SCHEMA)
            self.records = {_key(record): record for record in records}
            self._seen = now

    def _changed(self) -> tuple[int, ...]:
        """When the file was written, and which it is, since clocks are coarse; () if there is none."""
        if not self.path.exists():
            return ()
        now = self.path.stat()
        return now.st_mtime_ns, now.st_ino, now.st_size

    def find(self, workload: str, label: str, variant: str) -> Record | None:
        """The record of one variant of a case."""
        return self.records.get((workload, label, variant))

    def add(self, records: Iterable[Record], where: Record) -> None:
        """Add records measured in an environment, and write the file, with what others have written there meanwhile."""
        self._read()
        if where not in self.environments:
            self.environments.append(where)
        index = self.environments.index(where)
        for record in records:
            self.records[_key(record)] = {**record, "environment": index}
        self.write()

    def write(self) -> None:
        """Write the file; a stop while it is written leaves the one before."""
        content = {
            "schema": SCHEMA,
            "environments": self.environments,
            "results": list(self.records.values()),
        }
        write_text_atomically(self.path, json.dumps(content, indent=1) + "\n")
        self._seen = self._changed()


def _key(record: Record) -> tuple[str, str, str]:
    return record["workload"], record["label"], record["variant"]


def environment(device: str, threads: int) -> Record:
    """Machine, versions, date and commit.

    Args:
        device: Where PyTorch computes.
        threads: Number of threads.

    Returns:
        What is recorded beside the results.
    """
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "commit": commit(),
        "processor": _processor(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "memory_gb": _memory(),
        "system": platform.system(),
        "python": platform.python_version(),
        "device": device if device == "cpu" else torch.cuda.get_device_name(device),
        "threads": threads,
        "clock": "processor time" if device == "cpu" and threads == 1 else "wall time",
        "capability": torch.backends.cpu.get_cpu_capability(),
        "versions": {name: found for name in PACKAGES if (found := version(name))},
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _memory() -> int | None:
    if not hasattr(os, "sysconf"):
        return None
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9)
