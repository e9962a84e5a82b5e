"""From NIR to networks: a `plan` of what runs when, a module for each of its nodes, and the `network` of both."""

from snn_neuromod.nir.reading.graph import from_nir
from snn_neuromod.nir.reading.network import Network

__all__ = ["Network", "from_nir"]
