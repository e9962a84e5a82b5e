"""The "reference" backend: a neuron's own `step` in a loop, differentiated by autograd."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import Any

import torch
from torch import Tensor

from snn_neuromod import dynamics, surrogate
from snn_neuromod.kernels.neurons import Neuron
from snn_neuromod.kernels.trajectory import between


def run(
    neuron: Neuron,
    current: Tensor,
    params: Sequence[Tensor],
    state: Sequence[Tensor],
    w_rec: Tensor | None,
    spikes: Tensor | None,
    delay: int | Tensor,
    through_time: bool,
) -> tuple[Tensor, list[Tensor]]:
    """Run a sequence; arguments and results as of `sequence.run`, the neuron decoded."""
    module, options, times = neuron.module, step_options(neuron), count()

    def step(_: Any, state: Any, current_t: Tensor) -> tuple[Tensor, Any]:
        t = next(times)
        params_t = module.Params(*between(params, current.ndim, t, t + 1, squeeze=True))
        out: tuple[Tensor, Any] = module.step(params_t, state, current_t, **options)
        return out

    emitted, last = dynamics.scan(
        step,
        module.Params(*params),
        module.State(*state),
        current,
        w_rec=w_rec,
        spikes=spikes,
        delay=delay,
        through_time=through_time,
    )
    return emitted, list(last)


def step_options(neuron: Neuron) -> dict[str, Any]:
    """Options of the neuron's `step`, from those of its closed-form derivatives."""
    options = dict(neuron.options)
    if "psi" in options:
        options["spike_fn"] = options.pop("psi")
    if "straight_through" in options:
        straight = options.pop("straight_through")
        options["spike_fn"] = surrogate.straight_through_relu if straight else torch.relu
    return options
