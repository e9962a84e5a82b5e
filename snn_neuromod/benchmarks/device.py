"""Layers on a CUDA device: forward and backward pass as one captured graph, and as they are called.

Beside each row stand the same layer in plain PyTorch, and what copying and launching cost in the same run. Rows are
measured in processes of their own: one that hangs or loses the device costs its row alone.
"""

from __future__ import annotations

import faulthandler
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from snn_neuromod import (
    ALIF,
    BSRC,
    MSRC,
    SRC,
    STDPALIF,
    Custom,
    Izhikevich,
    Recurrent,
    dynamics,
    kernels,
)
from snn_neuromod._storage import write_text_atomically

__all__ = ["LAYERS", "measure"]

Step = Callable[[], None]
LIMIT = 120
"""Seconds of a row; what takes longer hangs."""

LAYERS: dict[str, tuple[Callable[[], Any], tuple[int, int, int], float]] = {
    "MSRC(512), all gradients": (lambda: MSRC(512, detach_recurrence=False), (200, 64, 512), 0.5),
    "MSRC(512)": (lambda: MSRC(512), (200, 64, 512), 0.5),
    "SRC(512)": (lambda: SRC(512), (200, 64, 512), 0.5),
    "BSRC(512)": (lambda: BSRC(512), (200, 64, 512), 0.5),
    "ALIF(512)": (lambda: ALIF(512), (200, 64, 512), 0.3),
    "Custom(512, dynamics.alif)": (lambda: Custom(512, dynamics.alif), (200, 64, 512), 0.3),
    "STDPALIF(512)": (lambda: STDPALIF(512), (200, 64, 512), 0.3),
    "Izhikevich(512)": (lambda: Izhikevich(512), (200, 64, 512), 15.0),
    "MSRC(800), all gradients": (
        lambda: MSRC(800, detach_recurrence=False), (1500, 32, 800), 0.5,
    ),
    "Recurrent(ALIF(256), 100), bptt": (lambda: Recurrent(ALIF(256), 100), (200, 32, 100), 0.5),
    "Recurrent(ALIF(256), 100), eprop": (
        lambda: Recurrent(ALIF(256), 100, learning_rule="eprop"), (200, 32, 100), 0.5,
    ),
    "Recurrent(ALIF(256), 100), five delays": (
        lambda: Recurrent(ALIF(256, delay=(torch.arange(256) % 5 + 1).tolist()), 100),
        (200, 32, 100),
        0.5,
    ),
    "Recurrent(MSRC(256), 100), bptt": (lambda: Recurrent(MSRC(256), 100), (200, 32, 100), 1.0),
    "Recurrent(ALIF(800), 100), eprop": (
        lambda: Recurrent(ALIF(800), 100, learning_rule="eprop"), (1500, 32, 100), 0.5,
    ),
}  # fmt: skip
"""Layers by what stands in the table, the shape of their input, and its largest value."""


def measure(device: str, folder: Path, report: Callable[[str], None]) -> None:
    """Measure all layers, and write `device.json` after each.

    Args:
        device: A CUDA device.
        folder: Where to write.
        report: Is told each row.
    """
    properties = torch.cuda.get_device_properties(device)
    found: dict[str, Any] = {
        "device": properties.name,
        "driver": _driver(),
        "torch": torch.__version__,
        "ceilings": _ceilings(device),
        "layers": [],
    }
    report(json.dumps({k: v for k, v in found.items() if k != "layers"}))
    for row in _rows(device):
        found["layers"].append(row)
        report(json.dumps(row))
        write_text_atomically(folder / "device.json", json.dumps(found, indent=1))


def _driver() -> str:
    try:
        import pynvml
    except ImportError:
        return "unknown"
    pynvml.nvmlInit()
    return str(pynvml.nvmlSystemGetDriverVersion())


def _rows(device: str) -> Iterator[dict[str, Any]]:
    left = [*LAYERS]
    while left:
        with subprocess.Popen(_command(device, left), stdout=subprocess.PIPE, text=True) as process:
            for line in process.stdout or ():
                left.pop(0)
                yield json.loads(line)
        if process.returncode:
            row, status = _row(left.pop(0)), process.returncode
            yield row | {"error": f"the process ended with status {status}, see what it printed"}


def _command(device: str, labels: Sequence[str]) -> list[str]:
    return [sys.executable, "-m", __name__, device, *labels]


def _row(label: str) -> dict[str, Any]:
    return {"layer": label, "input": list(LAYERS[label][1])}


def _measured(device: str, label: str) -> dict[str, Any]:
    make, shape, largest = LAYERS[label]
    torch.manual_seed(0)
    try:
        layer = make().to(device)
        x = (largest * torch.rand(shape, device=device)).requires_grad_()
        return _row(label) | _times(layer, x)
    except Exception as error:
        return _row(label) | {"error": f"{type(error).__name__}: {str(error)[:300]}"}


def main(device: str, *labels: str) -> None:
    """Print a row for each of these layers, as far as the first that fails: the device may be lost with it."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # for what libraries print
    for label in labels:
        faulthandler.dump_traceback_later(LIMIT, exit=True)
        row = _measured(device, label)
        print(json.dumps(row), file=answers, flush=True)
        if "error" in row:
            os._exit(0)  # what would be tidied up may be lost


def _times(layer: Any, x: Tensor) -> dict[str, Any]:
    """Microseconds of one forward, and of one forward and backward pass."""
    spikes = layer(x)[0].detach()
    gradient = torch.rand_like(spikes)

    def forward() -> None:
        with torch.no_grad():
            layer(x)

    def both() -> None:
        torch.autograd.grad(layer(x)[0], [x, *layer.parameters()], gradient, allow_unused=True)

    def eager() -> None:
        with kernels.use("eager"):
            both()

    start = time.perf_counter()
    both()
    torch.cuda.synchronize()
    return {
        "spikes_per_step": round(float((spikes > 0.5).float().mean()), 4),
        "first_call_s": round(time.perf_counter() - start, 2),
        "graph_forward_us": _captured(forward),
        "graph_us": _captured(both),
        "called_us": _called(both, 20),
        "eager_us": _called(eager, 3),
    }


def _captured(step: Step, repeats: int = 30) -> float:
    """Time of a step as a CUDA graph, by the device's own clock."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    for _ in range(3):
        graph.replay()
    times = []
    for _ in range(repeats):
        events = [torch.cuda.Event(enable_timing=True) for _ in range(2)]
        events[0].record()
        for _ in range(5):
            graph.replay()
        events[1].record()
        torch.cuda.synchronize()
        times.append(events[0].elapsed_time(events[1]) * 200)
    return float(round(statistics.median(times), 1))


def _called(step: Step, repeats: int) -> float:
    """Time of a step that is called as it stands, by the host's clock."""
    step()
    times = []
    for _ in range(repeats):
        torch.cuda.synchronize()
        start = time.perf_counter()
        step()
        torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return round(statistics.median(times) * 1e6, 1)


def _ceilings(device: str) -> dict[str, float]:
    """What a copy moves, and what a launch costs."""
    a = torch.rand(1 << 27, device=device)
    b = torch.empty_like(a)
    copy = _captured(lambda: (b.copy_(a), None)[1])
    small = torch.zeros(32, device=device)

    def launches() -> None:
        for _ in range(1000):
            small.add_(1)

    return {
        "copy_TB_per_s": round(2 * a.nbytes / copy / 1e6, 2),
        "launch_us": round(_called(launches, 5) / 1000, 2),
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
