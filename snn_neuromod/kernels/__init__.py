"""Equal, faster forms of the dynamics, and what they share."""

from snn_neuromod.kernels.backends import Backend, info, use
from snn_neuromod.kernels.spikes import spike_linear

__all__ = ["Backend", "info", "spike_linear", "use"]
