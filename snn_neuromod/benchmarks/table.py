"""What is compared: the sizes of each workload, and the variants that run it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from snn_neuromod.benchmarks.problems import Size
from snn_neuromod.benchmarks.variants import VARIANTS, Variant

__all__ = ["CASES", "CHECKS", "TITLES", "VARIANTS", "WORKLOADS", "Case", "Variant", "of"]

TITLES = {
    "W1": "SRC layer, forward and backward",
    "W2": "Linear layer and LIF neurons, forward and backward",
    "W3": "recurrent ALIF, backpropagation through time",
    "W4": "recurrent ALIF, e-prop",
    "W5": "online e-prop, memory against the number of steps",
    "W6": "Izhikevich layer, forward and backward",
    "W7": "one training epoch on rate-coded MNIST",
}
WORKLOADS = tuple(TITLES)


@dataclass(frozen=True)
class Case:
    """One workload at one size.

    Attributes:
        workload: "W1" to "W7".
        size: Its size.
        kind: What distinguishes it from others of the same size.
        overrides: Constants that differ from the workload's.
        quick: Whether it belongs to the quick selection.
        only: Names of the variants that run it; empty for all.
    """

    workload: str
    size: Size
    kind: str = ""
    overrides: Mapping[str, float] = field(default_factory=dict)
    quick: bool = False
    only: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """Size and kind, in one line."""
        return f"{self.size}, {self.kind}" if self.kind else str(self.size)


# A fifth of an epoch: a whole one takes other libraries minutes.
_SRC = {"src": 1.0, "p_max": 0.25, "blank": 20.0}

CASES = (
    Case("W1", Size(200, 64, 512), "all gradients", quick=True),
    Case("W1", Size(200, 64, 512), "gradient of the source", {"detach": 1.0}, quick=True),
    Case("W1", Size(1500, 32, 800), "all gradients"),
    Case("W1", Size(100, 256, 512), "all gradients"),
    Case("W2", Size(500, 16, 512), quick=True),
    Case("W2", Size(500, 16, 4096)),
    Case("W2", Size(500, 16, 16384)),
    Case("W3", Size(200, 32, 256), quick=True),
    Case("W3", Size(1000, 32, 800)),
    Case("W3", Size(200, 8, 2000)),
    Case("W4", Size(100, 32, 100), quick=True),
    Case("W4", Size(100, 32, 100), "LIF", {"beta": 0.0}, quick=True),
    Case("W4", Size(200, 32, 256)),
    Case("W4", Size(1500, 32, 800)),
    Case("W5", Size(500, 32, 800)),
    Case("W5", Size(2000, 32, 800)),
    Case("W5", Size(8000, 32, 800)),
    Case("W6", Size(1000, 32, 512), quick=True),
    Case("W7", Size(50, 128, 42, 60000), "mSRC 784-32-10"),
    Case("W7", Size(220, 128, 100, 12800), "SRC 784-100", _SRC),
)
"""The published table."""

CHECKS = {
    "W1": Size(20, 4, 512),
    "W2": Size(40, 4, 512),
    "W3": Size(40, 4, 800),
    "W4": Size(20, 4, 256),
    "W5": Size(20, 4, 256),
    "W6": Size(60, 4, 512),
    "W7": Size(50, 32, 100, 32),
}
"""Size at which the results are compared with the reference in float64: over long runs rounding alone moves spikes."""


def of(workload: str) -> list[Variant]:
    """The variants of a workload, this package's first."""
    return [variant for variant in VARIANTS if variant.workload == workload]
