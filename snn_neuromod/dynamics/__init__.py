"""Neuron models as pure functions, one module each: `Params`, `State`, `initial_state`, `step`.

A module also states the neuron's parameters as users set them (`PARAMETERS`) and its traits (`traits.Traits`).
"""

from types import ModuleType

from snn_neuromod.dynamics import (
    alif,
    bsrc,
    izhikevich,
    leaky_integrator,
    msrc,
    src,
    stdp_alif,
)
from snn_neuromod.dynamics.over_time import scan

NEURONS: dict[str, ModuleType] = {
    module.__name__.rpartition(".")[2]: module
    for module in (src, msrc, bsrc, alif, stdp_alif, izhikevich, leaky_integrator)
}
"""The neurons of the package by name."""

__all__ = [
    "NEURONS",
    "alif",
    "bsrc",
    "izhikevich",
    "leaky_integrator",
    "msrc",
    "scan",
    "src",
    "stdp_alif",
]
