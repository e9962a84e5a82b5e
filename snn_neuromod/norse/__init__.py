"""The neurons in Norse's calling convention: `f(input, state) -> (spikes, state)`, state a NamedTuple.

Cells take one step, modules take time as their first axis. Parameters come in Norse's units, inverse time constants in
1/s and `dt` in seconds, and are owned by the module's layer `p`, where optimisers see them.
"""

import importlib.util

from snn_neuromod._torchvision import ensure_torchvision

if importlib.util.find_spec("norse") is None:
    raise ModuleNotFoundError(
        "snn_neuromod.norse needs Norse: pip install 'snn-neuromod[norse]'", name="norse"
    )
ensure_torchvision()  # before anything of Norse's

from snn_neuromod.norse.custom import (  # noqa: E402
    Custom,
    CustomCell,
    CustomRecurrent,
    CustomRecurrentCell,
)
from snn_neuromod.norse.functional import recurrent_step, step  # noqa: E402
from snn_neuromod.norse.neurons import (  # noqa: E402
    ALIF,
    BSRC,
    MSRC,
    SRC,
    STDPALIF,
    ALIFCell,
    ALIFRecurrent,
    ALIFRecurrentCell,
    BSRCCell,
    BSRCRecurrent,
    BSRCRecurrentCell,
    Izhikevich,
    IzhikevichCell,
    IzhikevichRecurrent,
    IzhikevichRecurrentCell,
    MSRCCell,
    MSRCRecurrent,
    MSRCRecurrentCell,
    SRCCell,
    SRCRecurrent,
    SRCRecurrentCell,
    STDPALIFCell,
    STDPALIFRecurrent,
    STDPALIFRecurrentCell,
)
from snn_neuromod.norse.parameters import (  # noqa: E402
    ALIFParameters,
    BSRCParameters,
    IzhikevichParameters,
    MSRCParameters,
    SRCParameters,
    from_norse,
)
from snn_neuromod.norse.states import (  # noqa: E402
    ALIFRecurrentState,
    ALIFState,
    BSRCRecurrentState,
    BSRCState,
    CustomRecurrentState,
    DelayedState,
    IzhikevichRecurrentState,
    IzhikevichState,
    MSRCRecurrentState,
    MSRCState,
    SRCRecurrentState,
    SRCState,
    STDPALIFRecurrentState,
    STDPALIFState,
)

__all__ = [
    "ALIF",
    "BSRC",
    "MSRC",
    "SRC",
    "STDPALIF",
    "ALIFCell",
    "ALIFParameters",
    "ALIFRecurrent",
    "ALIFRecurrentCell",
    "ALIFRecurrentState",
    "ALIFState",
    "BSRCCell",
    "BSRCParameters",
    "BSRCRecurrent",
    "BSRCRecurrentCell",
    "BSRCRecurrentState",
    "BSRCState",
    "Custom",
    "CustomCell",
    "CustomRecurrent",
    "CustomRecurrentCell",
    "CustomRecurrentState",
    "DelayedState",
    "Izhikevich",
    "IzhikevichCell",
    "IzhikevichParameters",
    "IzhikevichRecurrent",
    "IzhikevichRecurrentCell",
    "IzhikevichRecurrentState",
    "IzhikevichState",
    "MSRCCell",
    "MSRCParameters",
    "MSRCRecurrent",
    "MSRCRecurrentCell",
    "MSRCRecurrentState",
    "MSRCState",
    "SRCCell",
    "SRCParameters",
    "SRCRecurrent",
    "SRCRecurrentCell",
    "SRCRecurrentState",
    "SRCState",
    "STDPALIFCell",
    "STDPALIFRecurrent",
    "STDPALIFRecurrentCell",
    "STDPALIFRecurrentState",
    "STDPALIFState",
    "from_norse",
    "recurrent_step",
    "step",
]
