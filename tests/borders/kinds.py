"""What a bad call is: kinds that draw one, each from a random number generator of its own."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

import snn_neuromod as nm

Draw = random.Random
Thunk = Callable[[], Any]


class BadCall(NamedTuple):
    """A call that must raise, and what is bad about it."""

    kind: str
    label: str
    run: Thunk


KINDS: dict[str, Callable[[Draw], tuple[str, Thunk]]] = {}


def kind(function: Callable[[Draw], tuple[str, Thunk]]) -> Callable[[Draw], tuple[str, Thunk]]:
    """Register what draws a label and a call."""
    KINDS[function.__name__] = function
    return function


def bad_call(index: int) -> BadCall:
    """The call of this number; the same for the same number."""
    names = sorted(KINDS)
    name = names[index % len(names)]
    torch.manual_seed(index)
    label, run = KINDS[name](Draw(index))
    return BadCall(name, label, run)


def finish(out: Any) -> Any:
    """Go through the backward pass as well, where there is one."""
    found = [x for x in torch.utils._pytree.tree_leaves(out) if isinstance(x, Tensor)]
    wanted = [x for x in found if x.requires_grad]
    if wanted:
        sum(x.sum() for x in wanted).backward()  # type: ignore[union-attr]
    return out


NEURONS: dict[str, Callable[..., Any]] = {
    "ALIF": lambda n, **o: nm.ALIF(n, learn=["beta"], **o),
    "STDPALIF": lambda n, **o: nm.STDPALIF(n, **o),
    "Izhikevich": lambda n, **o: nm.Izhikevich(n, dt=0.5, **o),
    "SRC": lambda n, **o: nm.SRC(n, learn=["b"], **o),
    "MSRC": lambda n, **o: nm.MSRC(n, learn_modulation=True, **o),
    "BSRC": lambda n, **o: nm.BSRC(n, **o),
    "LeakyIntegrator": lambda n, **o: nm.LeakyIntegrator(n, tau=5.0, **o),
}
DTYPES = [torch.int64, torch.int32, torch.complex64, torch.int8]
"""Types that no current has."""

BACKENDS = [None, None, None, None, "auto", "eager", "reference"]


class Sizes(NamedTuple):
    """Steps, batch, inputs and neurons of a call, all different."""

    t: int
    b: int
    i: int
    n: int


def sizes(draw: Draw) -> Sizes:
    t, b, i = draw.sample([2, 3, 7, 13], 3)
    return Sizes(t, b, i, draw.choice([5, 64, 130]))


def any_neuron(draw: Draw, n: int, among: tuple[str, ...] = tuple(NEURONS)) -> tuple[str, Any]:
    name, backend = draw.choice(among), draw.choice(BACKENDS)
    return f"{name}({n}, backend={backend})", NEURONS[name](n, backend=backend)


def other(draw: Draw, size: int) -> int:
    """Another size, and not 1, which would broadcast."""
    return draw.choice([k for k in (size - 1, size + 1, 2 * size, size + 64) if k > 1])


def another_shape(draw: Draw, shape: tuple[int, ...]) -> tuple[int, ...]:
    """A shape with one axis too many, too few, or of another size."""
    if not shape:
        return (draw.choice([2, 3]),)
    how = draw.choice(["size", "size", "less", "more"])
    axis = draw.randrange(len(shape))
    if how == "size":
        return (*shape[:axis], other(draw, shape[axis]), *shape[axis + 1 :])
    return shape[1:] if how == "less" else (2, *shape)


def run(module: Any, x: Any, state: Any = None) -> Thunk:
    return lambda: finish(module(x, state) if state is not None else module(x))
