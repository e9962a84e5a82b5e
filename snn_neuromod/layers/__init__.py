"""Neuron layers over whole sequences, time first: (T, batch, neuron) -> (spikes, state)."""

from snn_neuromod.layers.alif import ALIF, STDPALIF
from snn_neuromod.layers.base import Layer
from snn_neuromod.layers.izhikevich import Izhikevich
from snn_neuromod.layers.parameters import Normal, Uniform
from snn_neuromod.layers.readout import LeakyIntegrator, LeakyReadout, PopulationReadout
from snn_neuromod.layers.recurrent import Recurrent, RecurrentState
from snn_neuromod.layers.src import BSRC, MSRC, SRC

__all__ = [
    "ALIF",
    "BSRC",
    "MSRC",
    "SRC",
    "STDPALIF",
    "Izhikevich",
    "Layer",
    "LeakyIntegrator",
    "LeakyReadout",
    "Normal",
    "PopulationReadout",
    "Recurrent",
    "RecurrentState",
    "Uniform",
]
