r"""Which synapses there are, and how long they take: masks and delays for `Recurrent`.

A mask is a boolean matrix, row: neuron to, column: neuron or input from. The functions make one; the classes hold the
same choices for a layer, or a configuration, that knows its sizes only later:

    Recurrent(ALIF(100), 39, mask_in=Random(sparsity=0.5), mask_rec=DistanceDependent(length=5.0))

Random masks come from a seed or a generator; without either, from PyTorch's global generator.
"""

from snn_neuromod.connectivity.delays import DelayMap, DistanceDelays, RandomDelays
from snn_neuromod.connectivity.masks import (
    Space,
    blocks,
    distance_dependent,
    distances,
    from_adjacency,
    from_edges,
    random,
)
from snn_neuromod.connectivity.wiring import Blocks, DistanceDependent, Graph, Random, Wiring

__all__ = [
    "Blocks",
    "DelayMap",
    "DistanceDelays",
    "DistanceDependent",
    "Graph",
    "Random",
    "RandomDelays",
    "Space",
    "Wiring",
    "blocks",
    "distance_dependent",
    "distances",
    "from_adjacency",
    "from_edges",
    "random",
]
