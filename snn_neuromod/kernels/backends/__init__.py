r"""Which implementation runs a call: "reference", "eager", "c" or "triton"; one registry for all that there is to run.

| backend | what runs | where |
|---|---|---|
| reference | the neuron's own `step` in a loop, differentiated by autograd | everywhere |
| eager | both passes printed from the step, in plain PyTorch | everywhere |
| c | compiled loops over time, forwards and backwards | CPU, float32 and float64, see `info` |
| triton | loops over time printed from the step, forwards and backwards | CUDA, every floating-point type, see `info` |

By itself a call takes "c" or "triton" where it can serve and "eager" elsewhere (on MPS and XPU devices too). The
argument `backend` of a layer asks for one by name, else `use`, else the environment variable SNN_NEUROMOD_BACKEND; what
was asked for and cannot serve is an error, never another backend. A backward pass takes that of its forward pass.

A backend is a folder with one table: for each kind of call (`kernels.call`, `kernels.jobs`) that it serves, what says
`unable(call)` and runs `forward(call)`, and `backward(call, ...)` where there is one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal, TypeAlias, get_args

from snn_neuromod._setting import Setting
from snn_neuromod.dynamics import NEURONS
from snn_neuromod.errors import ConfigError
from snn_neuromod.kernels.backends import c, eager, reference, triton
from snn_neuromod.kernels.call import Call

__all__ = ["ENVIRONMENT", "Backend", "choose", "info", "prepared", "requested", "serving", "use"]

Backend: TypeAlias = Literal["auto", "reference", "eager", "c", "triton"]
ENVIRONMENT = "SNN_NEUROMOD_BACKEND"


REGISTRY: dict[str, Mapping[type, Any]] = {  # what each has is a `served.Served`
    "c": c.SERVES,
    "triton": triton.SERVES,
    "eager": eager.SERVES,
    "reference": {**eager.SERVES, Call: reference.SERVED},
}
"""The backends, the first that can serve a call first. One without a `backward` is differentiated by autograd."""


def checked(where: str, backend: str | None) -> str | None:
    """A name of a backend, or None.

    Raises:
        ValueError: If the name is unknown.
    """
    if backend is not None and backend not in get_args(Backend):
        known = ", ".join(get_args(Backend))
        raise ConfigError(f"{where}: backend must be one of {known}, got {backend!r}")
    return backend


REQUESTED = Setting("backend", checked(ENVIRONMENT, os.environ.get(ENVIRONMENT) or None) or "auto")
"""The backend asked for where a call asks for none."""


def requested(backend: str | None = None) -> str:
    """The backend asked for, "auto" if none.

    Args:
        backend: What a layer asks for, or None.
    """
    return backend or REQUESTED.get()


@contextmanager
def use(backend: Backend) -> Iterator[None]:
    """Ask for a backend by name, in this thread or task alone, for layers without one of their own.

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
    with REQUESTED.using(checked("use", backend) or "auto"):
        yield


def choose(call: Any, asked: str) -> str:
    """Backend of one call.

    Args:
        call: What is to be run, see `kernels.call` and `kernels.jobs`.
        asked: What was asked for.

    Returns:
        Its name in the registry.

    Raises:
        RuntimeError: If a backend was asked for by name and cannot serve.
        ValueError: If there is none of that name.
    """
    kind = type(call)
    if asked == "auto":
        return next(name for name, serves in REGISTRY.items() if not serves[kind].unable(call))
    if asked not in REGISTRY:
        checked("backend", asked)
    reason = REGISTRY[asked][kind].unable(call)
    if reason is not None:
        raise RuntimeError(
            f"backend {asked!r} was asked for by name and cannot serve: {reason}; ask for 'auto' or 'eager'"
        )
    return asked


def serving(call: Any, asked: str) -> Any:
    """What runs a call and all that look like it; arguments and errors as of `choose`."""
    return prepared(call, choose(call, asked))


def prepared(call: Any, name: str) -> Any:
    """What runs a call, and all that look like it, by the backend that was chosen."""
    serves = REGISTRY[name][type(call)]
    return serves if serves.prepare is None else serves.prepare(call)


def info() -> dict[str, str]:
    """What is in use, and why.

    Returns:
        `requested`: the backend asked for; `c`: whether its library was found and how it was built, or why not;
        `triton`: whether it serves, or why not. Then by the name of each neuron of the package what runs it on a CPU
        where none is asked for: a kernel that was compiled with the package, one that is compiled at first use, or
        plain PyTorch, because of what is missing; `others`: the same for neurons, spike functions and rules of your
        own, `one step`: for neurons that are called at each step, as snnTorch does.
    """
    others = c.printed.status()
    return {
        "requested": requested(),
        "c": c.status(),
        "triton": triton.status(),
        **{neuron: c.printed.status(neuron) for neuron in NEURONS},
        "others": others,
        "one step": others
        if c.library.load()[0]
        else f"plain PyTorch: the library is {c.status()}",
    }
