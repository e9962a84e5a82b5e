"""`python -m snn_neuromod.benchmarks.pipeline`: from images to weighted spikes, forwards and backwards.

Rate-coded images like MNIST's digits (19 % of 784 pixels are not black) and their product with the weights of the first
layer: as plain PyTorch does it, and as the package does. How long a whole training step takes, and on what, tells
`lightning_modules.step_times`.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from snn_neuromod import encoders, kernels
from snn_neuromod.layers import SpikeLinear

__all__ = ["Row", "measure"]

SIZES = [(50, 0.5, 32), (200, 0.25, 100)]
"""Steps, probability of a spike at full intensity, and neurons."""


class Row(NamedTuple):
    """One comparison.

    Attributes:
        title: What is compared.
        plain: Milliseconds of plain PyTorch, (least, median).
        ours: Milliseconds of the package.
    """

    title: str
    plain: tuple[float, float]
    ours: tuple[float, float]


def measure(
    num_steps: int, p_max: float, num_neurons: int, *, batch: int, repeats: int
) -> list[Row]:
    """Time the parts of a pipeline, interleaved, after two warm-ups.

    Args:
        num_steps: Steps.
        p_max: Probability of a spike at full intensity.
        num_neurons: Neurons of the first layer.
        batch: Images.
        repeats: Timed repeats.

    Raises:
        RuntimeError: If the two forms of a part do not agree.
    """
    images = torch.rand(batch, 784) * (torch.rand(batch, 784) < 0.19)
    linear, ours = nn.Linear(784, num_neurons), SpikeLinear(784, num_neurons)
    ours.load_state_dict(linear.state_dict())
    seeds = list(range(batch))

    def code(backend: kernels.Backend) -> Tensor:
        with kernels.use(backend):
            return encoders.rate(images, num_steps, p_max=p_max, seeds=seeds, dtype=torch.uint8)

    spikes = code("auto")
    grad = torch.randn(num_steps, batch, num_neurons)

    def forward(layer: nn.Module, x: Tensor) -> Tensor:
        with torch.no_grad():
            out: Tensor = layer(x)
        return out

    def both(layer: nn.Linear, x: Tensor) -> Tensor:
        return torch.autograd.grad(layer(x), layer.weight, grad)[0]

    size = f"T{num_steps} B{batch} 784-{num_neurons}"
    parts: dict[str, tuple[Callable[[], Tensor], Callable[[], Tensor]]] = {
        "rate code": (lambda: code("eager"), lambda: code("auto")),
        "weighted input": (lambda: forward(linear, spikes.float()), lambda: forward(ours, spikes)),
        "weighted input and gradient of the weights": (
            lambda: both(linear, spikes.float()),
            lambda: both(ours, spikes),
        ),
    }
    rows = []
    for title, pair in parts.items():
        expected, found = (run() for run in pair)
        if not torch.allclose(expected.float(), found.float(), rtol=1e-3, atol=1e-3):
            raise RuntimeError(f"{title}: the two forms must agree")
        times = [[_milliseconds(run) for run in pair] for _ in range(repeats + 2)][2:]
        plain, fast = ((min(t), statistics.median(t)) for t in zip(*times, strict=True))
        rows.append(Row(f"{title}, {size}", plain, fast))
    return rows


def _milliseconds(run: Callable[[], Tensor]) -> float:
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    start = clock()
    run()
    return 1000 * (clock() - start)


def main() -> None:
    """Print one row for each part."""
    parser = argparse.ArgumentParser(
        prog="python -m snn_neuromod.benchmarks.pipeline", description=__doc__
    )
    parser.add_argument("--repeats", type=int, default=15, help="timed repeats (default 15)")
    parser.add_argument("--threads", type=int, default=1, help="threads of PyTorch (default 1)")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    print(f"torch {torch.__version__}, {platform.machine()}, {options.threads} thread(s)")
    print("| part | plain PyTorch, ms (min, median) | here, ms (min, median) | ratio of minima |")
    print("|---|---|---|---|")
    for size in SIZES:
        for row in measure(*size, batch=128, repeats=options.repeats):
            times = " | ".join(f"{low:.1f}, {mid:.1f}" for low, mid in (row.plain, row.ours))
            print(f"| {row.title} | {times} | {row.plain[0] / row.ours[0]:.1f} |", flush=True)


if __name__ == "__main__":
    main()
