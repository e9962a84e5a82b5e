"""Steps in which states, spikes and parameters are one another: every backend of the CPU against the reference."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from snn_neuromod.kernels import neurons, operator
from snn_neuromod.kernels.call import Paths
from snn_neuromod.kernels.fusion import jit

F64 = torch.float64
STEPS, SHAPE = 18, (2, 3)


class Params(NamedTuple):
    y: float
    w: float


class State(NamedTuple):
    a: Tensor
    b: Tensor
    c: Tensor


def _held(p: Any, s: Any, x: Tensor) -> tuple[Tensor, Any]:
    z = torch.tanh(x + p.y * s.a * s.b + s.c)
    return z, State(z, z, s.c)


def _spikes_before(p: Any, s: Any, x: Tensor) -> tuple[Tensor, Any]:
    v = p.y * s.a * (1 - s.b) + x - p.w * s.c
    soft = torch.sigmoid(v)
    z = (v > 0.5).to(x.dtype) + soft - soft.detach()
    return z, State(v, z, s.b)


ODD: dict[str, Callable[[Any, Any, Tensor], tuple[Tensor, Any]]] = {
    "two states hold the spikes": _held,
    "a state holds spikes of two steps before": _spikes_before,
    "states change places": lambda p, s, x: (torch.tanh(x + s.a * p.y), State(s.b, s.c, s.a)),
    "spikes are the input": lambda p, s, x: (x, State(x, s.a, s.b)),
    "spikes are a state": lambda p, s, x: (s.a, State(x * p.y, s.a, s.b * p.w)),
    "spikes are a number": lambda p, s, x: (x * 0 + 1.0, State(x * 0 + p.y, s.b, s.c + 1)),
    "spikes are a parameter": lambda p, s, x: (p.y + 0 * x, State(p.y + 0 * x, p.w * s.b, s.c)),
    "no spikes": lambda p, s, x: (torch.zeros_like(x), State(s.a * p.y + x, 0 * x, s.b)),
    "states stay": lambda p, s, x: (torch.tanh(s.a * x + s.b * p.y) * s.c, State(*s)),
}


@pytest.fixture(autouse=True)
def _cache(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(jit.CACHE, str(request.config.cache.mkdir("kernels")))  # type: ignore[union-attr]
    monkeypatch.setenv(jit.FLAGS, "-O0")


@pytest.mark.parametrize("hops", ["no weights", None, 0, 1])
@pytest.mark.parametrize("name", ODD)
def test_equals_the_reference(name: str, hops: Any) -> None:
    """A parameter is given per step, which some of these do not read: its gradient is 0 then."""
    torch.manual_seed(0)
    known = neurons.Neuron(SimpleNamespace(Params=Params, State=State, step=ODD[name]))
    given = [torch.randn(STEPS, *SHAPE, dtype=F64), *(torch.rand(SHAPE, dtype=F64) for _ in "abc")]
    given += [torch.rand(3, dtype=F64), torch.rand(STEPS, *SHAPE, dtype=F64)]
    if hops != "no weights":
        given += [0.3 * torch.randn(3, 3, dtype=F64), torch.rand(SHAPE, dtype=F64)]
    signs = [torch.randn(STEPS, *SHAPE, dtype=F64), *(torch.randn(SHAPE, dtype=F64) for _ in "abc")]

    def solved(backend: str) -> list[Tensor]:
        leaves = [x.clone().requires_grad_() for x in given]
        x, *state = leaves[:4]
        more: dict[str, Any] = {}
        if hops != "no weights":
            more = {"w_rec": leaves[6], "spikes": leaves[7], "paths": Paths(hops)}
        torch.use_deterministic_algorithms(True)  # torch.empty gives NaN
        try:
            spikes, last = operator.run(known.key, x, leaves[4:6], state, **more, backend=backend)
            total = sum((y * sign).sum() for y, sign in zip([spikes, *last], signs, strict=True))
            grads = torch.autograd.grad(total, leaves, allow_unused=True)  # type: ignore[arg-type]
        finally:
            torch.use_deterministic_algorithms(False)
        none = [torch.zeros_like(x) if g is None else g for g, x in zip(grads, leaves, strict=True)]
        return [spikes, *last, *none]

    right = solved("reference")
    for backend in ["eager"] if jit.unable() else ["eager", "c"]:
        torch.testing.assert_close(solved(backend), right, rtol=1e-9, atol=1e-9)
