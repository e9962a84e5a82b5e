"""Neuromodulable, bursting and adaptive spiking neurons, and e-prop.

Every layer takes a current of shape (T, batch, neuron), time first, and gives `(spikes, state)`.
"""

import importlib
from typing import TYPE_CHECKING, Any

from snn_neuromod import (
    _torchvision,
    analysis,
    connectivity,
    dynamics,
    encoders,
    kernels,
    layers,
    learning,
    rewiring,
    surrogate,
)
from snn_neuromod.layers import (
    ALIF,
    BSRC,
    MSRC,
    SRC,
    STDPALIF,
    Bidirectional,
    Custom,
    Groups,
    Izhikevich,
    LeakyIntegrator,
    LeakyReadout,
    LogNormal,
    Ms,
    Normal,
    PopulationReadout,
    Recurrent,
    RecurrentStack,
    Smoothing,
    SpikeLinear,
    Uniform,
)
from snn_neuromod.state import detach, reset
from snn_neuromod.surrogate import Psi

if TYPE_CHECKING:
    from snn_neuromod import nir as nir
    from snn_neuromod import norse as norse
    from snn_neuromod import snntorch as snntorch

_torchvision.install()

__version__ = "0.1.0"

__all__ = [
    "ALIF",
    "BSRC",
    "MSRC",
    "SRC",
    "STDPALIF",
    "Bidirectional",
    "Custom",
    "Groups",
    "Izhikevich",
    "LeakyIntegrator",
    "LeakyReadout",
    "LogNormal",
    "Ms",
    "Normal",
    "PopulationReadout",
    "Psi",
    "Recurrent",
    "RecurrentStack",
    "Smoothing",
    "SpikeLinear",
    "Uniform",
    "analysis",
    "connectivity",
    "detach",
    "dynamics",
    "encoders",
    "kernels",
    "layers",
    "learning",
    "reset",
    "rewiring",
    "surrogate",
]

_FORMS = ("nir", "norse", "snntorch")


def __getattr__(name: str) -> Any:
    """Import the other libraries' forms of the neurons, and NIR, when they are first asked for."""
    if name in _FORMS:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_FORMS])
