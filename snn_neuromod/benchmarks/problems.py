r"""What is computed in each workload: sizes, constants and data, the same numbers for every variant.

Data are NumPy arrays drawn from a seed, so that a peer in another process, and without PyTorch, gets the same. The loss
is linear in what the network gives, $L = \langle g, y \rangle$ with a fixed random g: its gradient costs nothing and
every library can send it back.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

__all__ = ["CONSTANTS", "GIVEN", "INPUTS", "OUTPUTS", "Problem", "Size", "make"]

Array = np.ndarray[Any, np.dtype[np.float32]]

INPUTS, OUTPUTS = 100, 10
"""Inputs and outputs of the recurrent networks of W3 to W5."""

GIVEN = 50
"""Steps up to which W5 takes its input from the problem."""


class Size(NamedTuple):
    """Size of a workload.

    Attributes:
        steps: Time steps T.
        batch: Samples B.
        neurons: Neurons N.
        images: Images of an epoch, in W7; 0 elsewhere.
    """

    steps: int
    batch: int
    neurons: int
    images: int = 0

    def __str__(self) -> str:
        images = f" {self.images} images" if self.images else ""
        return f"T{self.steps} B{self.batch} N{self.neurons}{images}"


_RECURRENT = {
    "alpha": math.exp(-1 / 20),
    "rho": math.exp(-1 / 200),
    "beta": 0.184,
    "v_th": 1.0,
    "gamma": 0.3,
    "kappa": math.exp(-1 / 20),
}

CONSTANTS: Mapping[str, Mapping[str, float]] = {
    "W1": {"b": -5.0, "start": -0.4, "detach": 0.0},
    "W2": {"alpha": 0.95, "v_th": 1.0, "slope": 25.0},
    "W3": _RECURRENT,
    "W4": _RECURRENT,
    "W5": {**_RECURRENT, "segment": 50.0},
    "W6": {"a": 0.02, "b": 0.2, "c": -65.0, "d": 2.0, "dt": 0.5},
    "W7": {"src": 0.0, "lr": 0.01, "p_max": 0.5, "blank": 0.0, "z_hyp": 0.8},
}
"""Constants of each workload; a variant may replace some."""


@dataclass(frozen=True)
class Problem:
    """One workload at one size.

    Attributes:
        workload: "W1" to "W7".
        size: Its size.
        constants: Its constants.
        arrays: Its data, float32.
        dtype: What it is computed in, "float32" or "float64".
        device: Where PyTorch computes.
        data: Folder of MNIST, for W7; None takes the embedded digits or made-up images.
    """

    workload: str
    size: Size
    constants: Mapping[str, float]
    arrays: Mapping[str, Array] = field(repr=False)
    dtype: str = "float32"
    device: str = "cpu"
    data: str | None = None

    def double(self) -> Problem:
        """The same in float64."""
        return replace(self, dtype="float64")


def make(
    workload: str,
    size: Size,
    *,
    overrides: Mapping[str, float] = MappingProxyType({}),
    device: str = "cpu",
    data: str | None = None,
) -> Problem:
    """Make a workload's data.

    Args:
        workload: "W1" to "W7".
        size: Its size.
        overrides: Constants that differ.
        device: Where PyTorch computes.
        data: Folder of MNIST, for W7.

    Returns:
        The problem.
    """
    rng = np.random.default_rng(0)
    constants = {**CONSTANTS[workload], **overrides}
    return Problem(workload, size, constants, _ARRAYS[workload](rng, size), "float32", device, data)


def _normal(rng: np.random.Generator, *shape: int) -> Array:
    return rng.standard_normal(shape, dtype=np.float32)


def _spikes(rng: np.random.Generator, probability: float, *shape: int) -> Array:
    return (rng.random(shape, dtype=np.float32) < probability).astype(np.float32)


def _drive(rng: np.random.Generator, size: Size) -> dict[str, Array]:
    shape = size[:3]
    return {"current": _normal(rng, *shape), "cotangent": _normal(rng, *shape)}


def _linear(rng: np.random.Generator, size: Size) -> dict[str, Array]:
    steps, batch, n, _ = size
    weight = _normal(rng, n, n)
    weight *= 0.6 / n**0.5
    weight += 0.3 / n
    return {
        "x": _spikes(rng, 0.2, steps, batch, n),
        "weight": weight,
        "cotangent": _normal(rng, steps, batch, n),
    }


def _recurrent(rng: np.random.Generator, size: Size, *, readout: bool) -> dict[str, Array]:
    steps, batch, n, _ = size
    arrays = {
        "w_in": _normal(rng, n, INPUTS) / np.float32(INPUTS**0.5),
        "w_rec": _normal(rng, n, n) / np.float32(n**0.5),
        "x": _spikes(rng, 0.1, steps, batch, INPUTS),
    }
    np.fill_diagonal(arrays["w_rec"], 0.0)
    if readout:
        arrays["w_out"] = _normal(rng, OUTPUTS, n) / np.float32(n**0.5)
    arrays["cotangent"] = _normal(rng, steps, batch, OUTPUTS if readout else n)
    return arrays


def _started(size: Size) -> Size:
    """A long run makes its input as it goes, and has none here."""
    return size if size.steps <= GIVEN else size._replace(steps=1)


def _trained(rng: np.random.Generator, size: Size) -> dict[str, Array]:
    return {}


def _izhikevich(rng: np.random.Generator, size: Size) -> dict[str, Array]:
    arrays = _drive(rng, size)
    arrays["current"] = 10 * rng.random(size[:3], dtype=np.float32)
    return arrays


_ARRAYS: dict[str, Callable[[np.random.Generator, Size], dict[str, Array]]] = {
    "W1": _drive,
    "W2": _linear,
    "W3": lambda rng, size: _recurrent(rng, size, readout=False),
    "W4": lambda rng, size: _recurrent(rng, size, readout=True),
    "W5": lambda rng, size: _recurrent(rng, _started(size), readout=True),
    "W6": _izhikevich,
    "W7": _trained,
}
