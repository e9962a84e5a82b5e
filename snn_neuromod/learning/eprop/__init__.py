"""e-prop: learning signals and feedback weights."""

from snn_neuromod.learning.eprop import feedback

__all__ = ["feedback"]
