r"""Which implementation runs a sequence: "reference", "eager" or "c".

| backend | what runs | where |
|---|---|---|
| reference | the neuron's own `step` in a loop, differentiated by autograd | everywhere |
| eager | the same forwards, a hand-written backward pass in plain PyTorch | everywhere |
| c | compiled loops over time, forwards and backwards | CPU, float32 and float64, see `info` |

By itself a call takes "c" where it can serve and "eager" elsewhere. The environment variable SNN_NEUROMOD_BACKEND and
`use` ask for one by name; what was asked for and cannot serve is an error, never another backend.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, TypeAlias, get_args

from torch import Tensor

from snn_neuromod.kernels import native_neurons
from snn_neuromod.kernels.neurons import Neuron

__all__ = ["ENVIRONMENT", "Backend", "choose", "info", "requested", "use"]

Backend: TypeAlias = Literal["auto", "reference", "eager", "c"]
ENVIRONMENT = "SNN_NEUROMOD_BACKEND"


def _checked(where: str, backend: str) -> str:
    if backend not in get_args(Backend):
        known = ", ".join(get_args(Backend))
        raise ValueError(f"{where}: backend must be one of {known}, got {backend!r}")
    return backend


_requested = _checked(ENVIRONMENT, os.environ.get(ENVIRONMENT, "") or "auto")


def requested() -> str:
    """The backend asked for, "auto" if none."""
    return _requested


@contextmanager
def use(backend: Backend) -> Iterator[None]:
    """Ask for a backend by name, in the whole process.

    A backward pass follows its forward pass, wherever it is called.

    Args:
        backend: A name of the table above, or "auto".

    Raises:
        ValueError: If the name is unknown.

    Examples:
        >>> import torch
        >>> import snn_neuromod as nm
        >>> with nm.kernels.use("eager"):
        ...     spikes, state = nm.ALIF(10)(torch.ones(5, 1, 10))
    """
    global _requested
    before, _requested = _requested, _checked("use", backend)
    try:
        yield
    finally:
        _requested = before


def choose(
    neuron: Neuron,
    current: Tensor,
    params: list[Tensor],
    recurrent: list[Tensor],
    delays: list[int],
    needed: list[bool],
) -> str:
    """Backend of one call of the sequence operator: "eager" or "c".

    Args:
        neuron: The neuron with its options.
        current: Input, (T, batch, ..., neuron).
        params: Its parameters.
        recurrent: Spikes before the first step and the recurrent weights of each delay, or nothing.
        delays: The distinct delays in steps.
        needed: Which parameters need a gradient.

    Returns:
        The backend.

    Raises:
        RuntimeError: If "c" was asked for and cannot serve.
    """
    if _requested in ("eager", "reference"):
        return "eager"
    reason = native_neurons.unable(neuron, current, params, recurrent, delays, needed)
    if reason is None:
        return "c"
    if _requested == "c":
        raise RuntimeError(
            f"backend 'c' was asked for by name and cannot serve: {reason}; ask for 'auto' or 'eager'"
        )
    return "eager"


def info() -> dict[str, str]:
    """What is in use, and why.

    Returns:
        `requested`: the backend asked for; `c`: whether its library was found and how it was built, or why not;
        `neurons`: the neurons it knows.
    """
    return {
        "requested": _requested,
        "c": native_neurons.status(),
        "neurons": ", ".join(native_neurons.NEURONS),
    }
