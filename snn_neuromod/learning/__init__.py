"""Learning rules without backpropagation through time."""

from snn_neuromod.learning import eprop

__all__ = ["eprop"]
