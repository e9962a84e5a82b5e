"""Analysis of excitability, for every neuron of the package and for your own.

Functions that compute return NamedTuples of numpy arrays; those named `plot_*` only draw on the Axes given.
"""

from snn_neuromod.analysis.neuron import Neuron, neuron

__all__ = ["Neuron", "neuron"]
