"""The "reference" backend: a neuron's own `step` in a loop, differentiated by autograd."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import Any

from torch import Tensor

from snn_neuromod import dynamics
from snn_neuromod.kernels.call import Paths
from snn_neuromod.kernels.neurons import Neuron


def run(
    neuron: Neuron,
    current: Tensor,
    params: Sequence[Tensor],
    state: Sequence[Tensor],
    w_rec: Tensor | None,
    spikes: Tensor | None,
    delay: int | Tensor,
    paths: Paths,
) -> tuple[Tensor, list[Tensor]]:
    """Run a sequence; arguments and results as of `operator.run`, the neuron decoded."""
    module, options, times = neuron.module, neuron.step_options(), count()
    fields = module.State._fields
    follow = None if paths.states is None else [fields[k] for k in paths.states]

    def step(_: Any, state: Any, current_t: Tensor) -> tuple[Tensor, Any]:
        t = next(times) // copies
        params_t = module.Params(*_at(params, current.ndim, t))
        out: tuple[Tensor, Any] = module.step(params_t, state, current_t, **options)
        return out

    copies = 1 + (paths.hops or 0) if w_rec is not None else 1
    emitted, last = dynamics.scan(
        step,
        module.Params(*params),
        module.State(*state),
        current,
        w_rec=w_rec,
        spikes=spikes,
        delay=delay,
        hops=paths.hops,
        follow=follow,
    )
    return emitted, list(last)


def _at(params: Sequence[Tensor], ndim: int, t: int) -> list[Tensor]:
    """Parameters of a step."""
    return [(p[t] if p.shape[0] > 1 else p[0]) if p.ndim == ndim else p for p in params]
