"""Neuromodulable, bursting and adaptive spiking neurons, and e-prop.

Every layer takes a current of shape (T, batch, neuron), time first, and gives `(spikes, state)`.
"""

from snn_neuromod import dynamics, encoders, layers, learning, surrogate
from snn_neuromod.layers import (
    ALIF,
    BSRC,
    MSRC,
    SRC,
    STDPALIF,
    Izhikevich,
    LeakyIntegrator,
    LeakyReadout,
    Normal,
    PopulationReadout,
    Recurrent,
    Uniform,
)
from snn_neuromod.surrogate import Psi

__version__ = "0.1.0"

__all__ = [
    "ALIF",
    "BSRC",
    "MSRC",
    "SRC",
    "STDPALIF",
    "Izhikevich",
    "LeakyIntegrator",
    "LeakyReadout",
    "Normal",
    "PopulationReadout",
    "Psi",
    "Recurrent",
    "Uniform",
    "dynamics",
    "encoders",
    "layers",
    "learning",
    "surrogate",
]
