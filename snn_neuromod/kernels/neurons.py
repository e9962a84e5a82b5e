"""The neurons that the sequence operators know, with their options."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache, partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from snn_neuromod import dynamics, surrogate
from snn_neuromod._types import Param
from snn_neuromod.kernels.alif import linearise_alif, linearise_stdp_alif
from snn_neuromod.kernels.izhikevich import linearise_izhikevich
from snn_neuromod.kernels.leaky_integrator import linearise_leaky_integrator
from snn_neuromod.kernels.linearisation import Linearisation
from snn_neuromod.kernels.src import linearise_bsrc, linearise_msrc, linearise_src


class Neuron(NamedTuple):
    """A neuron with its options, as the operators see it."""

    module: Any
    step: Callable[..., tuple[Tensor, Any]]
    linearise: Callable[..., Linearisation]
    options: dict[str, Any]

    @property
    def src_family(self) -> bool:
        return self.module in (dynamics.src, dynamics.msrc, dynamics.bsrc)

    @property
    def reads_input(self) -> bool:
        """Whether the derivatives depend on the input of the step."""
        return self.module is dynamics.leaky_integrator and self.options["normalise"]


class _Known(NamedTuple):
    module: Any
    linearise: Callable[..., Linearisation]


_KNOWN = {
    "src": _Known(dynamics.src, linearise_src),
    "msrc": _Known(dynamics.msrc, linearise_msrc),
    "bsrc": _Known(dynamics.bsrc, linearise_bsrc),
    "alif": _Known(dynamics.alif, linearise_alif),
    "stdp_alif": _Known(dynamics.stdp_alif, linearise_stdp_alif),
    "izhikevich": _Known(dynamics.izhikevich, linearise_izhikevich),
    "leaky_integrator": _Known(dynamics.leaky_integrator, linearise_leaky_integrator),
}


def encode(neuron: str, **options: Any) -> str:
    """Name and options of a neuron as one string, which operators can take.

    Args:
        neuron: Name of a module in `snn_neuromod.dynamics`.
        **options: Options of its `linearise`, where `psi` may be a `surrogate.Psi`.

    Returns:
        The argument `neuron` of `run`.
    """
    if isinstance(options.get("psi"), surrogate.Psi):
        options["psi"] = vars(options["psi"])
    return json.dumps({"neuron": neuron, **options}, sort_keys=True)


def _hard_spikes(distance: Tensor, unit: Param, held: Tensor | None = None) -> Tensor:
    """Spikes of `surrogate.Psi` without its derivative, which the closed form knows."""
    spikes = torch.gt(
        distance, 0, out=torch.empty_like(distance)
    )  # no detour through bool, which is slow
    return spikes if held is None else spikes.masked_fill_(held, 0.0)


@cache
def decode(neuron: str) -> Neuron:
    """Neuron that `encode` wrote."""
    options = json.loads(neuron)
    module, linearise = _KNOWN[options.pop("neuron")]
    step_options = dict(options)
    if "psi" in options:
        options["psi"] = surrogate.Psi(**options["psi"])
        step_options["spike_fn"] = _hard_spikes
        del step_options["psi"]
    if "straight_through" in options:  # same spikes either way; the closed form knows the gradient
        del step_options["straight_through"]

    def step(params: Any, state: Any, current: Tensor) -> tuple[Tensor, Any]:
        out: tuple[Tensor, Any] = module.step(params, state, current, **step_options)
        return out

    return Neuron(module, step, partial(linearise, **options), options)
