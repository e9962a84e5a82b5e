"""Equal, faster forms of the dynamics, and what they share."""

from snn_neuromod.kernels.backends import Backend, info, use

__all__ = ["Backend", "info", "use"]
