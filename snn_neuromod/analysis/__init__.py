"""Analysis of excitability, for every neuron of the package and for your own.

Functions that compute return NamedTuples of numpy arrays; those named `plot_*` draw on the Axes given, or on one of a
new figure.
"""

from snn_neuromod.analysis.bifurcation_plot import plot_bifurcation
from snn_neuromod.analysis.bsrc_bounds import OffsetBounds, bsrc_offset_bounds
from snn_neuromod.analysis.classification import Excitability, classify
from snn_neuromod.analysis.continuation import Bifurcation, BifurcationPoint, Branch, bifurcation
from snn_neuromod.analysis.equilibria import FixedPoints, fixed_points, plot_fixed_points
from snn_neuromod.analysis.firing_rate import FICurve, fi_curve, plot_fi_curve
from snn_neuromod.analysis.latency import spiking_delay
from snn_neuromod.analysis.maps import Heatmap, heatmap, heatmaps, plot_heatmap
from snn_neuromod.analysis.onsets import Hysteresis, hysteresis, plot_hysteresis
from snn_neuromod.analysis.patterns import Bursts, bursts
from snn_neuromod.analysis.phase_plane import (
    PhasePortrait,
    phase_portrait,
    plot_phase_portrait,
)
from snn_neuromod.analysis.regularity import Intervals, intervals
from snn_neuromod.analysis.rhythm import Amplitude, amplitude
from snn_neuromod.analysis.simulation import with_synapse
from snn_neuromod.analysis.source import Neuron, neuron
from snn_neuromod.analysis.trace import VoltageTrace, plot_voltage_trace, voltage_trace

__all__ = [
    "Amplitude",
    "Bifurcation",
    "BifurcationPoint",
    "Branch",
    "Bursts",
    "Excitability",
    "FICurve",
    "FixedPoints",
    "Heatmap",
    "Hysteresis",
    "Intervals",
    "Neuron",
    "OffsetBounds",
    "PhasePortrait",
    "VoltageTrace",
    "amplitude",
    "bifurcation",
    "bsrc_offset_bounds",
    "bursts",
    "classify",
    "fi_curve",
    "fixed_points",
    "heatmap",
    "heatmaps",
    "hysteresis",
    "intervals",
    "neuron",
    "phase_portrait",
    "plot_bifurcation",
    "plot_fi_curve",
    "plot_fixed_points",
    "plot_heatmap",
    "plot_hysteresis",
    "plot_phase_portrait",
    "plot_voltage_trace",
    "spiking_delay",
    "voltage_trace",
    "with_synapse",
]
