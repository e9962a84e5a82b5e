"""From networks to NIR: a symbolic trace finds the layers, each is written as `parts`, a `draft` joins them."""

from snn_neuromod.nir.writing.graph import to_nir

__all__ = ["to_nir"]
