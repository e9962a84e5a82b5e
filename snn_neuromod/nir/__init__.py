"""Networks to and from NIR, the neuromorphic intermediate representation."""

from snn_neuromod.nir.reading import Network, from_nir
from snn_neuromod.nir.steps import nirtorch_map
from snn_neuromod.nir.writing import to_nir

__all__ = ["Network", "from_nir", "nirtorch_map", "to_nir"]
