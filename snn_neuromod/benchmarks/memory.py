"""Memory of online e-prop against the number of steps, each measured in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import torch

from snn_neuromod.layers import ALIF, LeakyReadout, Recurrent
from snn_neuromod.learning.eprop import OnlineEprop

INPUTS, OUTPUTS, SEGMENT = 100, 10, 50
STEPS = (500, 4000)


class Size(NamedTuple):
    """Size of a run.

    Attributes:
        neurons: Number of neurons.
        batch: Number of samples.
        steps: Number of steps.
    """

    neurons: int = 800
    batch: int = 32
    steps: int = 500


def measure(size: Size) -> tuple[float, float]:
    """Memory in MB and processor time in s of a run online in segments, in a fresh process.

    Raises:
        RuntimeError: If the run fails.
    """
    command = [sys.executable, "-m", __name__, *map(str, size)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        raise RuntimeError(f"benchmarks.memory: {size} must run, got {result.stderr}")
    memory, seconds = json.loads(result.stdout)
    return memory, seconds


def run(size: Size) -> tuple[float, float]:
    """Peak memory above that of the process before, MB, and processor time, s; the input is made as it goes."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    layer = Recurrent(ALIF(size.neurons), INPUTS)
    readout = LeakyReadout(size.neurons, OUTPUTS)
    before = _resident("VmRSS")
    online, start = OnlineEprop(layer, readout), time.process_time()
    for _ in range(size.steps // SEGMENT):
        x = (torch.rand(SEGMENT, size.batch, INPUTS) < 0.2).float()
        y, _ = online.segment(x)
        y.square().sum().backward()
    return _resident("VmHWM") - before, time.process_time() - start


def _resident(field: str) -> float:
    """A field of this process's status in MB; `getrusage` would count the parent's memory too."""
    status = Path("/proc/self/status")
    if not status.exists():
        raise RuntimeError("benchmarks.memory: the system must be Linux, /proc was not found")
    lines = dict(line.split(":", 1) for line in status.read_text(encoding="ascii").splitlines())
    return float(lines[field].split()[0]) / 1024


if __name__ == "__main__":
    sys.stdout.write(json.dumps(run(Size(*map(int, sys.argv[1:])))))
