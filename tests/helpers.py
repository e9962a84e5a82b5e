"""What tests of several neurons share: every neuron with its options, driven so that it fires."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from snn_neuromod import dynamics, surrogate
from snn_neuromod.dynamics import scan

BATCH, NEURONS = 2, 3
BOUNDS = torch.tensor([3.0, math.inf, 1.5])


@dataclass(frozen=True)
class Case:
    """One neuron with one choice of parameters and options, and the current that makes it fire."""

    name: str
    label: str = "default"
    params: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    mean: float = 0.3
    std: float = 0.5
    peak: float = 0.5  # a spike is an output above this

    def __str__(self) -> str:
        return f"{self.name}-{self.label}"

    @property
    def module(self) -> Any:
        return getattr(dynamics, self.name)

    def parameters(self, dtype: torch.dtype = torch.float64) -> Any:
        """Parameters as tensors of one type."""
        given = self.module.Params(**self.params)
        return type(given)(*(torch.as_tensor(p, dtype=dtype) for p in given))

    def current(
        self, num_steps: int, *, seed: int = 0, dtype: torch.dtype = torch.float64
    ) -> Tensor:
        noise = torch.randn(
            num_steps, BATCH, NEURONS, generator=torch.Generator().manual_seed(seed), dtype=dtype
        )
        return self.mean + self.std * noise

    def run(self, current: Tensor, state: Any = None, **options: Any) -> tuple[Tensor, Any]:
        """The reference scan."""
        state = self.module.initial_state(current[0]) if state is None else state
        params = self.parameters(current.dtype)
        return scan(self.module.step, params, state, current, **{**self.options, **options})

    def assert_live(self, spikes: Tensor) -> None:
        """Every neuron spikes, and none all the time."""
        fired = (spikes > self.peak).flatten(0, -2)
        assert fired.any(0).all(), f"{self}: silent neurons, the test would be vacuous"
        assert not fired.all(0).any(), f"{self}: neurons that always fire"


_SRC = {"mean": 2.5, "std": 1.0}
_SHORT_SYNAPSE = {"alpha": 0.0, "rho": math.inf}
_ST = {"spike_fn": surrogate.straight_through_relu}

CASES = [
    Case("src", params={"alpha": 0.5}, mean=1.5),
    Case("src", "no synapse", {**_SHORT_SYNAPSE}, **_SRC),
    Case("src", "mixed bounds", {"alpha": 0.3, "rho": BOUNDS, "b": -4.5}, **_SRC),
    Case("src", "leaky", {"alpha": 0.3, "z": 0.3, "z_dep": 0.1}, **_SRC),
    Case("src", "detached", {"alpha": 0.3}, {"detach_recurrence": True, **_ST}, **_SRC),
    Case("msrc", params={"alpha": 0.0}, **_SRC),
    Case("msrc", "type 2*", {**_SHORT_SYNAPSE, "h_s0": 0.5}, mean=4.0, std=1.0),
    Case("msrc", "mixed bounds", {"alpha": 0.5, "rho": 2 * BOUNDS, "z": 0.2}, mean=1.5, std=2.0),
    Case("msrc", "detached", {"alpha": 0.0}, {"detach_recurrence": True, **_ST}, **_SRC),
    Case("bsrc", mean=0.5, std=1.0),
    Case("bsrc", "no synapse", {**_SHORT_SYNAPSE, "z": 0.1, "z_u": 0.9}, mean=1.0, std=1.0),
    Case("bsrc", "detached", options={"detach_recurrence": True, **_ST}, mean=0.5, std=1.0),
    *(
        Case("alif", f"{reset} refractory {refractory} {'detached' if detach else 'attached'}",
             {"alpha": 0.8, "rho": 0.9},
             {"reset": reset, "refractory": refractory, "detach_reset": detach})
        for reset in ("subtract", "zero", "none")
        for refractory in (0, 2)
        for detach in (False, True)
    ),
    *(
        Case("stdp_alif", f"refractory {refractory} {'detached' if detach else 'attached'}",
             {"alpha": 0.8, "rho": 0.9},
             {"refractory": refractory, "detach_reset": detach})
        for refractory in (1, 3)
        for detach in (False, True)
    ),
    *(
        Case("izhikevich", f"dt {dt} {'detached' if detach else 'attached'}",
             {"dt": dt}, {"detach_reset": detach}, mean=20.0, std=10.0)
        for dt in (0.5, 1.0)
        for detach in (False, True)
    ),
    Case("leaky_integrator", mean=0.1, std=1.0),
    Case("leaky_integrator", "normalised", options={"normalise": True}, mean=0.5, std=3.0),
]  # fmt: skip


def spike_counts(step: Any, params: Any, state: Any, current: Tensor, discard: int = 0) -> Tensor:
    """Number of spikes (rises of h above 0.5) of each neuron after the first `discard` steps."""
    h, _ = membrane(step, params, state, current)
    spiking = h > 0.5
    return (spiking[1:] & ~spiking[:-1])[discard:].sum(0)


def membrane(step: Any, params: Any, state: Any, current: Tensor) -> tuple[Tensor, Any]:
    """Trace of h over time, and the last state."""
    trace = []
    for current_t in current:
        _, state = step(params, state, current_t)
        trace.append(state.h)
    return torch.stack(trace), state


def pairwise(*factors: Iterable[Any]) -> list[tuple[Any, ...]]:
    """Few combinations of values, one of each factor, in which any two values of two factors meet."""
    levels: list[Sequence[Any]] = [list(values) for values in factors]
    every = list(itertools.product(*(range(len(values)) for values in levels)))
    missing = {pair for row in every for pair in _pairs(row)}
    rows = []
    while missing:
        rows.append(max(every, key=lambda row: len(missing & _pairs(row))))
        missing -= _pairs(rows[-1])
    return [tuple(values[k] for values, k in zip(levels, row, strict=True)) for row in sorted(rows)]


def _pairs(row: tuple[int, ...]) -> set[Any]:
    return set(itertools.combinations(enumerate(row), 2))


def graph_nodes(tensor: Tensor) -> list[str]:
    """Names of all backward nodes behind a tensor."""
    seen, stack = set(), [tensor.grad_fn]
    while stack:
        node = stack.pop()
        if node is not None and node not in seen:
            seen.add(node)
            stack.extend(parent for parent, _ in node.next_functions)
    return [node.name() for node in seen]
