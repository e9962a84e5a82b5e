"""Neuron models as pure functions, one module each: `Params`, `State`, `initial_state`, `step`."""

from snn_neuromod.dynamics import (
    alif,
    bsrc,
    izhikevich,
    leaky_integrator,
    msrc,
    src,
    stdp_alif,
)
from snn_neuromod.dynamics.scan import scan

__all__ = [
    "alif",
    "bsrc",
    "izhikevich",
    "leaky_integrator",
    "msrc",
    "scan",
    "src",
    "stdp_alif",
]
