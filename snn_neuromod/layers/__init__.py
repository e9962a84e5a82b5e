"""Neuron layers over whole sequences, time first: (T, batch, neuron) -> (spikes, state)."""

from snn_neuromod.layers.alif import ALIF, STDPALIF
from snn_neuromod.layers.base import Layer
from snn_neuromod.layers.bidirectional import Bidirectional
from snn_neuromod.layers.bsrc import BSRC
from snn_neuromod.layers.custom import Custom
from snn_neuromod.layers.izhikevich import Izhikevich
from snn_neuromod.layers.linear import SpikeLinear
from snn_neuromod.layers.msrc import MSRC
from snn_neuromod.layers.parameters import Groups, LogNormal, Normal, Uniform
from snn_neuromod.layers.readout import LeakyIntegrator, LeakyReadout, PopulationReadout
from snn_neuromod.layers.recurrent import Recurrent, RecurrentState
from snn_neuromod.layers.smoothing import Smoothing
from snn_neuromod.layers.src import SRC
from snn_neuromod.layers.stack import RecurrentStack
from snn_neuromod.layers.times import Ms

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
    "Layer",
    "LeakyIntegrator",
    "LeakyReadout",
    "LogNormal",
    "Ms",
    "Normal",
    "PopulationReadout",
    "Recurrent",
    "RecurrentStack",
    "RecurrentState",
    "Smoothing",
    "SpikeLinear",
    "Uniform",
]
