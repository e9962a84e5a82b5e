"""Analysis of excitability, for every neuron of the package and for your own.

Functions that compute return NamedTuples of numpy arrays; those named `plot_*` only draw on the Axes given.
"""

from snn_neuromod.analysis.bifurcation import (
    Bifurcation,
    BifurcationPoint,
    Branch,
    bifurcation,
    plot_bifurcation,
)
from snn_neuromod.analysis.fixed_points import FixedPoints, fixed_points, plot_fixed_points
from snn_neuromod.analysis.neuron import Neuron, neuron
from snn_neuromod.analysis.phase_portrait import (
    PhasePortrait,
    phase_portrait,
    plot_phase_portrait,
)
from snn_neuromod.analysis.trace import VoltageTrace, plot_voltage_trace, voltage_trace

__all__ = [
    "Bifurcation",
    "BifurcationPoint",
    "Branch",
    "FixedPoints",
    "Neuron",
    "PhasePortrait",
    "VoltageTrace",
    "bifurcation",
    "fixed_points",
    "neuron",
    "phase_portrait",
    "plot_bifurcation",
    "plot_fixed_points",
    "plot_phase_portrait",
    "plot_voltage_trace",
    "voltage_trace",
]
