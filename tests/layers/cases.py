"""Every layer, driven so that it fires."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

import snn_neuromod as nm
from snn_neuromod.dynamics import scan
from snn_neuromod.layers import Layer

BATCH, NEURONS = 2, 3


@dataclass(frozen=True)
class LayerCase:
    """A layer class with arguments and a live input."""

    layer: Callable[..., Layer]
    label: str = "default"
    arguments: tuple[tuple[str, Any], ...] = ()
    mean: float = 0.3
    std: float = 0.5
    learnable: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.layer.__name__}-{self.label}"

    def make(self, num_neurons: int | None = NEURONS, **overrides: Any) -> Any:
        return self.layer(num_neurons, **{**dict(self.arguments), **overrides})

    def current(self, num_steps: int = 25, dtype: torch.dtype = torch.float32) -> Tensor:
        generator = torch.Generator("cpu").manual_seed(1)
        shape = num_steps, BATCH, NEURONS
        noise = torch.randn(shape, generator=generator, dtype=dtype, device="cpu")
        return self.mean + self.std * noise.to(torch.get_default_device())

    @property
    def exact(self) -> bool:
        """Whether the forward pass is the scan bit by bit: kernels may round otherwise where no output jumps."""
        smooth = self.layer in (nm.SRC, nm.MSRC, nm.BSRC, nm.LeakyIntegrator)
        return not smooth and ("psi", nm.surrogate.smooth) not in self.arguments


def scanned(layer: Any, current: Tensor, state: Any = None, **options: Any) -> tuple[Tensor, Any]:
    """The layer's run, from its parameters and the equations."""
    state = layer.initial_state(current[0]) if state is None else state
    params = layer.params(current.dtype)
    return scan(layer.dynamics.step, params, state, current, **layer.step_options(), **options)


def assert_live(spikes: Tensor) -> None:
    fired = (spikes > 0.5).flatten(0, -2)
    assert fired.any(0).all(), "silent neurons: the test would be vacuous"
    assert not fired.all(0).any(), "neurons that always fire"


_SRC = ("alpha", "rho", "r", "r_s", "z", "z_hyp", "z_dep", "b")
_ALIF = ("tau_mem", "tau_adapt", "beta", "v_th")
_EXACT = (("detach_recurrence", False), ("straight_through", False))

CASES = [
    LayerCase(nm.SRC, arguments=(("alpha", 0.5),), mean=1.5, learnable=_SRC),
    LayerCase(nm.SRC, "full gradient", (("alpha", 0.5), *_EXACT), mean=1.5),
    LayerCase(nm.MSRC, arguments=(("alpha", 0.5),), mean=1.5, learnable=(*_SRC, "modulation")),
    LayerCase(nm.MSRC, "full gradient", (("alpha", 0.5), *_EXACT), mean=1.5),
    LayerCase(nm.BSRC, learnable=(*_SRC, "modulation", "r_u", "z_u", "h_u0"), mean=0.5),
    LayerCase(nm.BSRC, "full gradient", _EXACT, mean=0.5),
    LayerCase(nm.ALIF, learnable=_ALIF),
    LayerCase(nm.ALIF, "zero, refractory", (("reset", "zero"), ("refractory", 2)), mean=0.6),
    LayerCase(nm.ALIF, "none, detached", (("reset", "none"), ("detach_reset", True)), std=0.7),
    LayerCase(nm.ALIF, "own spike function", (("psi", nm.surrogate.smooth),), mean=1.0),
    LayerCase(nm.STDPALIF, learnable=_ALIF, mean=0.5),
    LayerCase(nm.STDPALIF, "detached", (("detach_reset", True), ("refractory", 1)), mean=0.5),
    LayerCase(nm.Izhikevich, arguments=(("dt", 0.5),), mean=20.0, std=10.0, learnable=tuple("abcd")),
    LayerCase(nm.Izhikevich, "detached", (("detach_reset", True),), mean=20.0, std=10.0),
    LayerCase(nm.Izhikevich, "clipped", (("clip_jacobian", 1.0), ("dt", 0.5)), mean=20.0, std=10.0),
    LayerCase(nm.LeakyIntegrator, mean=0.0, std=1.0, learnable=("tau",)),
    LayerCase(nm.LeakyIntegrator, "normalised", (("normalise", True), ("tau", 5.0)), std=3.0),
]  # fmt: skip
DEFAULTS = [case for case in CASES if case.label == "default"]

every_layer = pytest.mark.parametrize("case", CASES, ids=str)
every_class = pytest.mark.parametrize("case", DEFAULTS, ids=str)
every_parameter = pytest.mark.parametrize(
    ("case", "name"), [pytest.param(c, n, id=f"{c}-{n}") for c in DEFAULTS for n in c.learnable]
)


def without_detached_gates(case: LayerCase, name: str) -> dict[str, Any]:
    """The slow gates have a gradient only if the recurrence has one."""
    return {"detach_recurrence": False} if name in ("z_hyp", "z_dep", "z_u") else {}


DEFAULTS_LEARN = {
    case.layer: [n for n in case.learnable if not without_detached_gates(case, n)]
    for case in DEFAULTS
}
