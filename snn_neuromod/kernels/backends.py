r"""Which implementation runs a sequence: "reference", "eager" or "c".

| backend | what runs | where |
|---|---|---|
| reference | the neuron's own `step` in a loop, differentiated by autograd | everywhere |
| eager | the same forwards, a hand-written backward pass in plain PyTorch | everywhere |
| c | compiled loops over time, forwards and backwards | CPU, float32 and float64, see `info` |

By itself a call takes "c" where it can serve and "eager" elsewhere. The argument `backend` of a layer asks for one by
name, else `use`, else the environment variable SNN_NEUROMOD_BACKEND; what was asked for and cannot serve is an error,
never another backend.
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


def checked(where: str, backend: str | None) -> str | None:
    """A name of a backend, or None.

    Raises:
        ValueError: If the name is unknown.
    """
    if backend is not None and backend not in get_args(Backend):
        known = ", ".join(get_args(Backend))
        raise ValueError(f"{where}: backend must be one of {known}, got {backend!r}")
    return backend


_requested = checked(ENVIRONMENT, os.environ.get(ENVIRONMENT) or None) or "auto"


def requested(backend: str | None = None) -> str:
    """The backend asked for, "auto" if none.

    Args:
        backend: What a layer asks for, or None.
    """
    return backend or _requested


@contextmanager
def use(backend: Backend) -> Iterator[None]:
    """Ask for a backend by name, in the whole process, for layers without one of their own.

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
    before, _requested = _requested, checked("use", backend) or "auto"
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
    backend: str,
) -> str:
    """Backend of one call of the sequence operator: "eager" or "c".

    Args:
        neuron: The neuron with its options.
        current: Input, (T, batch, ..., neuron).
        params: Its parameters.
        recurrent: Spikes before the first step and the recurrent weights of each delay, or nothing.
        delays: The distinct delays in steps.
        needed: Which parameters need a gradient.
        backend: What was asked for.

    Returns:
        The backend.

    Raises:
        RuntimeError: If "c" was asked for and cannot serve.
    """
    if backend in ("eager", "reference"):
        return "eager"
    reason = native_neurons.unable(neuron, current, params, recurrent, delays, needed)
    if reason is None:
        return "c"
    if backend == "c":
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
