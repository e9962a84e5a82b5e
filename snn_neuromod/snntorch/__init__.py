"""The neurons in snnTorch's calling convention: one step a call, state passed in and out or kept with `init_hidden`.

The order of the state is snnTorch's: spikes of a recurrent neuron first, membrane last.
"""

from snn_neuromod.snntorch import functional, upstream
from snn_neuromod.snntorch.alif import ALIF
from snn_neuromod.snntorch.base import Neuron
from snn_neuromod.snntorch.bsrc import BSRC
from snn_neuromod.snntorch.custom import Custom
from snn_neuromod.snntorch.izhikevich import Izhikevich
from snn_neuromod.snntorch.msrc import MSRC
from snn_neuromod.snntorch.recurrent import RALIF, RSTDPALIF, RIzhikevich
from snn_neuromod.snntorch.scaling import scale_input
from snn_neuromod.snntorch.sequences import run
from snn_neuromod.snntorch.silence import SilentLayerWarning
from snn_neuromod.snntorch.src import SRC
from snn_neuromod.snntorch.stdp_alif import STDPALIF
from snn_neuromod.snntorch.surrogate import ATan

__all__ = [
    "ALIF",
    "BSRC",
    "MSRC",
    "RALIF",
    "RSTDPALIF",
    "SRC",
    "STDPALIF",
    "ATan",
    "Custom",
    "Izhikevich",
    "Neuron",
    "RIzhikevich",
    "SilentLayerWarning",
    "functional",
    "run",
    "scale_input",
]

upstream.install()
